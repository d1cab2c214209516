"""A run killed with SIGKILL anywhere and started again ends as one that was left alone."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

pytestmark = pytest.mark.slow

RUN = """
import os, signal, sys
from pathlib import Path
from lowres import pipeline, recipe_loading, training_callbacks, trainer

base, out, quantization, moment = sys.argv[1:]
training_callbacks.SAVE_EVERY_S = 0.0 if moment != "border" else 60.0

def die(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

class Killer(training_callbacks.Watch):
    def on_step_begin(self, args, state, control, **known):
        super().on_step_begin(args, state, control, **known)
        if (moment, state.global_step) in (("step", 7), ("border", 5), ("early", 0)):
            die()
training_callbacks.Watch = Killer
if moment == "save":
    def save(self, output_dir=None, _internal_call=False, kept=trainer.SourceTrainer.save_model):
        kept(self, output_dir, _internal_call)
        if self.state.global_step == 8:
            die()
    trainer.SourceTrainer.save_model = save
if moment == "evaluate":
    from lowres import predictions
    def write(file, *rest, kept=predictions.write):
        kept(file, *rest)
        if file.parent.name == "1":
            die()
    predictions.write = write
recipe = recipe_loading.load("quickstart", [
    f"base.name={base}", f"base.quantization={quantization}", "languages.targets=[swh_Latn]",
    "train.epochs=3", "lora.dropout=0.2", "evaluate.bootstrap=100", "evaluate.baselines=[majority]",
    "train.learning_rate=0.01",
])
pipeline.run(recipe, Path(out))
"""


def run(base: Path, out: Path, quantization: str, moment: str) -> int:
    words = [sys.executable, "-c", RUN, str(base), str(out), quantization, moment]
    return subprocess.run(words, capture_output=True, check=False).returncode


def outcome(out: Path) -> tuple[dict[str, list[float]], list[object]]:
    weights = load_file(out / "train" / "1" / "adapter" / "adapter_model.safetensors")
    results = json.loads((out / "results.json").read_text(encoding="utf-8"))
    return {k: v.ravel().tolist() for k, v in weights.items()}, results["scores"]


@pytest.fixture(scope="module")
def undisturbed(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    assert run(tiny_base, out, "none", "never") == 0
    return out


@pytest.mark.parametrize("moment", ["early", "step", "border", "save", "evaluate"])
def test_a_killed_run_ends_as_one_left_alone(
    tiny_base: Path, tmp_path: Path, undisturbed: Path, moment: str
) -> None:
    out = tmp_path / "run"
    assert run(tiny_base, out, "none", moment) == -signal.SIGKILL
    assert not (out / "results.json").exists()
    assert run(tiny_base, out, "none", "never") == 0
    weights, scores = outcome(out)
    expected, expected_scores = outcome(undisturbed)
    assert scores == expected_scores
    assert weights == expected


def test_in_8bit_too(tiny_base: Path, tmp_path: Path) -> None:
    assert run(tiny_base, tmp_path / "a", "8bit", "never") == 0
    assert run(tiny_base, tmp_path / "b", "8bit", "step") == -signal.SIGKILL
    assert run(tiny_base, tmp_path / "b", "8bit", "never") == 0
    assert outcome(tmp_path / "a")[1] == outcome(tmp_path / "b")[1]


def test_ctrl_c_saves_and_exits_130(tiny_base: Path, tmp_path: Path, undisturbed: Path) -> None:
    code = RUN.replace("die()\ntraining", "signal.raise_signal(signal.SIGINT)\ntraining").replace(
        "pipeline.run(recipe, Path(out))",
        "from lowres.errors import Interrupted\ntry:\n    pipeline.run(recipe, Path(out))\n"
        "except Interrupted as error:\n    raise SystemExit(error.exit_status)",
    )
    words = [sys.executable, "-c", code, str(tiny_base), str(tmp_path / "run"), "none", "step"]
    stopped = subprocess.run(words, capture_output=True, check=False, text=True)
    assert stopped.returncode == 130, stopped.stderr
    assert run(tiny_base, tmp_path / "run", "none", "never") == 0
    assert outcome(tmp_path / "run") == outcome(undisturbed)
