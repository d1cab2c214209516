"""`lowres plan`: what it says, what it refuses, and that its numbers behave."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from lowres import cards, footprint, plan, shapes
from lowres.cli import app
from lowres.doctor import Ability
from lowres.recipe import Recipe
from lowres.recipe_loading import load

HEAVY = ("torch", "transformers", "peft", "datasets")
STUDY = """\
name: study
base: {name: xlm-roberta-base}
languages: {source: eng_Latn, targets: [swh_Latn]}
data: {files: '{lang}/{split}.tsv'}
task: {name: classification}
"""


def call(*words: str) -> Result:
    return CliRunner().invoke(app, ["plan", *words])


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of a base that is not on this disk, without data."""
    (tmp_path / "study.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def told(study: Path, tiny_base: Path) -> Path:
    """The same of a tiny base with a tokenizer, with data: its lengths can be read."""
    for split, count in {"train": 30, "dev": 6}.items():
        rows = [f"the teacher opened the window {'again ' * (n % 7)}\tab" for n in range(count)]
        (study / "eng_Latn").mkdir(exist_ok=True)
        text = "\n".join(["text\tlabel", *rows, ""])
        (study / "eng_Latn" / f"{split}.tsv").write_text(text, encoding="utf-8")
    text = STUDY.replace("xlm-roberta-base", str(tiny_base))
    (study / "study.yaml").write_text(text, encoding="utf-8")
    return study


def test_what_is_said(study: Path, golden: Callable[[str, str], None]) -> None:
    shown = [
        call("study.yaml", "--gpu", "T4"),
        call("study.yaml", "--gpu", "4GB", "train.batch=512", "train.gradient_checkpointing=true"),
    ]
    assert [result.exit_code for result in shown] == [0, 0]
    golden("plan.txt", "\n".join(result.stdout for result in shown))


def test_json(study: Path) -> None:
    result = call("study.yaml", "--gpu", "l4", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert set(found) == {
        *(
            "recipe",
            "base",
            "quantization",
            "parameters",
            "shape_from",
            "place",
            "lengths",
            "batch",
        ),
        *("micro_batch", "largest_micro_batch", "stages", "peak_mb", "fits", "advice", "warnings"),
    }
    assert [stage["name"] for stage in found["stages"]] == ["train", "evaluate"]
    for stage in found["stages"]:
        assert sum(stage["parts_mb"].values()) == pytest.approx(stage["planned_mb"], abs=0.5)
    assert found["place"]["precision"] == "bf16"
    assert found["fits"]
    assert found["micro_batch"] <= found["largest_micro_batch"]


def test_lengths_are_read_where_they_can_be(told: Path) -> None:
    found = json.loads(call("study.yaml", "--gpu", "T4", "--json").stdout)["lengths"]
    assert found["note"] == "lengths of 30 training examples"
    assert (found["windows"], found["dev"], found["labels"]) == (30, 6, 1)
    # [CLS] and [SEP], five words and six more
    assert 13 <= found["longest"] < 60
    assert found["median"] < found["longest"]


def test_lengths_that_cannot_be_read_are_said(study: Path, told: Path) -> None:
    (told / "eng_Latn" / "train.tsv").unlink()
    found = json.loads(call("study.yaml", "--gpu", "T4", "--json").stdout)["lengths"]
    assert found["longest"] == 128
    assert "train.max_tokens 128 (data missing" in found["note"]


def test_a_tokenizer_that_cannot_be_read_is_said(told: Path, tmp_path: Path) -> None:
    import shutil

    base = tmp_path / "broken"
    shutil.copytree(load("study.yaml").base.name, base)
    (base / "tokenizer.json").write_text("{", encoding="utf-8")
    found = json.loads(call("study.yaml", "--gpu", "T4", f"base.name={base}", "--json").stdout)
    assert "tokenizer.json cannot be read" in found["lengths"]["note"]


@pytest.mark.parametrize("task", ["tagging", "pairs"])
def test_lengths_of_other_tasks(told: Path, task: str) -> None:
    fields = {
        "tagging": {"tokens": ["the", "teacher"], "tags": ["O", "O"]},
        "pairs": {"text": "the teacher", "text_pair": "the window", "label": "ab"},
    }
    rows = f"{json.dumps(fields[task])}\n" * 3
    (told / "eng_Latn" / "train.jsonl").write_text(rows, encoding="utf-8")
    words = ["data.files={lang}/{split}.jsonl", f"task.name={task}", "--gpu", "T4", "--json"]
    found = json.loads(call("study.yaml", *words).stdout)["lengths"]
    assert found["longest"] in {"tagging": range(4, 9), "pairs": range(7, 15)}[task]
    assert found["labels"] == 1


def test_what_a_run_is_measured_beside(tmp_path: Path, tiny_base: Path) -> None:
    import shutil

    from lowres.hardware import Hardware

    columns = {"text": ["the teacher"], "label": ["ab"]}
    recipe = load("quickstart")
    machine = Hardware("cpu", "fp32")
    made = plan.stages_of_run(recipe, tiny_base, machine, columns, 1)
    assert set(made) == {"train", "evaluate"}
    fp16 = recipe.model_copy(
        update={"train": recipe.train.model_copy(update={"precision": "fp16"})}
    )
    card = plan.stages_of_run(fp16, tiny_base, Hardware("cuda", "fp16"), columns, 1)
    assert set(card) == {"train", "evaluate"}
    # what torch measures there is neither the libraries nor CUDA's context
    assert 0 < card["train"] < cards.CONTEXT_MB < made["train"]
    # of a trimmed table there is less
    config = json.loads((tiny_base / "config.json").read_text(encoding="utf-8"))
    config |= {"vocab_size": 100_000}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    shutil.copy(tiny_base / "tokenizer.json", tmp_path)
    whole, small = (
        plan.stages_of_run(recipe, tmp_path, machine, columns, 1, table_rows=rows)
        for rows in (None, 10_000)
    )
    a_row = config["hidden_size"] + 4
    assert whole["train"] - small["train"] == pytest.approx(90_000 * a_row / 2**20, abs=0.2)
    # a base of unknown sizes has no plan
    (tmp_path / "config.json").write_text('{"model_type": "bert"}', encoding="utf-8")
    assert not plan.stages_of_run(recipe, tmp_path, machine, columns, 1)


@pytest.mark.parametrize("words", [["--gpu", "T4"], []], ids=["a card", "this machine"])
def test_nothing_heavy_is_imported(told: Path, words: list[str]) -> None:
    code = (
        "import sys\nfrom lowres.cli import app\n"
        f"try:\n    app({['plan', 'study.yaml', *words]!r})\n"
        "except SystemExit as e:\n    assert not e.code, e.code\n"
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    if not cards._sees_gpu():
        assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--gpu", "T44"], ["unknown card", "did you mean 'T4'", "16GB"]),
        (["--gpu", "banana"], ["unknown card", "RTX 3060"]),
        (["--gpu", "0GB"], ["has no room"]),
        (["--gpu", "P100"], ["base.quantization: 8bit", "7.5", "base.quantization=4bit"]),
        (["--gpu", "V100"], ["7.0", "base.quantization=none"]),
        (["--gpu", "T4", "train.precision=bf16"], ["train.precision: bf16", "fp16"]),
        (
            ["--gpu", "2GB", "base.name=xlm-roberta-large", "base.quantization=none"],
            ["weights take", "float32", "largest known base that fits"],
        ),
        (["--gpu", "500MB", "base.quantization=none"], ["unknown card"]),
        (["--gpu", "0.46GB"], ["weights take", "no known base fits"]),
        (
            ["--gpu", "1GB", "train.max_tokens=2000"],
            ["train.micro_batch=1", "train.gradient_checkpointing=true", "train.max_tokens=1000"],
        ),
        (["base.name=cis-lmu/glot500-base"], ["does not know its shape", "hf download"]),
        (["base.name=nobody/knows"], ["config.json is not on this disk", "hf download nobody"]),
        (["base.name=xlm-roberta-bas"], ["did you mean 'xlm-roberta-base'"]),
        (["lora.rnak=3"], ["rank"]),
        (["train.freeze={layers: 12}"], ["freeze.layers 12: xlm-roberta-base has 12 layers"]),
    ],
    ids=lambda value: " ".join(value) if "-" in value[0] or "=" in value[0] else "",
)
def test_bad_input(study: Path, words: list[str], says: list[str]) -> None:
    result = call("study.yaml", *words)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = [row for row in result.stderr.splitlines() if not row.startswith("warning: ")]
    for part in says:
        assert part in line


def test_a_config_that_says_nothing(study: Path, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    for text, says in (('{"model_type": "bert"}', "hidden_size"), ("{", "no sizes")):
        (tmp_path / "base" / "config.json").write_text(text, encoding="utf-8")
        result = call("study.yaml", "--gpu", "T4", f"base.name={tmp_path / 'base'}")
        assert result.exit_code == 2
        assert says in result.stderr
    (tmp_path / "base" / "config.json").unlink()
    assert "no config.json" in call("study.yaml", f"base.name={tmp_path / 'base'}").stderr


def test_memory_that_others_hold_is_said(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    memory = SimpleNamespace(total=16 * 2**30, available=6 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    monkeypatch.setattr(cards, "_sees_gpu", lambda: False)
    result = call("study.yaml")
    assert result.exit_code == 0, result.stderr
    assert "warning: other processes hold 10,240 of 16,384 MB of memory; 6,144 MB are free" in (
        result.stderr
    )
    assert "of 6,144 MB" in result.stdout


def test_no_8_bits_on_macos(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "_sees_gpu", lambda: False)
    monkeypatch.setattr(cards.sys, "platform", "darwin")
    result = call("study.yaml")
    assert result.exit_code == 2
    assert "no 8bit on macOS: set base.quantization=none" in result.stderr
    assert call("study.yaml", "base.quantization=none").exit_code == 0


def test_8_bits_that_gain_nothing(study: Path) -> None:
    small = call("study.yaml", "--gpu", "T4", "base.name=minilm-en", "train.batch=64")
    assert "8bit gains nothing here" in small.stdout
    large = call("study.yaml", "--gpu", "T4", "base.name=xlm-roberta-large", "train.batch=1")
    assert "8bit gains nothing" not in large.stdout


def test_what_does_not_fit_says_what_does(study: Path) -> None:
    found = json.loads(call("study.yaml", "--gpu", "2GB", "train.batch=48", "--json").stdout)
    assert not found["fits"]
    micro = int(found["advice"][0].partition("micro_batch=")[2].partition(":")[0])
    assert 48 % micro == 0
    assert micro <= found["largest_micro_batch"] < 48
    words = ["--gpu", "2GB", "train.batch=48", f"train.micro_batch={micro}", "--json"]
    assert json.loads(call("study.yaml", *words).stdout)["fits"]


def test_stages_follow_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "_sees_gpu", lambda: False)
    names = [stage.name for stage in plan.make(load("tzm_Tfng")).stages]
    assert names == ["extend", "adapt", "train", "evaluate"]
    # extending takes no memory of a card
    assert [stage.name for stage in plan.make(load("tzm_Tfng"), "T4").stages] == names[1:]


def test_strategies_take_what_they_train() -> None:
    found = {}
    for name in ("lora", "head", "probe", "gradual", "full"):
        recipe = load("quickstart", ["base.quantization=none", f"train.strategy={name}"])
        stage = plan.train_stage(case(recipe, 32, "none", "cpu"), 16)
        found[name] = stage
    trained = {name: stage.parts[plan.TRAINED] for name, stage in found.items()}
    assert trained["head"] == trained["probe"] < trained["lora"] == trained["gradual"]
    shape = shapes.KNOWN["e5-small"]
    # gradients and two moments of every weight, in float32
    whole = 12 * shape.parameters / 2**20
    assert trained["full"] - trained["head"] == pytest.approx(whole, rel=0.01)
    assert found["head"].parts[plan.ACTIVATIONS] == 0 < found["full"].parts[plan.ACTIVATIONS]
    less = ["base.quantization=none", "train.strategy=full", "train.freeze={embeddings: true}"]
    frozen = plan.train_stage(case(load("quickstart", less), 32, "none", "cpu"), 16)
    table = 12 * shape.vocabulary * shape.hidden / 2**20
    saved = trained["full"] - frozen.parts[plan.TRAINED]
    assert saved == pytest.approx(table, rel=0.01)
    lower = plan.train_stage(
        case(load("quickstart", [*less[:2], "train.freeze={layers: 6}"]), 32, "none", "cpu"), 16
    )
    assert lower.parts[plan.TRAINED] < 0.6 * frozen.parts[plan.TRAINED]


YES = Ability(True, "")


def case(recipe: Recipe, tokens: int, quantization: str, device: str) -> plan.Case:
    found = shapes.Found("b", shapes.KNOWN[recipe.base.name], None, "")
    place = cards.Place("here", device, 1e9, 1e9, "bf16", YES, YES)
    base = recipe.base.model_copy(update={"quantization": quantization})
    lengths = plan.lengths.assumed(tokens, "")
    return plan.Case(recipe.model_copy(update={"base": base}), found, place, lengths)


@given(
    name=st.sampled_from(sorted(shapes.KNOWN)),
    batch=st.integers(1, 256),
    more=st.integers(1, 256),
    tokens=st.integers(8, 512),
    quantization=st.sampled_from(["none", "8bit", "4bit"]),
    device=st.sampled_from(["cpu", "cuda"]),
    checkpointing=st.booleans(),
)
def test_more_never_takes_less(
    name: str,
    batch: int,
    more: int,
    tokens: int,
    quantization: str,
    device: str,
    checkpointing: bool,
) -> None:
    recipe = load(
        "quickstart", [f"base.name={name}", f"train.gradient_checkpointing={checkpointing}"]
    )
    own = case(recipe, tokens, quantization, device)
    longer = case(recipe, tokens + more, quantization, device)
    now = plan.train_stage(own, batch).total_mb
    assert now <= plan.train_stage(own, batch + more).total_mb
    assert now <= plan.train_stage(longer, batch).total_mb
    assert all(size >= 0 for size in plan.train_stage(own, batch).parts.values())


@pytest.mark.parametrize("size", ["2GB", "4GB", "24GB"])
def test_the_largest_that_fits(study: Path, size: str) -> None:
    recipe = load(str(study / "study.yaml"))
    found = plan.make(recipe, size)
    own = plan.Case(recipe, shapes.find(recipe.base.name, None), found.place, found.lengths)
    largest = found.largest_micro_batch
    assert plan.train_stage(own, largest).total_mb <= found.place.free_mb
    assert plan.train_stage(own, largest + 1).total_mb > found.place.free_mb


def test_auto_takes_the_largest_micro_batch_that_divides_and_fits(study: Path) -> None:
    words = ["--gpu", "2GB", "train.batch=48", "--json"]
    asked = json.loads(call("study.yaml", *words, "train.micro_batch=auto").stdout)
    assert asked["fits"]
    assert asked["batch"] == 48
    assert 48 % asked["micro_batch"] == 0
    next_one = min(n for n in range(asked["micro_batch"] + 1, 49) if 48 % n == 0)
    assert asked["micro_batch"] <= asked["largest_micro_batch"] < next_one
    whole = json.loads(call("study.yaml", "--gpu", "T4", "train.batch=auto", "--json").stdout)
    assert (whole["batch"], whole["micro_batch"]) == (16, 16)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("quantization", ["none", "8bit"])
def test_fewer_adapted_layers_take_less(device: str, quantization: str) -> None:
    peaks = []
    for layers in ("top:1", "top:4", "all"):
        recipe = load("quickstart", ["base.name=xlm-roberta-base", f"lora.layers={layers}"])
        planned = case(recipe, 128, quantization, device)
        stage = plan.train_stage(planned, 16)
        # of a step alone: where it is small the pass over source dev is what takes most
        kept = footprint.activations(planned.setting(), 16, 128)
        peaks.append([kept, stage.parts[plan.TRAINED]])
        assert stage.parts[plan.WEIGHTS] > 0
    for one, four, every in zip(*peaks, strict=True):
        assert one < four < every
    assert peaks[1][0] / peaks[2][0] == pytest.approx(4 / 12, rel=0.15)
