"""`lowres plan`: what it says, what it refuses, and that its numbers behave."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from test_peaks import ADAPTED
from typer.testing import CliRunner, Result

from lowres import cards, lengths, peaks, plan, shapes
from lowres.cli import app
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


def writes_study(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of a base that is not on this disk, in the current folder."""
    (folder / "study.yaml").write_text(STUDY, encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of a base that is not on this disk, without data."""
    return writes_study(tmp_path, monkeypatch)


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
    assert [result.exit_code for result in shown] == [0, 2]
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
        *("text", "faults"),
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
        (["--gpu", "500MB", "base.quantization=none"], ["unknown card", "lowres ls cards"]),
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


def test_little_room_is_said(study: Path) -> None:
    found = json.loads(call("study.yaml", "--gpu", "T4", "--json").stdout)
    room = found["peak_mb"] / 1024
    for share, said in ((0.95, True), (0.7, False)):
        result = call("study.yaml", "--gpu", f"{room / share:.3f}GB")
        assert result.exit_code == 0, result.output
        assert ("less than a fifth of what is free is left" in result.stdout) == said


def test_raw_text_has_lengths_of_its_own(told: Path) -> None:
    """Short labelled texts say nothing of the lines that a base is adapted to."""
    words = ["--gpu", "T4", *ADAPTED, "--json"]
    line = "the teacher opened the window and nobody knew why "
    for repeats, longest in ((1, range(5, 100)), (400, [512])):
        lines = [line.strip()] * 60 + [(line * repeats).strip()]
        (told / "swh_Latn.txt").write_text("\n".join(lines), encoding="utf-8")
        found = json.loads(call("study.yaml", *words, "adapt.max_tokens=512").stdout)
        assert found["text"]["longest"] in longest
        assert found["text"]["note"] == "lengths of 61 lines of text.files"
        assert found["lengths"]["longest"] < 60
    peaks_mb = {stage["name"]: stage["planned_mb"] for stage in found["stages"]}
    (told / "swh_Latn.txt").unlink()
    gone = json.loads(call("study.yaml", *words, "adapt.max_tokens=512").stdout)
    assert gone["text"]["longest"] == 512
    assert "adapt.max_tokens 512 (text.files swh_Latn.txt: no such file" in gone["text"]["note"]
    assert {s["name"]: s["planned_mb"] for s in gone["stages"]}["adapt"] == peaks_mb["adapt"]
    shown = call("study.yaml", *words[:-1]).stdout
    assert "text: every line of adapt.max_tokens 128 (" in shown


def test_more_text_than_is_looked_through(told: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (told / "swh_Latn.txt").write_text("the teacher\n" * 100, encoding="utf-8")
    monkeypatch.setattr(lengths, "LOOKED_THROUGH", 1000)
    found = json.loads(call("study.yaml", "--gpu", "T4", *ADAPTED, "--json").stdout)
    assert found["text"]["longest"] == 128
    assert "MB of text are not counted" in found["text"]["note"]


def test_stages_follow_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cards, "_sees_gpu", lambda: False)
    names = [stage.name for stage in plan.make(load("tzm_Tfng")).stages]
    assert names == ["extend", "adapt", "train", "evaluate"]
    # extending takes no memory of a card
    assert [stage.name for stage in plan.make(load("tzm_Tfng"), "T4").stages] == names[1:]


@pytest.mark.parametrize("size", ["2GB", "4GB", "24GB"])
def test_the_largest_that_fits(study: Path, size: str) -> None:
    recipe = load(str(study / "study.yaml"))
    found = plan.make(recipe, size)
    own = peaks.Case(recipe, shapes.find(recipe.base.name, None), found.place, found.lengths)
    largest = found.largest_micro_batch
    assert peaks.train_stage(own, largest).total_mb <= found.place.free_mb
    assert peaks.train_stage(own, largest + 1).total_mb > found.place.free_mb


def test_auto_leaves_a_fifth_of_what_loading_leaves(study: Path) -> None:
    words = ["--gpu", "2GB", "train.batch=48", "--json"]
    asked = json.loads(call("study.yaml", *words, "train.micro_batch=auto").stdout)
    assert asked["fits"]
    assert (asked["batch"], 48 % asked["micro_batch"]) == (48, 0)
    recipe = load("study.yaml", ["train.batch=48", "train.micro_batch=auto"])
    planned = plan.make(recipe, "2GB")
    own = peaks.Case(recipe, shapes.find(recipe.base.name, None), planned.place, planned.lengths)
    room = peaks.USED * (planned.place.free_mb - peaks.held(own))
    next_one = min(n for n in range(asked["micro_batch"] + 1, 49) if 48 % n == 0)
    assert peaks.beside(own, asked["micro_batch"]) <= room < peaks.beside(own, next_one)
    whole = json.loads(call("study.yaml", "--gpu", "T4", "train.batch=auto", "--json").stdout)
    assert (whole["batch"], whole["micro_batch"]) == (16, 16)
