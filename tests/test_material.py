from __future__ import annotations

import pytest
import tiny_text
from tiny_text import HELD, sentences, write

from lowres import material
from lowres.errors import DataError
from lowres.recipe_text import Text


def test_last_lines_are_held_out(tmp_path):
    pairs = sentences(80)
    (text,) = material.load(write(tmp_path, pairs), ())
    assert text.learning_lines == 60
    assert list(text.lines()) == [a for a, _ in pairs[:60]]
    assert text.held() == [a for a, _ in pairs[60:]]
    assert text.learning_pairs == tuple(pairs[:60])
    assert text.held_pairs == tuple(pairs[60:])
    assert text.notes == ()


def test_blank_lines_count_for_the_place_and_for_nothing_else(tmp_path):
    pairs = sentences(80)
    pairs[3] = ("", "a line without its partner")
    pairs[70] = ("", "")
    (text,) = material.load(write(tmp_path, pairs), ())
    assert text.learning_lines == 60
    assert len(list(text.lines())) == len(text.learning_pairs) == 59
    assert len(text.held()) == len(text.held_pairs) == 19
    assert any("empty side" in note for note in text.notes)


def test_nothing_is_learnt_from_a_held_out_line_wherever_it_stands(tmp_path):
    pairs = sentences(80)
    line, translation = pairs[75]
    pairs[5] = (line, f"{translation} indeed")
    (text,) = material.load(write(tmp_path, pairs), ())
    assert line in text.held()
    assert line not in list(text.lines())
    assert line not in [a for a, _ in text.learning_pairs]
    assert any("1 lines to learn from are among the held-out ones" in n for n in text.notes)


def test_sample_is_spread_over_the_whole_text(tmp_path, monkeypatch):
    monkeypatch.setattr(material, "SAMPLE_LINES", 10)
    pairs = sentences(80)
    (text,) = material.load(write(tmp_path, pairs), ())
    assert text.sample() == [a for a, _ in pairs[:60:6]]


def test_record_names_the_file_without_its_path(tmp_path):
    (text,) = material.load(write(tmp_path, sentences(80)), ())
    record = text.record()
    assert record["file"] == "nus.txt"
    assert record["lines"] == 60
    assert str(tmp_path) not in str(record)


def test_parallel_files_of_different_length_are_refused_with_both_counts(tmp_path):
    text = write(tmp_path, sentences(80))
    (tmp_path / "eng.txt").write_text("only one line\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"80 lines.*eng\.txt: 1; expected line i to translate"):
        material.load(text, ())


def test_too_few_lines_to_hold_any_out(tmp_path):
    with pytest.raises(DataError, match=r"50 lines, of which text\.held_out 20.*give 60 or more"):
        material.load(write(tmp_path, sentences(50)), ())


def test_a_language_without_a_file_is_named(tmp_path):
    text = write(tmp_path, sentences(80))
    named = Text(files={"nus_Latn": text.files}, held_out=HELD)
    with pytest.raises(DataError, match="names no file for bam_Latn"):
        material.load(named, ("nus_Latn", "bam_Latn"))


def test_another_script_is_refused(tmp_path):
    text = write(tmp_path, sentences(80))
    template = text.model_copy(update={"languages": ("zgh_Tfng",)})
    with pytest.raises(DataError, match="Tfng"):
        material.load(template, ())


def test_text_without_translations(tmp_path):
    text = write(tmp_path, sentences(80), translations=None)
    (found,) = material.load(text, ())
    assert found.learning_pairs == found.held_pairs == ()
    assert len(list(found.lines())) == 60


def test_lexicon(tmp_path):
    entries = "".join(f"{b}\t{a}\tnoun\n" for a, b in tiny_text.WORDS.items())
    (tmp_path / "words.tsv").write_text(entries + "\n", encoding="utf-8")
    text = write(tmp_path, sentences(80), lexicon=str(tmp_path / "words.tsv"))
    (found,) = material.load(text, ())
    assert found.lexicon == tuple(tiny_text.WORDS.items())


@pytest.mark.parametrize("line", ["no tab", "\tword", "translation\t"])
def test_lexicon_line_that_is_no_entry(tmp_path, line):
    (tmp_path / "words.tsv").write_text(f"river\tcäŋ\n{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"words\.tsv:2: expected `translation TAB word`"):
        material.read_lexicon(tmp_path / "words.tsv", "text.lexicon")


def test_a_line_without_end_is_read_by_its_beginning(tmp_path):
    pairs = sentences(80)
    pairs[2] = ("word " * 5_000, "mot " * 6_000)
    pairs[70] = ("w" * 30_000, "m" * 30_000)
    (text,) = material.load(write(tmp_path, pairs), ())
    longest = material.corpus.LONGEST_LINE
    assert max(map(len, text.lines())) <= longest
    assert max(map(len, text.held())) == longest
    assert all(max(map(len, pair)) <= longest for pair in (*text.learning_pairs, *text.held_pairs))
    assert any(note.startswith("2 lines have more than 10,000 characters") for note in text.notes)
