"""A whole study that extends, adapts, trains controls and few-shot systems, on a tiny base."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lowres import gains, pipeline, predict, preparation, variants
from lowres.cli import app
from lowres.errors import DataError, RecipeError, RunError
from lowres.progress import Silent
from lowres.recipe_loading import from_mapping
from lowres.text_options import adapt as adapt_options
from lowres.text_options import text as text_options

PLAIN = {"market": "trade", "doctor": "health", "river": "nature"}
# made-up words in letters that the tiny tokenizers do not have
WORDS = {
    "market": "ⵜⵓⵙⵓⵇⵜ",
    "doctor": "ⴰⵎⵊⵊⴰⵢ",
    "river": "ⴰⵙⵉⴼ",
    "the": "ⴷⴰ",
    "was": "ⵜⵍⵍⴰ",
    "hot": "ⵔⵖⴰ",
}


def sentences(count: int, seed: int) -> list[tuple[str, str, str]]:
    """(English, the made-up language, label)."""
    draw, rows = random.Random(seed), []
    for number in range(count):
        key = list(PLAIN)[number % 3]
        words = draw.choices(["the", "was", "hot"], k=draw.randint(1, 5)) + [key] * 2
        rows.append((" ".join(words), " ".join(WORDS[w] for w in words), PLAIN[key]))
    return rows


class Heard(Silent):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        """One line of news."""
        self.lines.append(line)


def study(folder: Path, base: Path, **sections: Any) -> Any:
    """A recipe over files written into a folder."""
    for split, count in (("train", 40), ("dev", 12), ("test", 18)):
        for column, language in ((0, "eng_Latn"), (1, "tzm_Tfng")):
            rows = [
                json.dumps({"text": row[column], "label": row[2]}, ensure_ascii=False)
                for row in sentences(count, len(split))
            ]
            file = folder / language / f"{split}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    parallel = sentences(160, 9)
    for column, name in ((0, "eng"), (1, "tzm_Tfng")):
        # numbered, so that no pair stands there twice
        lines = [f"{row[column]} {number}" for number, row in enumerate(parallel)]
        (folder / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    plain = {
        "name": "whole",
        "base": {"name": str(base), "quantization": "none"},
        "languages": {"source": "eng_Latn", "targets": "tzm_Tfng"},
        "data": {"files": str(folder / "{lang}/{split}.jsonl")},
        "task": {"name": "classification"},
        "text": {
            "files": str(folder / "{lang}.txt"),
            "translations": str(folder / "eng.txt"),
            "held_out": 30,
        },
        "tokenizer": {"extend": {"pieces": 12}},
        "adapt": {"epochs": 2, "batch": 16, "rank": 4},
        "lora": {"rank": 4},
        "train": {"epochs": 2, "precision": "fp32", "max_tokens": 32},
        "evaluate": {"baselines": ["majority"], "bootstrap": 100},
    }
    return from_mapping({**plain, **sections})


def status(out: Path, place: str) -> str:
    plain = json.loads((out / place / "train/1/manifest.json").read_text(encoding="utf-8"))
    return str(plain["notes"]["status"])


@pytest.mark.slow
def test_a_study_with_everything(tmp_path, tiny_unigram_base):
    shots = {"source": "eng_Latn", "targets": "tzm_Tfng", "shots": [3, "all"]}
    recipe = study(tmp_path, tiny_unigram_base, languages=shots)
    out = tmp_path / "run"
    results = pipeline.run(recipe, out)

    scored = {score.system for score in results.scores}
    controls = {"base-as-is", "adapted-old-vocabulary", "extended-only"}
    assert scored == {"adapter", "majority", "3-shot", "all-shot", *controls}
    assert results.extension is not None
    assert results.extension.pieces == 12
    (held,) = results.extension.languages
    assert held.unknown_before > 0.3
    assert held.unknown_after < held.unknown_before
    stages = [record.stage for record in results.adaptations]
    assert stages == ["adapt", "controls/adapted-old-vocabulary/adapt"]
    own, old = results.adaptations
    assert (own.steps, own.items) == (old.steps, old.items)
    beside = {c.b for c in results.comparisons if c.language == "targets"}
    # a net this small collapses now and then; with such a control nothing is compared
    places = {name: f"controls/{name}" for name in controls}
    places |= {"3-shot": "shots/3", "all-shot": "shots/all"}
    assert beside == {name for name, place in places.items() if status(out, place) == "ok"}
    notes = json.loads((out / "shots/3/train/1/manifest.json").read_text(encoding="utf-8"))["notes"]
    assert len(notes["target_examples"]["tzm_Tfng"]) == 3
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "What it is due to" in page
    assert "Against the same training on the old vocabulary" in page

    # the adapter holds all it stands on
    adapter = out / "train/1/adapter"
    assert (adapter / "tokenizer.json").is_file()
    answers = [a.answer for a in predict.load(adapter).predict(row[1] for row in sentences(18, 4))]
    kept = (out / "predictions/1/tzm_Tfng.jsonl").read_text(encoding="utf-8").splitlines()
    assert answers == [json.loads(line)["predicted"] for line in kept]

    # nothing is done twice, whatever goes missing behind it
    said: list[str] = []

    class Listening(Silent):
        def say(self, line: str) -> None:
            said.append(line)

    again = pipeline.run(recipe, out, Listening())
    assert again.scores == results.scores
    assert [line for line in said if line.startswith(("extend", "adapt", "train"))] == [
        "extend: done before",
        "adapt: done before",
        "train/1: done before",
    ]
    plan = {stage.name: stage.state for stage in pipeline.plan(recipe, out)}
    assert plan["extend"] == plan["adapt"] == plan["shots/all/train/1"] == "done"


@pytest.mark.slow
def test_each_language_with_its_own_adapter(tmp_path, tiny_unigram_base):
    adapt = {"epochs": 1, "batch": 16, "rank": 4, "per_language": True, "controls": False}
    out = tmp_path / "run"
    results = pipeline.run(study(tmp_path, tiny_unigram_base, adapt=adapt), out)
    assert {score.system for score in results.scores} == {"adapter", "majority"}
    assert [record.stage for record in results.adaptations] == ["adapt/tzm_Tfng"]
    task, its = out / "train/1/adapter", out / "train/1/adapters/tzm_Tfng"
    ranks = [json.loads((p / "adapter_config.json").read_text())["r"] for p in (task, its)]
    assert ranks == [4, 8]
    assert (its / "labels.json").is_file()
    (note,) = predict.load(task).notes
    assert "tzm_Tfng have adapters of their own" in note
    own = predict.load(task, language="tzm_Tfng")
    assert own.notes == ()
    texts = [row[1] for row in sentences(18, 4)]
    kept = (out / "predictions/1/tzm_Tfng.jsonl").read_text(encoding="utf-8").splitlines()
    assert [a.answer for a in own.predict(texts)] == [json.loads(k)["predicted"] for k in kept]


@pytest.mark.slow
def test_nothing_is_claimed_against_a_control_that_collapsed(tmp_path, tiny_unigram_base):
    recipe, out = study(tmp_path, tiny_unigram_base), tmp_path / "run"
    pipeline.run(recipe, out)
    manifest = out / "controls/adapted-old-vocabulary/train/1/manifest.json"
    plain = json.loads(manifest.read_text(encoding="utf-8"))
    plain["notes"]["status"] = "collapsed"
    manifest.write_text(json.dumps(plain), encoding="utf-8")
    results = pipeline.run(recipe, out)
    assert not [c for c in results.comparisons if c.b == "adapted-old-vocabulary"]
    assert any("adapted-old-vocabulary, seed 1: collapsed" in line for line in results.warnings)
    found = gains.of(results, "macro_f1")
    assert found is not None
    assert found.claim.endswith("old vocabulary: not measured.")


def test_a_recipe_without_them_has_no_such_stages(tmp_path, tiny_unigram_base):
    recipe = study(tmp_path, tiny_unigram_base, tokenizer=None, adapt=None, text=None)
    assert preparation.stage_names(recipe) == []
    assert preparation.training_names(recipe) == ["train/1"]
    states = [(stage.name, stage.state) for stage in pipeline.plan(recipe, tmp_path / "run")]
    assert states[:2] == [
        ("extend", "skipped: the recipe has no tokenizer.extend"),
        ("adapt", "skipped: the recipe has no adapt section"),
    ]


def test_only_extended_has_the_base_for_a_control(tmp_path, tiny_unigram_base):
    recipe = study(tmp_path, tiny_unigram_base, adapt=None)
    assert preparation.stage_names(recipe) == ["extend"]
    assert preparation.training_names(recipe) == ["train/1", "controls/base-as-is/train/1"]


def options(folder: Path) -> tuple[Any, Any]:
    described = text_options([folder / "tzm_Tfng.txt"], None, [folder / "eng.txt"], None, 30)
    return adapt_options(epochs=1.0, batch=16, rank=4), described


def test_trimming_changes_no_answer(tmp_path, tiny_unigram_base):
    whole = study(tmp_path, tiny_unigram_base, adapt={"epochs": 1, "batch": 16, "controls": False})
    few = {"extend": {"pieces": 12}, "trim": {}}
    small = study(tmp_path, tiny_unigram_base, tokenizer=few, adapt=whole.adapt.model_dump())
    assert "trim" in preparation.stage_names(small)
    for recipe, name in ((whole, "whole"), (small, "small")):
        pipeline.run(recipe, tmp_path / name)
    for language in ("eng_Latn", "tzm_Tfng"):
        answers = [
            (tmp_path / name / f"predictions/1/{language}.jsonl").read_bytes()
            for name in ("whole", "small")
        ]
        assert answers[0] == answers[1]
    notes = json.loads((tmp_path / "small/trim/manifest.json").read_text("utf-8"))["notes"]
    assert notes["rows_after"] < notes["rows_before"]
    # the adapter stands on the whole base
    loaded = predict.load(tmp_path / "small/train/1/adapter")
    kept = answers[1].decode().splitlines()
    given = [row[1] for row in sentences(18, 4)]
    found = loaded.predict(given)
    assert [a.answer for a in found] == [json.loads(line)["predicted"] for line in kept]
    # it serves over the small table too, and says the same
    served = predict.load(tmp_path / "small/train/1/adapter", trimmed=True)
    assert served.predict(given) == found
    assert served.unread.missed == {}
    adapter = str(tmp_path / "small/train/1/adapter")
    strange = CliRunner().invoke(app, ["predict", adapter, "--trimmed", "xylophone quartz wizard"])
    assert strange.exit_code == 0, strange.stderr
    (said,) = [line for line in strange.stderr.splitlines() if "trimmed table" in line]
    assert re.match(r"note: \d+ of \d+ pieces of the text \(\d+\.\d%\) have no row", said)
    with pytest.raises(RunError, match="no run with a trimmed table"):
        predict.load(tmp_path / "whole/train/1/adapter", trimmed=True)


@pytest.mark.parametrize("changed", ["tzm_Tfng.txt", "eng.txt", "words.tsv", "kept.txt"])
def test_stages_are_made_again_when_a_file_behind_them_changed(
    tmp_path, tiny_unigram_base, changed
):
    from lowres import bases

    (tmp_path / "words.tsv").write_text("market\tⵜⵓⵙⵓⵇⵜ\n", encoding="utf-8")
    (tmp_path / "kept.txt").write_text("the river was hot\n", encoding="utf-8")
    plain = study(tmp_path, tiny_unigram_base).text.model_dump()
    recipe = study(
        tmp_path,
        tiny_unigram_base,
        text={**plain, "lexicon": str(tmp_path / "words.tsv")},
        tokenizer={"extend": {"pieces": 12, "keep": [str(tmp_path / "kept.txt")]}},
    )
    located = bases.locate(str(tiny_unigram_base))
    before = preparation.fingerprint(recipe, located)
    assert preparation.fingerprint(recipe, located) == before
    file = tmp_path / changed
    file.write_text(file.read_text("utf-8").replace("e", "a", 1).replace("ⵜ", "ⴷ", 1), "utf-8")
    assert preparation.fingerprint(recipe, located) != before


def test_more_shots_than_there_are_is_found_before_anything_is_made(tmp_path, tiny_unigram_base):
    shots = {"source": "eng_Latn", "targets": "tzm_Tfng", "shots": [3, 4000]}
    recipe = study(tmp_path, tiny_unigram_base, languages=shots)
    with pytest.raises(DataError, match=r"languages.shots: 4,000 .* tzm_Tfng has 40 .* 40 at most"):
        pipeline.run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_trim_alone_has_no_controls(tmp_path, tiny_unigram_base):
    recipe = study(tmp_path, tiny_unigram_base, tokenizer={"trim": {}}, adapt=None, text=None)
    assert preparation.stage_names(recipe) == ["trim"]
    assert preparation.training_names(recipe) == ["train/1"]


def test_words_of_the_target_alone(tmp_path, tiny_unigram_base):
    """No new piece and no adaptation: the text is read for its words, and a changed one counts."""
    ways = [{"name": "code_switch", "copies": 1}, {"name": "word_dropout", "copies": 1}]
    train = {"epochs": 1, "precision": "fp32", "max_tokens": 32, "augment": ways}
    recipe = study(tmp_path, tiny_unigram_base, train=train, tokenizer=None, adapt=None)
    out, said = tmp_path / "run", Heard()
    pipeline.run(recipe, out, said)
    notes = json.loads((out / "train/1/manifest.json").read_text(encoding="utf-8"))["notes"]
    assert notes["augmented"] == [
        "train.augment: code_switch: 100% of the words of eng_Latn's training examples have one of "
        "tzm_Tfng",
        "train.augment: code_switch: 40 examples beside 40",
        "train.augment: word_dropout: 40 examples beside 40",
    ]
    assert set(notes["augmented"]) <= set(said.lines)
    again = Heard()
    pipeline.run(recipe, out, again)
    assert "train/1: done before" in again.lines
    file = tmp_path / "tzm_Tfng.txt"
    file.write_text(file.read_text(encoding="utf-8").replace("ⴰⵙⵉⴼ", "ⴰⵎⴰⵏ"), encoding="utf-8")
    changed = Heard()
    pipeline.run(recipe, out, changed)
    assert "train/1: done before" not in changed.lines


def test_controls_are_trained_on_the_same_copies(tmp_path, tiny_unigram_base):
    """They differ in the base alone."""
    ways = [{"name": "code_switch"}]
    train = {"epochs": 1, "precision": "fp32", "max_tokens": 32, "augment": ways}
    out = tmp_path / "run"
    pipeline.run(study(tmp_path, tiny_unigram_base, train=train), out)
    for place in ("", *(f"controls/{name}" for name in variants.CONTROLS)):
        manifest = json.loads((out / place / "train/1/manifest.json").read_text(encoding="utf-8"))
        assert manifest["notes"]["steps"] == -(-3 * 40 // 16)


def test_words_need_text(tmp_path, tiny_unigram_base):
    train = {"augment": [{"name": "code_switch"}]}
    with pytest.raises(RecipeError, match=r"code_switch needs words of tzm_Tfng: give it a"):
        study(tmp_path, tiny_unigram_base, train=train, text=None, tokenizer=None, adapt=None)
    with pytest.raises(RecipeError, match="unknown way to augment 'code_swich'"):
        study(tmp_path, tiny_unigram_base, train={"augment": [{"name": "code_swich"}]})


def test_each_language_needs_its_words(tmp_path, tiny_unigram_base):
    files = {code: str(tmp_path / f"{code}.txt") for code in ("tzm_Tfng", "nus_Latn")}
    text = {"files": files, "lexicon": {"tzm_Tfng": "list.tsv"}}
    languages = {"source": "eng_Latn", "targets": ["tzm_Tfng", "nus_Latn"]}
    sections = {"text": text, "languages": languages, "tokenizer": None, "adapt": None}
    with pytest.raises(RecipeError, match=r"code_switch needs words of nus_Latn: give it a"):
        study(tmp_path, tiny_unigram_base, train={"augment": [{"name": "code_switch"}]}, **sections)


def test_word_lists_are_looked_at_before_anything_is_made(tmp_path, tiny_unigram_base):
    ways = [{"name": "code_switch", "lexicon": str(tmp_path / "none" / "{lang}.tsv")}]
    recipe = study(tmp_path, tiny_unigram_base, train={"augment": ways})
    with pytest.raises(DataError, match=r"train.augment\[0\].lexicon .*tzm_Tfng.tsv: no such file"):
        pipeline.run(recipe, tmp_path / "run")
    assert not (tmp_path / "run").exists()
