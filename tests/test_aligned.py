"""Translations that do not fit the examples: refused in one line, before anything is trained."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny_translated import OTHER, TARGET, change, in_target, recipe, write
from typer.testing import CliRunner

from lowres import aligned, api, data, translated
from lowres.cli import app
from lowres.errors import DataError
from lowres.recipe import Recipe
from lowres.recipe_loading import dump, from_mapping


def without(count: int) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda rows: rows[count:]


def told(of_study: Recipe, said: str) -> None:
    """By `validate`, before a run folder is made, and by the run."""
    for check in (
        api.Recipe.from_mapping(of_study.model_dump(mode="json")).check,
        lambda: translated.check(of_study, data.load(of_study)),
    ):
        with pytest.raises(DataError, match=said) as caught:
            check()
        assert "\n" not in str(caught.value)


FAULTS: dict[str, tuple[str, Callable[[list[dict[str, Any]]], list[dict[str, Any]]], str]] = {
    "missing": (
        "into",
        without(5),
        r"translated.train: .*swh_Latn.jsonl: no translation has the id 19, 20, 21 and 2 more: it "
        r"has 20 translations, and the source's training set 24 examples",
    ),
    "missing in test": (
        "from",
        without(1),
        r"translated.test: .* has the id 0: .* and the test set of swh_Latn 24 examples",
    ),
    "twice": (
        "into",
        lambda rows: [*rows, rows[0]],
        r"translated.train: .*swh_Latn.jsonl:26: the id 23 stands there before \(.*:1\)",
    ),
    "no id": (
        "into",
        lambda rows: [*rows, {"id": "", "text": "a"}],
        r"translated.train: .*swh_Latn.jsonl:26: no id; expected the id of the example",
    ),
    "no ids": (
        "into",
        lambda rows: [{"text": row["text"]} for row in rows],
        r"swh_Latn.jsonl: no column for id .*; name it in translated.columns.id",
    ),
    "empty": (
        "from",
        lambda rows: [{**row, "text": " " if row["id"] == "3" else row["text"]} for row in rows],
        r"translated.test: .*swh_Latn.jsonl:4: the translation of 3 is empty; expected text",
    ),
    "copied": (
        "into",
        lambda rows: [in_target(row) for row in rows],
        r"translated.train: .*: 25 of 24 translations are the originals themselves|"
        r"translated.train: .*: 24 of 24 translations are the originals themselves; expected text "
        r"in swh_Latn",
    ),
    "another script": (
        "into",
        lambda rows: [{**row, "text": "ለምሳሌ ይህ ነው"} for row in rows],
        r"translated.train: .*: 0% of its letters are Latn, as swh_Latn says, 100% Ethi",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_translations_that_do_not_align_are_refused(
    tmp_path: Path, tiny_base: Path, fault: str
) -> None:
    place, how, said = FAULTS[fault]
    of_study = recipe(tmp_path, tiny_base)
    change(tmp_path / f"{place}/{TARGET}.jsonl", how)
    told(of_study, said)


def test_files_of_two_targets_that_stand_for_each_other(tmp_path: Path, tiny_base: Path) -> None:
    files = {TARGET: f"into/{OTHER}.jsonl", OTHER: f"into/{TARGET}.jsonl"}
    swapped = {code: str(tmp_path / file) for code, file in files.items()}
    of_study = recipe(tmp_path, tiny_base, targets=(TARGET, OTHER), train=swapped)
    told(of_study, r"translated.train: .*yor_Latn.jsonl: reads like yor_Latn \(100% of its words")


def test_a_test_set_that_is_not_in_the_source_language(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base, targets=(TARGET, OTHER))
    file = tmp_path / f"from/{TARGET}.jsonl"
    change(file, lambda rows: [in_target(row, "u") for row in rows])
    told(of_study, r"translated.test: .*swh_Latn.jsonl: reads like yor_Latn .*in eng_Latn")


def test_the_command_says_it_in_one_line_and_leaves_no_run(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    of_study = recipe(tmp_path, tiny_base)
    (tmp_path / "study.yaml").write_text(dump(of_study), encoding="utf-8")
    assert CliRunner().invoke(app, ["validate", "study.yaml"]).exit_code == 0
    change(tmp_path / f"into/{TARGET}.jsonl", without(5))
    for command in (["validate"], ["run"]):
        found = CliRunner().invoke(app, [*command, "study.yaml"])
        assert found.exit_code == 2
        assert found.output.count("\n") == 1
        assert "no translation has the id 19, 20, 21 and 2 more" in found.output
    assert not (tmp_path / "runs").exists()


def test_what_a_run_would_hold_out_for_dev_needs_no_translation(
    tmp_path: Path, tiny_base: Path
) -> None:
    of_study = recipe(tmp_path, tiny_base)
    (tmp_path / "eng_Latn/dev.jsonl").unlink()
    change(
        tmp_path / f"into/{TARGET}.jsonl",
        lambda rows: [row for row in rows if row["id"] not in ("9", "19")],
    )
    api.Recipe.from_mapping(of_study.model_dump(mode="json")).check()
    translated.check(of_study, data.load(of_study))


def test_a_file_that_is_not_there(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base, test=str(tmp_path / "nowhere/{lang}.csv"))
    said = r"translated.test: swh_Latn: no file .*nowhere/swh_Latn.csv; .*`lowres translate`"
    with pytest.raises(DataError, match=said):
        translated.check_files(of_study)


def test_ids_that_two_sources_share(tmp_path: Path, tiny_base: Path) -> None:
    plain = recipe(tmp_path, tiny_base, targets=(TARGET,)).model_dump(mode="json")
    other = recipe(tmp_path, tiny_base, targets=(OTHER,))
    plain["languages"]["source"] = ["eng_Latn", OTHER]
    for split in ("train", "dev"):
        source = (tmp_path / f"eng_Latn/{split}.jsonl").read_text(encoding="utf-8")
        (tmp_path / OTHER / f"{split}.jsonl").write_text(source, encoding="utf-8")
    assert other.translated is not None
    told(from_mapping(plain), r"translated.train: 0 is the id of an example in several of")


def test_tags_that_are_no_entities(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base, "tagging")
    for file in tmp_path.glob("*/*.jsonl"):
        if file.parent.name in ("eng_Latn", TARGET):
            text = file.read_text(encoding="utf-8")
            file.write_text(text.replace("B-LOC", "NOUN").replace("I-LOC", "VERB"), "utf-8")
    told(of_study, r"translated: only BIO tags \(entities\) can be carried over")


def test_words_of_a_script_without_spaces_are_the_users(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base, "tagging")
    assert of_study.translated is not None
    file = tmp_path / f"into/{TARGET}.jsonl"
    change(file, lambda rows: [{"id": row["id"], "text": "ທ່ານ ນໍ້າ"} for row in rows])
    wanted = data.load(of_study).train.to_dict()
    with pytest.raises(DataError, match=r"lao_Laoo sets no spaces between words.*in words"):
        aligned.read(of_study.translated, "train", TARGET, wanted, "lao_Laoo")


def test_test_sentences_that_were_trained_on_are_counted(tmp_path: Path, tiny_base: Path) -> None:
    of_study = recipe(tmp_path, tiny_base)
    labelled = data.load(of_study)
    stolen = labelled.tests[TARGET]["text"][7]
    file = tmp_path / f"into/{TARGET}.jsonl"
    change(file, lambda rows: [{**rows[0], "text": stolen}, *rows[1:]])
    (record,) = translated.train_data(of_study, labelled, labelled, (TARGET,)).records
    assert record.in_test >= 1


def test_translations_under_ids_of_others_are_refused(
    tmp_path: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good ids and good translations, and none belongs to its id."""
    of_study = recipe(tmp_path, tiny_base)
    draw = random.Random(5)
    words = [f"{a}{b}da" for a in "bkmt" for b in "aeiou"]
    rows = [
        {"id": str(n), "text": " ".join(draw.choices(words, k=draw.randint(4, 20))), "label": label}
        for n, label in zip(range(60), ["health", "trade", "nature"] * 20, strict=True)
    ]
    write(tmp_path / "eng_Latn/train.jsonl", rows)
    made = [in_target(row) for row in rows]
    write(tmp_path / f"into/{TARGET}.jsonl", made)
    api.Recipe.from_mapping(of_study.model_dump(mode="json")).check()
    ids = draw.sample([row["id"] for row in rows], len(rows))
    swapped = [{**row, "id": name} for row, name in zip(made, ids, strict=True)]
    write(tmp_path / f"into/{TARGET}.jsonl", swapped)
    told(
        of_study,
        r"^translated.train: .*swh_Latn.jsonl: its 60 translations fit the texts of their ids no "
        r"better than shuffled ones, .*; give each translation the id of the example",
    )


def test_a_file_of_no_format_names_the_key_of_its_section(tmp_path: Path, tiny_base: Path) -> None:
    plain = tmp_path / "plain.txt"
    plain.write_text("habari ya leo ni njema\nna kesho\n", encoding="utf-8")
    of_study = recipe(tmp_path, tiny_base, train={TARGET: str(plain)})
    told(of_study, r"^translated.train: .*plain.txt:2: .*\(translated.format conll\)$")
