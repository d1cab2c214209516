"""What `import lowres` offers, and that the modules of the same names stay reachable."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import lowres
from lowres import api, artifacts, events, recipe_loading
from lowres.errors import BaseModelError, DataError, LanguageError, LowresError, RecipeError

ROOT = Path(__file__).resolve().parent.parent
FUNCTIONS = ("extend", "diagnose")


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(
    "before",
    [
        "",
        "import lowres.{name}",
        "from lowres.{name} import __doc__",
        "import importlib; importlib.import_module('lowres.{name}')",
        "lowres.{name}; import lowres.{name}",
        "from lowres import {name}; import lowres.{name}",
        "import lowres.cli_tokenizer, lowres.pipeline, lowres.preparation, lowres.{name}",
        "import copy, importlib, lowres.{name}; importlib.reload(sys.modules['lowres.{name}'])",
    ],
)
def test_the_function_and_the_module_of_one_name(name: str, before: str) -> None:
    """In a fresh interpreter, in every order."""
    code = (
        f"import sys, types, lowres\n{before.format(name=name)}\n"
        f"from lowres import {name}\n"
        f"assert lowres.{name} is {name} is sys.modules['lowres.api'].{name}\n"
        f"assert isinstance({name}, types.FunctionType)\n"
        f"from lowres.{name} import {'learn' if name == 'extend' else 'verdict'}\n"
        f"assert lowres.{name} is {name}\n"
        f"assert isinstance(sys.modules['lowres.{name}'], types.ModuleType)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_nobody_here_takes_the_function_for_the_module() -> None:
    """`from lowres import extend` is the function; a module's content is imported by name."""
    wrong = []
    for folder in ("lowres", "tests", "benchmarks"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ImportFrom) and node.module == "lowres":
                    names = {alias.name for alias in node.names} & set(FUNCTIONS)
                    wrong += [f"{path.name}:{node.lineno}: {name}" for name in sorted(names)]
                if isinstance(node, ast.Import):
                    bound = {a.name for a in node.names if a.asname}
                    assert not bound & {f"lowres.{name}" for name in FUNCTIONS}, path
    assert not wrong, "write `from lowres.extend import …`"


def test_the_names_are_those_that_are_said() -> None:
    assert set(lowres.__all__) <= set(dir(lowres))
    for name in lowres.__all__:
        assert getattr(lowres, name).__doc__ or name == "__version__"
    with pytest.raises(AttributeError, match="no attribute 'runs'"):
        _ = lowres.runs


def test_a_recipe_is_read_without_heavy_libraries() -> None:
    code = (
        "import sys, lowres\n"
        "recipe = lowres.Recipe.load('quickstart', {'lora.rank': 8})\n"
        "recipe.check(); recipe.yaml(); recipe.folder()\n"
        "print([m for m in ('torch', 'transformers', 'peft', 'datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_overrides_as_words_and_as_values_are_one_recipe(tmp_path: Path) -> None:
    words = ["lora.rank=8", "seeds=[1, 2]", "languages.targets=[swh_Latn]", "data.files=x/{split}"]
    values = {
        "lora.rank": 8,
        "seeds": (1, 2),
        "languages.targets": ["swh_Latn"],
        "data.files": Path("x/{split}"),
    }
    one, other = (api.Recipe.load("quickstart", given) for given in (words, values))
    plain = recipe_loading.load("quickstart", words)
    assert one == other
    assert one.yaml() == recipe_loading.dump(plain)
    assert one.folder() == other.folder() == Path("runs", one.folder().name)
    assert recipe_loading.digest(plain) in str(one.folder())
    assert one.folder(tmp_path) == tmp_path
    again = api.Recipe.from_mapping(one.model_dump(mode="json"))
    assert again == one
    assert isinstance(again, api.Recipe)


def test_faults_come_all_at_once_and_name_the_override() -> None:
    with pytest.raises(RecipeError) as caught:
        api.Recipe.load("quickstart", {"lora.rank": 0, "train.epoch": 3})
    assert len(caught.value.faults) == 2
    assert "lora.rank: " in str(caught.value)
    assert "did you mean 'epochs'" in str(caught.value)
    with pytest.raises(RecipeError, match="base"):
        api.Recipe.from_mapping({"name": "x"})
    with pytest.raises(DataError, match="data missing"):
        api.Recipe.load("quickstart", {"data.files": "none/{lang}/{split}.tsv"}).check()


def test_a_word_list_that_is_none_is_refused_before_a_run(tmp_path: Path) -> None:
    file = tmp_path / "list.txt"
    keys = {
        "languages.targets": ["swh_Latn"],
        "train.augment": [{"name": "code_switch", "lexicon": str(file)}],
    }
    with pytest.raises(DataError, match=r"no such file; expected .* one entry a line"):
        api.Recipe.load("quickstart", keys).check()
    file.write_text("soko\tmarket\ntimu team\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"list.txt:2: expected `translation TAB word`"):
        api.Recipe.load("quickstart", keys).check()
    file.write_text("the\tya\nin\tkatika\nto\tkwa\n", encoding="utf-8")
    api.Recipe.load("quickstart", keys).check()


def test_freezing_all_layers_is_refused_where_their_number_is_known() -> None:
    keys = {"base.name": "e5-small", "base.quantization": "none", "train.strategy": "full"}
    api.Recipe.load("quickstart", {**keys, "train.freeze.layers": 11}).check()
    with pytest.raises(BaseModelError, match=r"train.freeze.layers 12: e5-small has 12 layers"):
        api.Recipe.load("quickstart", {**keys, "train.freeze.layers": 12}).check()
    # of a base that was never fetched only its run can tell
    elsewhere = {**keys, "base.name": "somebody/encoder", "train.freeze.layers": 99}
    api.Recipe.load("quickstart", elsewhere).check()


@pytest.fixture
def recipe(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> api.Recipe:
    """A study of seconds: one seed, three epochs."""
    monkeypatch.chdir(tmp_path)
    return api.Recipe.load(
        "quickstart",
        {
            "base.name": tiny_base,
            "base.quantization": "none",
            "languages.targets": ["swh_Latn"],
            "evaluate.bootstrap": 100,
            "evaluate.baselines": ["majority"],
            "seeds": [1],
            "train.epochs": 3,
        },
    )


def test_a_run_tells_what_happens(recipe: api.Recipe) -> None:
    told: list[events.Event] = []
    done = lowres.run(recipe, on_event=told.append)
    stages = [e for e in told if isinstance(e, events.StageStarted | events.StageFinished)]
    assert [(type(e).__name__, e.stage) for e in stages] == [
        ("StageStarted", "train/1"),
        ("StageFinished", "train/1"),
        ("StageStarted", "evaluate"),
        ("StageFinished", "evaluate"),
    ]
    epochs = [e for e in told if isinstance(e, events.EpochScored)]
    assert [round(e.epoch) for e in epochs][:3] == [1, 2, 3]
    curve = [p.value for p in done.results.curves if p.name == f"dev {epochs[0].metric}"]
    assert [e.score for e in epochs][-3:] == pytest.approx(curve)
    steps = [e for e in told if isinstance(e, events.Step) and e.work == "train, seed 1"]
    assert steps[-1].done == steps[-1].total > 3
    warned = [e.text for e in told if isinstance(e, events.Warned)]
    assert sorted(warned) == sorted({*done.results.warnings, *done.doubts})
    assert told[-1] == events.Done(recipe.folder(), done.results.resources.seconds)
    kept = json.loads((done.folder / "results.json").read_text(encoding="utf-8"))
    assert kept == done.results.model_dump(mode="json", by_alias=True)
    assert done.report.is_file()

    told.clear()
    again = lowres.run(recipe, on_event=told.append)
    assert again.results.scores == done.results.scores
    assert [e.stage for e in told if isinstance(e, events.StageFinished) and e.reused] == [
        "train/1",
        "evaluate",
    ]
    assert not [e for e in told if isinstance(e, events.StageStarted | events.Step)]


class RefusalError(OSError):
    """Of a kind that the work would take for the disk's."""


@pytest.mark.parametrize(
    "kind",
    [
        events.StageStarted,
        events.Step,
        events.EpochScored,
        events.StageFinished,
        events.News,
        events.Done,
    ],
)
@pytest.mark.parametrize(
    "error", [RefusalError(28, "no"), MemoryError("out of memory"), KeyError("x")]
)
def test_what_a_callback_raises_comes_out_and_the_run_goes_on(
    recipe: api.Recipe, monkeypatch: pytest.MonkeyPatch, kind: Any, error: Exception
) -> None:
    from fake_stages import Fakes

    fakes = Fakes(monkeypatch)
    if kind in (events.Step, events.EpochScored):
        event = events.Step("x", 1, 2) if kind is events.Step else None
        event = event or events.EpochScored(1, 1.0, 3, "macro_f1", 0.5)

        def train(*words: Any, **known: Any) -> Any:
            words[-1].tell(event)
            return fakes.train(*words, **known)

        monkeypatch.setattr("lowres.train.train", train)
    heard = []

    def refuse(event: events.Event) -> None:
        heard.append(event)
        if isinstance(event, kind):
            raise error

    with pytest.raises(type(error)) as caught:
        lowres.run(recipe, on_event=refuse)
    assert caught.value is error
    assert isinstance(heard[-1], kind)
    again = lowres.run(recipe)
    assert (again.folder / "results.json").is_file()


def test_a_training_that_a_callback_broke_off_ends_as_a_whole_one(
    recipe: api.Recipe, tmp_path: Path
) -> None:
    def stop(event: events.Event) -> None:
        if isinstance(event, events.EpochScored) and event.epoch > 1.5:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        lowres.run(recipe, on_event=stop)
    partial = artifacts.partial_path(recipe.folder() / "train" / "1")
    assert list(partial.glob("checkpoints/checkpoint-*"))
    went_on = lowres.run(recipe)
    whole = lowres.run(recipe, out=tmp_path / "whole")
    assert went_on.results.scores == whole.results.scores
    assert went_on.results.curves == whole.results.curves


def test_sentences_are_diagnosed_as_their_file_is(
    tiny_unigram_base: Path, tmp_path: Path, sentences: tuple[str, ...]
) -> None:
    file = tmp_path / "text.txt"
    file.write_text("\n".join([*sentences, ""]), encoding="utf-8")
    base = api.open_base(tiny_unigram_base)
    found = lowres.diagnose(base, iter(sentences))
    of_file = lowres.diagnose(str(tiny_unigram_base), file)
    assert found.verdict == of_file.verdict
    assert found.measured == of_file.measured
    assert found.verdict.word in ("fine", "extend", "replace", "script unknown")
    with pytest.raises(DataError, match=r"^text: expected sentences"):
        lowres.diagnose(base, [])
    with pytest.raises(LanguageError, match=r"^language: "):
        lowres.diagnose(base, sentences, "no_such")
    with pytest.raises(LowresError, match=r"^base: "):
        lowres.diagnose("no such base", sentences)


def test_a_tokenizer_is_extended_from_python_as_from_the_command(
    tiny_unigram_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from typer.testing import CliRunner

    from lowres.cli import app

    monkeypatch.chdir(tmp_path)
    words = ("ⵜⵓⵙⵓⵇⵜ", "ⵉⴳⵓⵎⴰ", "ⴰⵙⵍⵎⴰⴷ", "ⴰⵎⴰⵏ", "ⵜⵍⵍⴰ")
    lines = [f"{words[i % 5]} {words[(i * i) % 5]} {words[i % 3]} {i}" for i in range(300)]
    Path("tzm_Tfng.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    found = lowres.extend(
        tiny_unigram_base, {"tzm_Tfng": "tzm_Tfng.txt"}, "python", pieces=10, held_out=30
    )
    assert len(found.pieces) == 10
    named = ["--base", str(tiny_unigram_base), "--text", "tzm_Tfng.txt", "--out", "command"]
    said = CliRunner().invoke(
        app, ["tokenizer", "extend", *named, "--pieces", "10", "--held-out", "30"]
    )
    assert said.exit_code == 0, said.output
    for name in ("extension.json", "tokenizer.json", "rows.safetensors"):
        assert Path("python", name).read_bytes() == Path("command", name).read_bytes()
    for wrong, says in (
        ({"text": ["none_Tfng.txt"]}, "text"),
        ({"held_out": 3}, "held_out"),
        ({"pieces": "many"}, "pieces"),
        ({"out": "python"}, "out python: exists already"),
        ({"translations": ["a", "b"]}, "translations: 2 for 1"),
        ({"base": "no such base"}, "base: "),
    ):
        given: dict[str, Any] = {"base": tiny_unigram_base, "text": ["tzm_Tfng.txt"], "out": "x"}
        with pytest.raises(LowresError, match=f"^{says}") as caught:
            lowres.extend(**{**given, "held_out": 30, **wrong})
        assert "--" not in str(caught.value)
