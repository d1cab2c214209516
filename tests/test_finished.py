"""A study on a language adapter that `lowres adapt` has finished."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_preparation import options, sentences, study

from lowres import (
    adapt_alone,
    artifacts,
    bases,
    finished,
    material,
    model,
    pipeline,
    predict,
    preparation,
    trim,
    trimmed,
)
from lowres.errors import RecipeError, RunError
from lowres.extend import extend
from lowres.progress import Silent
from lowres.recipe import Base
from lowres.recipe_text import Extend


def adapted(folder: Path, base: Path, extended: bool = True) -> Path:
    """What `lowres tokenizer extend` and `lowres adapt` leave."""
    study(folder, base)
    adapt, described = options(folder)
    pieces = None
    if extended:
        pieces = folder / "pieces"
        with artifacts.new_folder(pieces, "--out") as empty:
            texts = material.load(described, ())
            extend(Extend(pieces=12), bases.locate(str(base)), texts, empty)
    out = folder / "language"
    given = Base(name=str(base), quantization="none")
    adapt_alone.make(adapt, given, described, pieces, out, 1, Silent())
    return out


def on(folder: Path, base: Path, adapter: Path | str, **adapt: Any) -> Any:
    section = {"adapter": str(adapter), **adapt}
    return study(folder, base, text=None, tokenizer=None, adapt=section)


def test_a_study_on_a_finished_adapter(tmp_path, tiny_unigram_base):
    language = adapted(tmp_path, tiny_unigram_base)
    recipe, out = on(tmp_path, tiny_unigram_base, language), tmp_path / "run"
    assert preparation.stage_names(recipe) == []
    stages = {stage.name: stage.state for stage in pipeline.plan(recipe, out)}
    assert stages["adapt"] == f"skipped: {language} is taken"
    results = pipeline.run(recipe, out)
    assert {s.system for s in results.scores} == {"adapter", "base-as-is", "majority"}
    adapter = out / "train/1/adapter"
    new = json.loads((language / "adapter/extension.json").read_text(encoding="utf-8"))["pieces"]
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    assert len(next(iter(config["trainable_token_indices"].values()))) == len(new) == 12
    texts = [row[1] for row in sentences(18, 4)]
    kept = (out / "predictions/1/tzm_Tfng.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [answer.answer for answer in predict.load(adapter).predict(texts)]
    assert answers == [json.loads(line)["predicted"] for line in kept]
    # the folder inside is taken as well; another adapter is another training
    assert finished.folders(on(tmp_path, tiny_unigram_base, language / "adapter")) == {
        None: language / "adapter"
    }
    located = bases.locate(str(tiny_unigram_base))
    before = preparation.fingerprint(recipe, located)
    weights = language / "adapter/adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b" ")
    assert preparation.fingerprint(recipe, located) != before


def test_a_trimmed_table_has_what_the_adapters_tokenizer_reads(
    tmp_path, tiny_unigram_base, monkeypatch
):
    language = adapted(tmp_path, tiny_unigram_base)
    read_with, real = [], trim.trim

    def noted(recipe, data, located, *rest):
        read_with.append(located.extension)
        return real(recipe, data, located, *rest)

    monkeypatch.setattr(trim, "trim", noted)
    for name, tokenizer in (("whole", None), ("small", {"trim": {}})):
        section = {"adapter": str(language), "controls": False}
        recipe = study(tmp_path, tiny_unigram_base, text=None, tokenizer=tokenizer, adapt=section)
        pipeline.run(recipe, tmp_path / name)
    assert read_with == [str(language / "adapter")]
    kept = trimmed.read(tmp_path / "small/trim" / trimmed.FILE).ids.tolist()
    rows = [row[1] for row in sentences(18, 4)] + [row[0] for row in sentences(18, 4)]
    extended = model.load_tokenizer(
        replace(bases.locate(str(tiny_unigram_base)), extension=str(language / "adapter"))
    )
    first = json.loads((language / "adapter/extension.json").read_text("utf-8"))["first_id"]
    read = {i for row in extended(rows)["input_ids"] for i in row if i < first}
    assert read <= set(kept)
    for code in ("eng_Latn", "tzm_Tfng"):
        whole, small = (
            (tmp_path / name / f"predictions/1/{code}.jsonl").read_bytes()
            for name in ("whole", "small")
        )
        assert whole == small


def test_one_a_language(tmp_path, tiny_unigram_base):
    language = adapted(tmp_path, tiny_unigram_base, extended=False)
    language.rename(tmp_path / "of-tzm_Tfng")
    named = tmp_path / "of-{lang}"
    recipe = on(tmp_path, tiny_unigram_base, named, per_language=True, controls=False)
    out = tmp_path / "run"
    pipeline.run(recipe, out)
    assert (out / "train/1/adapters/tzm_Tfng/labels.json").is_file()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("other base", "was made on FacebookAI/xlm-roberta-base, not on intfloat/multilingual"),
        (
            "other revision",
            "was made on revision abc of intfloat/multilingual-e5-small, not on def",
        ),
        ("task", "has a task's head: an adapter of `lowres run`"),
        ("vocabulary", "extends another vocabulary than that of"),
        ("no pieces", r"has rows of new pieces, but no extension.json"),
        ("rows", r"holds rows of shape \[\[12, .*\]\], expected 11 of them"),
        ("gone", "no such folder; expected what `lowres adapt --out` has written"),
        ("empty", "holds no finished adapter"),
        ("per language", "brings new pieces, and adapters of single languages share one tokenizer"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, tiny_unigram_base, damage, said):
    folder = adapted(tmp_path, tiny_unigram_base) / "adapter"
    located = bases.locate(str(tiny_unigram_base))
    file = folder / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    recipe = on(tmp_path, tiny_unigram_base, folder)
    if damage == "other base":
        config["base_model_name_or_path"] = "FacebookAI/xlm-roberta-base"
        located = replace(located, hub_id="intfloat/multilingual-e5-small")
    elif damage == "other revision":
        config |= {"base_model_name_or_path": "intfloat/multilingual-e5-small", "revision": "abc"}
        located = replace(located, hub_id="intfloat/multilingual-e5-small", revision="def")
    elif damage == "task":
        config["modules_to_save"] = ["classifier"]
    elif damage == "vocabulary":
        meta = folder / "extension.json"
        plain = json.loads(meta.read_text(encoding="utf-8"))
        meta.write_text(json.dumps({**plain, "vocabulary_sha256": "0"}), encoding="utf-8")
    elif damage == "no pieces":
        (folder / "extension.json").unlink()
    elif damage == "rows":
        (key,) = config["trainable_token_indices"]
        config["trainable_token_indices"] = {key: config["trainable_token_indices"][key][:-1]}
    elif damage == "gone":
        recipe = on(tmp_path, tiny_unigram_base, tmp_path / "nowhere")
    elif damage == "empty":
        (tmp_path / "empty").mkdir()
        recipe = on(tmp_path, tiny_unigram_base, tmp_path / "empty")
    else:
        folder.parent.rename(tmp_path / "of-tzm_Tfng")
        recipe = on(tmp_path, tiny_unigram_base, tmp_path / "of-{lang}", per_language=True)
        file = tmp_path / "of-tzm_Tfng/adapter/adapter_config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(RunError, match=said):
        finished.check(recipe, located)


def test_what_a_recipe_cannot_say_together(tmp_path, tiny_unigram_base):
    for sections, said in (
        ({"adapt": {"adapter": "x", "epochs": 2}}, "leaves no use for adapt.epochs"),
        ({"adapt": {"adapter": "x-{lang}"}}, "exactly where adapt.per_language is true"),
        ({"adapt": {"adapter": "x"}}, "brings the tokenizer that it was made with"),
    ):
        with pytest.raises(RecipeError, match=said):
            study(tmp_path, tiny_unigram_base, **sections)
