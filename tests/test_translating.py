"""Files of translations by a model: tiny random ones, the real tokenizers, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny_study
from tiny_translated import TARGET, recipe
from tiny_translator import marian
from transformers import NllbTokenizer
from typer.testing import CliRunner

from lowres import data, translated, translating, translator
from lowres.cli import app
from lowres.errors import BaseModelError, DataError, RunError
from lowres.progress import Silent
from lowres.recipe_loading import dump


def loaded(folder: Path, **settings: Any) -> translator.Translator:
    plain = {"model": str(folder), "revision": None, "beams": 2, "max_tokens": 12, **settings}
    return translator.Translator(folder, translator.Settings(**plain), tiny_study.CPU)


def test_a_model_is_told_its_languages_by_its_own_codes(tiny_m2m: Path) -> None:
    found = loaded(tiny_m2m)
    way = found.direction("eng_Latn", "swh_Latn", {})
    assert way.source == "en"
    assert way.first == found.tokenizer.get_lang_id("sw")
    (made, *_), *_ = (found.translate(["The teacher"], way),)
    assert isinstance(made[0], str)
    ids = found.model.generate(
        **found.tokenizer(["The teacher"], return_tensors="pt"),
        generation_config=found._generation(way),
    )
    assert ids[0, 1] == way.first
    named = found.direction("eng_Latn", "wol_Latn", {"wol_Latn": "ff"})
    assert named.first == found.tokenizer.get_lang_id("ff")
    with pytest.raises(BaseModelError, match=r"knows no tzm_Tfng \(it has 100 languages: .*--code"):
        found.direction("eng_Latn", "tzm_Tfng", {})


def test_nllb_knows_flores_codes() -> None:
    codes = translator._codes(NllbTokenizer())
    assert {"swh_Latn", "taq_Tfng", "zho_Hans"} <= codes.keys()
    assert len(codes) == 202


def test_a_marian_of_several_languages_has_a_tag_before_the_text(tmp_path: Path) -> None:
    found = loaded(marian(tmp_path, (">>swh<<", ">>yor<<")))
    assert found.direction("eng_Latn", "yor_Latn", {}).before == ">>yor<< "
    ids = found.tokenizer(">>yor<< The teacher")["input_ids"]
    assert ids[0] == found.tokenizer.encoder[">>yor<<"]
    with pytest.raises(BaseModelError, match=r"knows no hau_Latn \(it has 2 languages: swh, yor"):
        found.direction("eng_Latn", "hau_Latn", {})


def test_a_marian_of_one_pair_is_told_nothing(tmp_path: Path) -> None:
    found = loaded(marian(tmp_path, ()))
    way = found.direction("eng_Latn", "swh_Latn", {})
    assert way == translator.Direction(None, None)
    texts = ["The teacher opened the window", "market market market"]
    together = found.translate(texts, way)
    # padding changes nothing
    assert together == [found.translate([text], way)[0] for text in texts]


def test_what_a_model_could_not_do_is_told(tmp_path: Path) -> None:
    found = loaded(marian(tmp_path, ()), max_tokens=8)
    way = found.direction("eng_Latn", "swh_Latn", {})
    (_, cut, _), (_, whole, _) = found.translate(["the window " * 30, "the"], way)
    assert (cut, whole) == (True, False)


def written(folder: Path, tiny_m2m: Path, task: str = "classification") -> tuple[Any, Any, Path]:
    file = folder / "made" / f"{TARGET}.jsonl"
    of_study = recipe(folder, folder, task, train=str(folder / "made/{lang}.jsonl"))
    return of_study, data.load(of_study).train.to_dict(), file


def write(of_study: Any, wanted: Any, found: translator.Translator, batch: int = 8) -> Any:
    return translating.write(of_study, "train", TARGET, wanted, found, {}, batch, Silent())


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_every_example_has_a_row_in_its_order(tmp_path: Path, tiny_m2m: Path, task: str) -> None:
    of_study, wanted, file = written(tmp_path, tiny_m2m, task)
    found = loaded(tiny_m2m)
    made = write(of_study, wanted, found)
    rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [row["id"] for row in rows] == wanted["id"]
    assert (made.n, made.path) == (24, file)
    way = found.direction("eng_Latn", TARGET, {})
    text = wanted["text"][3] if task == "classification" else " ".join(wanted["tokens"][3])
    ((said, _, _),) = found.translate([text], way)
    own = rows[3]["text"] if task == "classification" else " ".join(rows[3]["tokens"])
    assert "".join(own.split()) == "".join(said.split())
    told = json.loads((file.parent / f"{file.name}.made.json").read_text(encoding="utf-8"))
    assert (told["model"], told["beams"], told["n"]) == (str(tiny_m2m), 2, 24)
    assert sorted(p.name for p in file.parent.iterdir()) == [file.name, f"{file.name}.made.json"]


def test_a_killed_call_goes_on(tmp_path: Path, tiny_m2m: Path) -> None:
    of_study, wanted, file = written(tmp_path, tiny_m2m)
    found, asked = loaded(tiny_m2m), []
    translate = found.translate

    def dies(texts: list[str], direction: Any) -> Any:
        if len(asked) == 2:
            raise KeyboardInterrupt
        asked.append(texts)
        return translate(texts, direction)

    found.translate = dies  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        write(of_study, wanted, found)
    assert not file.exists()
    partial = file.with_name(f".{file.name}.partial")
    with partial.open("a", encoding="utf-8") as half:
        half.write('{"key": "ab')

    def goes_on(texts: list[str], direction: Any) -> Any:
        asked.append(texts)
        return translate(texts, direction)

    found.translate = goes_on  # type: ignore[method-assign]
    write(of_study, wanted, found)
    assert sorted(text for texts in asked for text in texts) == sorted(wanted["text"])
    whole = file.read_bytes()
    file.unlink()
    write(of_study, wanted, loaded(tiny_m2m), batch=24)
    assert file.read_bytes() == whole


def test_other_settings_do_not_go_on(tmp_path: Path, tiny_m2m: Path) -> None:
    of_study, wanted, file = written(tmp_path, tiny_m2m)
    file.parent.mkdir()
    begun = json.dumps({"model": "another"})
    file.with_name(f".{file.name}.partial").write_text(f"{begun}\n", encoding="utf-8")
    with pytest.raises(RunError, match="begun with other settings"):
        write(of_study, wanted, loaded(tiny_m2m))


def test_only_json_lines_are_written(tmp_path: Path, tiny_m2m: Path) -> None:
    of_study = recipe(tmp_path, tmp_path, train=str(tmp_path / "made/{lang}.csv"))
    with pytest.raises(DataError, match=r"JSON lines are written; expected FILE.jsonl"):
        write(of_study, data.load(of_study).train.to_dict(), loaded(tiny_m2m))


def test_the_command_writes_what_the_recipe_names(
    tmp_path: Path, tiny_m2m: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    of_study = recipe(tmp_path, tiny_base, train="made/{lang}.jsonl", test="back/{lang}.jsonl")
    (tmp_path / "study.yaml").write_text(dump(of_study), encoding="utf-8")
    words = [
        "translate",
        "study.yaml",
        "--model",
        str(tiny_m2m),
        "--max-tokens",
        "12",
        "--beams",
        "1",
    ]
    first = CliRunner().invoke(app, words)
    assert first.exit_code == 0, first.output
    assert "made/swh_Latn.jsonl: 24 translations" in first.stdout
    assert "back/swh_Latn.jsonl: 24 translations" in first.stdout
    before = (tmp_path / f"made/{TARGET}.jsonl").read_bytes()
    again = CliRunner().invoke(app, words)
    assert again.exit_code == 0
    assert "every file that the recipe names is there" in again.output
    assert (tmp_path / f"made/{TARGET}.jsonl").read_bytes() == before
    assert translated.languages(of_study, "train") == (TARGET,)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "--model: name a translation model"),
        (["--model", "m2m", "--use", "dev"], "--use dev: expected train or test"),
        (["--model", "m2m", "--language", "yor_Latn"], "--language yor_Latn: is no target"),
        (["--model", "BASE"], "--model BASE: model_type 'bert' is no translation model"),
        (["--model", "M2M", "--code", "sw"], "--code sw: write it as swh_Latn=sw"),
    ],
)
def test_options_that_cannot_be(
    tmp_path: Path,
    tiny_m2m: Path,
    tiny_base: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    of_study = recipe(tmp_path, tiny_base, train="made/{lang}.jsonl")
    (tmp_path / "study.yaml").write_text(dump(of_study), encoding="utf-8")
    (tmp_path / "BASE").symlink_to(tiny_base)
    (tmp_path / "M2M").symlink_to(tiny_m2m)
    found = CliRunner().invoke(app, ["translate", "study.yaml", *words])
    assert found.exit_code == 2
    assert said in found.output
    assert found.output.count("\n") == 1


def test_a_recipe_without_the_section(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plain = recipe(tmp_path, tmp_path).model_copy(update={"translated": None})
    (tmp_path / "study.yaml").write_text(dump(plain), encoding="utf-8")
    found = CliRunner().invoke(app, ["translate", "study.yaml", "--model", "m"])
    assert found.exit_code == 2
    assert "the recipe has no section translated; give it a path to write to" in found.output
