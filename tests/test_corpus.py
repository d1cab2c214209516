"""Raw text: what is read, what is refused and with which words."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from lowres import corpus
from lowres.errors import DataError


def written(path: Path, content: bytes | str) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_lines_keep_their_numbers(tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt", "\ufeffone\r\n\ntwo\u2028three\x0b \n\r\nfour")
    assert list(corpus.lines(file)) == ["one", "", "two\u2028three\x0b ", "", "four"]
    assert list(corpus.texts(file)) == ["one", "two\u2028three", "four"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "--keep {}: the file is empty"),
        (b"\n \r\n\t\n", "--keep {}: holds no text"),
        (b"good\ncaf\xe9\n", "{}:2: not UTF-8 (byte 0xe9); convert it"),
        (b"\xef\xbb\xbfgood\n\nbad \xff", "{}:3: not UTF-8 (byte 0xff)"),
        (b"good\nno\0text\n", "{}:2: holds a NUL byte"),
        ("Ɓe ɗo".encode("utf-16"), "{}:1: is UTF-16, expected UTF-8; convert it: iconv"),
        ("one\ntwo\n".encode("utf-16-le"), "{}:1: holds a NUL byte"),
        (b"one\rtwo\rthree\r", "{}:1: lines end in a bare carriage return"),
    ],
)
def test_what_is_no_text_is_refused_with_its_line(
    content: bytes, says: str, tmp_path: Path
) -> None:
    file = written(tmp_path / "a.txt", content)
    with pytest.raises(DataError) as refused:
        list(corpus.lines(file, "--keep"))
    assert says.format(file) in str(refused.value)
    assert "\n" not in str(refused.value)


def test_missing_files_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^--text .*nowhere: no such file; expected UTF-8"):
        corpus.lines(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"^--keep .*: is a folder"):
        corpus.texts(tmp_path, "--keep")
    with pytest.raises(DataError, match="no such file"):
        corpus.sample(tmp_path / "nowhere")


def test_a_line_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpus, "LONGEST_LINE_BYTES", 2**20)
    file = written(tmp_path / "a.txt", b"short\n" + b"a" * 2**20)
    with pytest.raises(DataError, match=r"a\.txt:2: a line of more than 1 MB; expected one"):
        list(corpus.lines(file))
    file.write_bytes(b"a" * (2**20 - 1) + b"\nb\n")
    assert [len(line) for line in corpus.lines(file)] == [2**20 - 1, 1]


def test_memory_is_that_of_one_line(tmp_path: Path) -> None:
    file = written(tmp_path / "a.txt", "Olùkọ́ ṣí fèrèsé nítorí pé yàrá náà gbóná.\n" * 100_000)
    tracemalloc.start()
    assert sum(1 for _ in corpus.texts(file)) == 100_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20


def test_letters_are_counted_by_script() -> None:
    counted = corpus.scripts("Ab! 12 ⵜⵉⴼⵉ ሰ 漢字 かな ߒߞߏ བོད Ω")
    assert counted == {
        **{"Latn": 2, "Tfng": 4, "Ethi": 1, "Hani": 2, "Hira": 2, "Nkoo": 3},
        **{"Tibt": 2, "Grek": 1},  # a vowel sign of Tibetan is no letter
    }
    assert not corpus.scripts("12 !? \u0301")


@pytest.mark.parametrize(
    ("script", "fitting", "other"),
    [
        ("Hans", ["Hani", "Bopo"], ["Hira", "Latn"]),
        ("Hant", ["Hani"], ["Hang"]),
        ("Hani", ["Hani"], ["Kana"]),
        ("Jpan", ["Hani", "Hira", "Kana"], ["Hang"]),
        ("Kore", ["Hang", "Hani"], ["Hira"]),
        ("Hang", ["Hang"], ["Hani"]),
        ("Latf", ["Latn"], ["Grek"]),
        ("Tfng", ["Tfng"], ["Latn"]),
    ],
)
def test_mixtures_and_variants_of_scripts(
    script: str, fitting: list[str], other: list[str]
) -> None:
    assert all(corpus.fits(script, code) for code in fitting)
    assert not any(corpus.fits(script, code) for code in other)


class TestCheckScript:
    path = Path("text.txt")

    def test_some_foreign_words_are_fine(self) -> None:
        assert corpus.check_script(self.path, "tzm_Tfng", "ⵜⴰⵎⴰⵣⵉⵖⵜ " * 9 + "Windows") is None
        assert corpus.check_script(self.path, "jpn_Jpan", "漢字かなカナ") is None
        assert corpus.check_script(self.path, "xxx_Blis", "anything") is None

    def test_much_is_told_and_most_is_refused(self) -> None:
        told = corpus.check_script(self.path, "tzm_Tfng", "ⵜⴰⵎⴰⵣⵉⵖⵜ Windows")
        assert told is not None
        assert told.startswith("text.txt: 53% of its letters are Tfng, as tzm_Tfng says, 47% Latn;")
        with pytest.raises(DataError) as refused:
            corpus.check_script(self.path, "tzm_Tfng", "tamaziɣt " * 30 + "ⵜⴰⵎⴰⵣⵉⵖⵜ")
        assert str(refused.value) == (
            "text.txt: 3% of its letters are Tfng, as tzm_Tfng says, 97% Latn; give the "
            "language's code with its script (tzm_Latn), or another text"
        )

    def test_no_letters(self) -> None:
        with pytest.raises(DataError, match="no letters of any script; expected text in Tfng"):
            corpus.check_script(self.path, "tzm_Tfng", "123 456")

    def test_the_sample_is_from_the_whole_file(self, tmp_path: Path) -> None:
        file = written(tmp_path / "a.txt", "abc\n" * 300_000 + "ⵜⴰⵎⴰⵣⵉⵖⵜ\n" * 300_000)
        assert len(corpus.sample(file)) < 2**20
        told = corpus.check_script(file, "tzm_Tfng")
        assert told is not None
        assert "letters are Tfng" in told
        small = written(tmp_path / "b.txt", "abc é")
        assert corpus.sample(small) == "abc é"


def test_words_and_what_they_support() -> None:
    assert corpus.words("three little  words") == 3
    assert corpus.words("Níbo ni ọjà wà") == 4
    assert 5 <= corpus.words("ໜ້າຕ່າງຖືກເປີດໂດຍຄູເພາະວ່າຫ້ອງຮ້ອນຫຼາຍ") <= 12
    assert corpus.support(1_000) is None
    said = corpus.support(999)
    assert said is not None
    assert "999 words" in said
    assert "--pieces" in said


class TestPairs:
    LEFT = tuple(f"sentence number {i} of this text" for i in range(40))
    RIGHT = tuple(f"phrase numéro {i} de ce texte" for i in range(40))

    def of(self, folder: Path, left: list[str], right: list[str]) -> corpus.Pairs:
        a = written(folder / "a.txt", "\n".join(left) + "\n")
        b = written(folder / "b.txt", "\n".join(right) + "\n")
        return corpus.pairs(a, b)

    def test_good_ones_all_stay(self, tmp_path: Path) -> None:
        found = self.of(tmp_path, [*self.LEFT], [*self.RIGHT])
        assert found.pairs == tuple(zip(self.LEFT, self.RIGHT, strict=True))
        assert found.line_numbers == tuple(range(1, 41))
        assert found.notes == ()

    def test_files_of_different_length(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"a\.txt: 40 lines, but --parallel .*b\.txt: 39; exp"):
            self.of(tmp_path, [*self.LEFT], [*self.RIGHT[1:]])

    def test_empty_and_double_ones_are_left_out(self, tmp_path: Path) -> None:
        left, right = [*self.LEFT, self.LEFT[3]], [*self.RIGHT, self.RIGHT[3]]
        left[5], right[7] = "", "  "
        found = self.of(tmp_path, left, right)
        assert {6, 8, 41}.isdisjoint(found.line_numbers)
        assert len(found.pairs) == 38
        assert found.notes == (
            "left out: 2 pairs with an empty side (line 6, 8)",
            "left out: 1 pairs that stood there before (line 41)",
        )

    def test_lengths_that_do_not_go_together(self, tmp_path: Path) -> None:
        right = [*self.RIGHT]
        right[20] = right[20] * 9
        right[30] = "oui"
        found = self.of(tmp_path, [*self.LEFT], right)
        assert found.notes == ("left out: 2 pairs whose lengths do not go together (line 21, 31)",)

    def test_sentences_beside_different_translations(self, tmp_path: Path) -> None:
        left = [*self.LEFT]
        left[10:14] = [left[0]] * 4
        left[20] = left[19]
        found = self.of(tmp_path, left, [*self.RIGHT])
        assert found.notes == (
            "left out: 7 lines that repeat one sentence beside different translations "
            "(line 1, 11, 12, 13, 14, …)",
        )
        # short answers do repeat, and one sentence twice may be chance
        left = [*self.LEFT]
        left[10:14] = ["yes", "yes", "yes", left[0]]
        assert self.of(tmp_path, left, [*self.RIGHT]).pairs[0][0] == left[0]

    def test_nothing_left(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"no usable pair .*2 pairs with an empty side"):
            self.of(tmp_path, ["a", ""], ["", "b"])

    @pytest.mark.data
    def test_the_damaged_lines_of_a_real_corpus(self, shared_data: Path) -> None:
        texts = shared_data / "text"
        found = corpus.pairs(texts / "mni_Beng.txt", texts / "eng_Latn.txt")
        assert found.notes[0].startswith("left out: 699 lines that repeat one sentence")
        assert len(found.pairs) > 2250
        for language in ("nus_Latn", "tzm_Tfng"):
            found = corpus.pairs(texts / f"{language}.txt", texts / "eng_Latn.txt")
            assert len(found.pairs) > 2980
