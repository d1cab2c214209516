"""The trainings on a few labels: which there are, where they go on from, what is said of them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import tiny_language
import tiny_study
import torch
from safetensors.torch import load_file
from tiny_language import LABELS
from tiny_study import CPU

from lowres import adapter_files, bases, few_shot, pipeline, preparation
from lowres.artifacts import RunFolder
from lowres.errors import DataError, RunError
from lowres.recipe import Recipe
from lowres.recipe_loading import from_mapping

TARGETS = ("swh_Latn", "yor_Latn")


def study(folder: Path, base: Path, few: dict[str, Any] | None = None, **languages: Any) -> Recipe:
    """Two targets whose words say the label; 24 training examples each."""
    draw = random.Random(3)
    for language in ("eng_Latn", *TARGETS):
        for split, count in (("train", 24), ("dev", 9), ("test", 12)):
            rows = tiny_study.examples("classification", count, draw.randrange(99))
            file = folder / language / f"{split}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            lines = [json.dumps({key: row[key] for key in ("id", "text", "label")}) for row in rows]
            file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    plain: dict[str, Any] = {
        "name": "few",
        "base": {"name": str(base), "quantization": "none"},
        "languages": {"source": "eng_Latn", "targets": list(TARGETS), **languages},
        "data": {"files": str(folder / "{lang}/{split}.jsonl")},
        "task": {"name": "classification"},
        "lora": {"rank": 4},
        # at usual rates a base this small collapses
        "train": {
            "epochs": 4,
            "batch": 8,
            "max_tokens": 24,
            "precision": "fp32",
            "learning_rate": 1e-2,
            "head_learning_rate": 3e-2,
        },
        "evaluate": {"baselines": ["majority"], "bootstrap": 100},
    }
    return from_mapping(plain if few is None else {**plain, "few_shot": few})


def test_a_training_for_each_number_draw_and_target(tmp_path: Path) -> None:
    recipe = study(tmp_path, tmp_path, shots=[0, 3, "all"], draws=2)
    assert few_shot.places(recipe) == [
        "shots/3/swh_Latn/draw-1/", "shots/3/yor_Latn/draw-1/",
        "shots/3/swh_Latn/draw-2/", "shots/3/yor_Latn/draw-2/",
        "shots/all/swh_Latn/", "shots/all/yor_Latn/",
    ]  # fmt: skip
    together = study(tmp_path, tmp_path, {"together": True}, shots=[3], draws=2)
    assert few_shot.places(together) == ["shots/3/draw-1/", "shots/3/draw-2/"]
    alone = study(tmp_path, tmp_path, targets="swh_Latn", shots=[3])
    assert few_shot.places(alone) == ["shots/3/"]
    assert preparation.training_names(alone) == ["train/1", "shots/3/train/1"]
    assert few_shot.places(study(tmp_path, tmp_path, shots=[0])) == []


def test_only_a_continued_training_has_a_train_section_of_its_own(tmp_path: Path) -> None:
    few = {"epochs": 4, "learning_rate": 1e-4, "batch": 12, "checkpoint": "average"}
    recipe = study(tmp_path, tmp_path, few, shots=[3])
    recipe = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"micro_batch": 8, "steps": 9})}
    )
    (first, _) = few_shot.variants(recipe, bases.LocatedBase("x", "", None, None, "folder"))
    train = few_shot.recipe_of(recipe, first).train
    assert (train.epochs, train.steps, train.learning_rate) == (4, None, 1e-4)
    assert (train.batch, train.micro_batch, train.checkpoint) == (12, 4, "average")
    assert train.max_tokens == recipe.train.max_tokens
    mixed = study(tmp_path, tmp_path, {"way": "mixed"}, shots=[3])
    (first, _) = few_shot.variants(mixed, bases.LocatedBase("x", "", None, None, "folder"))
    assert few_shot.recipe_of(mixed, first) is mixed
    assert not few_shot.continues(mixed, first)


@pytest.mark.slow
def test_a_study_of_draws_and_its_curves(tmp_path: Path, tiny_base: Path) -> None:
    recipe = study(tmp_path, tiny_base, {"epochs": 2}, shots=[0, 3, 6], draws=3)
    out = tmp_path / "run"
    results = pipeline.run(recipe, out)
    drawn = [s for s in results.scores if s.system == "6-shot" and s.metric == "macro_f1"]
    assert sorted((s.language, s.draw) for s in drawn) == [
        (code, draw) for code in TARGETS for draw in (1, 2, 3)
    ]
    assert {(p.language, p.shots, p.n) for p in results.learning} == {
        (code, shots, n)
        for code in (*TARGETS, "targets")
        for shots, n in (("0", 1), ("3", 3), ("6", 3))
    }
    assert [len(record.ids) for record in results.draws] == [6] * 6
    # what was recorded is what was trained on, and the 3 begin the 6
    place = out / "shots/3/swh_Latn/draw-2/train/1/manifest.json"
    notes = json.loads(place.read_text(encoding="utf-8"))["notes"]
    (record,) = (r for r in results.draws if (r.language, r.draw) == ("swh_Latn", 2))
    assert notes["target_examples"] == {"swh_Latn": record.ids[:3]}
    assert notes["best_step"] == notes["steps"] == 2
    assert {s.name for s in results.stages} >= {"train/1", "shots/3: 6 trainings"}
    # the adapter of a target answers no other target, and the first draw's the source as well
    after = {f"eng_Latn-after-{code}.jsonl" for code in TARGETS}
    alone = {f"{code}.jsonl" for code in TARGETS}
    assert {p.name for p in (out / "predictions/3-shot/1").iterdir()} == alone | after
    assert {p.name for p in (out / "predictions/3-shot/draw-2/1").iterdir()} == alone
    assert {s.language for s in results.scores if s.system == "3-shot"} == set(TARGETS)
    assert [s.figure for s in results.symptoms if s.name == "forgetting"] == [
        f"{shots}-shot over the adapter" for shots in (3, 6)
    ]
    assert "What a few labels bring" in (out / "report.html").read_text(encoding="utf-8")
    averaged = {a.system: a.seeds for a in results.averages if a.over == "targets"}
    assert averaged["6-shot"] == 3
    before = {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")}
    assert pipeline.run(recipe, out).scores == results.scores
    assert before == {file: file.stat().st_mtime_ns for file in out.rglob("*.safetensors")}


@pytest.mark.slow
def test_without_a_step_to_speak_of_it_answers_as_the_zero_shot_adapter(
    tmp_path: Path, tiny_base: Path
) -> None:
    """That it goes on from there, and from nowhere else."""
    still = {"epochs": 1, "learning_rate": 1e-12, "head_learning_rate": 1e-12}
    out = tmp_path / "run"
    pipeline.run(study(tmp_path, tiny_base, still, shots=[3], targets="swh_Latn"), out)
    answers = [
        [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        for file in (
            out / "predictions/1/swh_Latn.jsonl",
            out / "predictions/3-shot/1/swh_Latn.jsonl",
        )
    ]
    for zero, few in zip(*answers, strict=True):
        assert zero["predicted"] == few["predicted"]
        assert zero["probability"] == pytest.approx(few["probability"], abs=2e-4)


@pytest.mark.slow
def test_a_head_alone_goes_on_at_a_rate_that_moves_it(tmp_path: Path, tiny_base: Path) -> None:
    recipe = study(tmp_path, tiny_base, {"epochs": 4}, shots=[12], targets="swh_Latn")
    train = {"strategy": "probe", "epochs": 4, "batch": 8, "max_tokens": 24, "precision": "fp32"}
    plain = {**recipe.model_dump(mode="json"), "train": train, "few_shot": {"epochs": 4}}
    plain["lora"] = {}
    out = tmp_path / "run"
    pipeline.run(from_mapping(plain), out)
    before, after = (
        load_file(out / place / "train/1/adapter/adapter_model.safetensors")
        for place in (".", "shots/12")
    )
    assert set(before) == set(after)
    moved = max(float((after[name] - before[name]).abs().max()) for name in before)
    # AdamW moves a weight by about its rate a step: six steps, the rate rising to 3e-3 and falling
    assert 3e-3 < moved < 3e-2


@pytest.mark.slow
def test_mixed_and_together_is_one_training_a_draw(tmp_path: Path, tiny_base: Path) -> None:
    few = {"way": "mixed", "together": True, "repeats": 2}
    out = tmp_path / "run"
    results = pipeline.run(study(tmp_path, tiny_base, few, shots=[3]), out)
    notes = json.loads((out / "shots/3/train/1/manifest.json").read_text(encoding="utf-8"))["notes"]
    assert set(notes["target_examples"]) == set(TARGETS)
    # 24 of the source and twice 3 of two targets, in batches of 8
    assert notes["steps"] == 4 * 5
    assert {s.language for s in results.scores if s.system == "3-shot"} == {"eng_Latn", *TARGETS}


def test_validate_counts_before_anything_is_trained(tmp_path: Path, tiny_base: Path) -> None:
    from lowres import shots

    shots.check_files(study(tmp_path, tiny_base, shots=[0, 24, "all"]))
    with pytest.raises(DataError, match=r"languages.shots: 25 training examples") as caught:
        shots.check_files(study(tmp_path, tiny_base, shots=[0, 10, 25, "all"]))
    files = [tmp_path / code / "train.jsonl" for code in TARGETS]
    assert str(caught.value).endswith(
        f"swh_Latn has 24 ({files[0]}), yor_Latn has 24 ({files[1]}): ask for 24 at most, or leave "
        "these targets out"
    )
    recipe = study(tmp_path, tiny_base, shots=["all"])
    files[0].unlink()
    with pytest.raises(DataError) as caught:
        shots.check_files(recipe)
    assert f"swh_Latn has 0 (swh_Latn train: no file {files[0]}" in str(caught.value)


def test_the_ids_of_all_examples_are_recorded_too(tmp_path: Path, tiny_base: Path) -> None:
    located = bases.LocatedBase("x", "", None, None, "folder")
    recipe = study(tmp_path, tiny_base, targets="swh_Latn", shots=[3, "all"], draws=2)
    folder = RunFolder(tmp_path / "run")
    (three, other, every) = few_shot.variants(recipe, located)
    for variant, ids in ((three, "abc"), (other, "bca"), (every, "abcdef")):
        with folder.stage(variant.training(1), "a") as stage:
            stage.notes["target_examples"] = {"swh_Latn": list(ids)}
    found = few_shot.drawn(folder, [three, other, every], [1])
    assert [(each.draw, "".join(each.ids)) for each in found] == [(1, "abcdef"), (2, "bca")]


@pytest.fixture(scope="module")
def languages(tmp_path_factory: pytest.TempPathFactory, tiny_unigram_base: Path) -> Any:
    folder = tmp_path_factory.mktemp("languages")
    return tiny_language.Languages(folder, {"xlm-roberta": tiny_unigram_base}, None)


@pytest.mark.parametrize("task", ["classification", "tagging"])
def test_the_tasks_own_weights_are_taken_up_again(
    tmp_path: Path, languages: Any, task: str
) -> None:
    """An adapter that holds a language adapter and rows, over a base that stands on both."""
    from peft import get_peft_model_state_dict

    located, options = languages("xlm-roberta"), tiny_language.task_options(task)
    network = tiny_language.attached(located, options)
    adapter_files.save_adapter(network, tmp_path / "adapter", located, options, LABELS, 24, "none")
    fresh = tiny_language.attached(located, options)
    for parameter in fresh.parameters():
        if parameter.requires_grad:
            parameter.data.normal_()
    adapter_files.take_up(fresh, tmp_path / "adapter", located)
    old = get_peft_model_state_dict(network, save_embedding_layers=False)
    new = get_peft_model_state_dict(fresh, save_embedding_layers=False)
    assert set(old) == set(new)
    for name, value in old.items():
        torch.testing.assert_close(new[name], value, rtol=1e-6, atol=1e-7)
    ids = torch.tensor([[0, 5, 6, 7, 2]])
    both = [tiny_language.logits(net.eval(), ids, 1) for net in (network, fresh)]
    torch.testing.assert_close(*both)


def test_an_adapter_of_another_shape_is_refused(tmp_path: Path, languages: Any) -> None:
    from lowres import lora, model
    from lowres.recipe import Lora

    located, options = languages("xlm-roberta"), tiny_language.task_options("classification")
    network = tiny_language.attached(located, options)
    adapter_files.save_adapter(network, tmp_path / "adapter", located, options, LABELS, 24, "none")
    base = model.load_base(located, tiny_language.FLOAT, options, LABELS, CPU)
    larger = lora.attach(base, Lora(rank=6), options, located.name)
    with pytest.raises(RunError, match="is no adapter of this recipe"):
        adapter_files.take_up(larger, tmp_path / "adapter", located)
