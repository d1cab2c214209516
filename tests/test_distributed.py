"""`accelerate launch` on two CPU processes gives one set of results, equal to one process's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys

import pytest
import tiny_study
import torch
import yaml
from safetensors.torch import load_file

from lowres import pipeline, recipe_loading

LAUNCH = (
    *("-m", "accelerate.commands.launch"),
    # with --cpu it starts one process where there is no MPI; --multi_gpu starts several, which
    # find no GPU
    *("--multi_gpu", "--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"),
)


@pytest.fixture(scope="module")
def written(tiny_tokenizer, tmp_path_factory):
    """A folder with a recipe that `lowres run` takes, its data, and a base without dropout."""
    folder = tmp_path_factory.mktemp("study")
    tiny_study.base("bert", tiny_tokenizer, folder / "bert")
    study = tiny_study.recipe(
        folder / "bert",
        lora={"dropout": 0},
        data={"files": str(folder / "{lang}-{split}.jsonl")},
        evaluate={"baselines": ["majority"], "bootstrap": 100},
        train={"epochs": 2},
    )
    recipe = json.loads(study.model_dump_json(exclude_defaults=True))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(recipe))
    for language in ("eng_Latn", "swh_Latn"):
        for number, (split, count) in enumerate((("train", 44), ("dev", 18), ("test", 18))):
            rows = tiny_study.examples("classification", count, number)
            lines = [json.dumps({"text": row["text"], "label": row["label"]}) for row in rows]
            (folder / f"{language}-{split}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def launched(folder, cwd, *overrides):
    """`lowres run --json` on two processes, into `cwd/out`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    launch = (*LAUNCH, "--num_processes", "2", "--main_process_port", port)
    command = ("-m", "lowres", "run", str(folder / "tiny.yaml"), "--out", "out", "--json")
    return subprocess.run(
        [sys.executable, *launch, *command, *overrides],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def left(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


@pytest.mark.slow
def test_two_processes_over_8_bit_give_one_set_of_results(written, tmp_path):
    override = "base.quantization=8bit"
    done = launched(written, tmp_path, override)
    # 0 of all processes: the launcher has no other way to say so
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["schema"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    for noise in ("Warning", "Traceback", "find_unused", "LOAD REPORT"):
        assert noise not in done.stderr, done.stderr
    alone = tmp_path / "alone"
    pipeline.run(recipe_loading.load(str(written / "tiny.yaml"), [override]), alone)
    assert left(tmp_path / "out") == left(alone)
    outs = (tmp_path / "out", alone)
    one, two = (json.loads((out / "results.json").read_text())["scores"] for out in outs)
    assert [pytest.approx(score) for score in one] == two
    one, two = (load_file(out / "train/1/adapter/adapter_model.safetensors") for out in outs)
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-3, rtol=0)


WAITING = """
import os, sys, torch
from lowres import pipeline, training_callbacks
from lowres.hardware import Hardware

team = pipeline._Team(Hardware("cpu", "fp32"))
group = torch.distributed.group.WORLD._get_backend(torch.device("cpu"))
print(group.options._timeout >= pipeline.PATIENCE)
print(training_callbacks.from_main(os.environ["RANK"]))
print(training_callbacks.agreed(team.is_main, False))
team.wait()
"""


@pytest.mark.slow
def test_processes_wait_for_what_the_first_one_does_alone():
    """Longer than the half hour after which torch gives a silent process up."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    given = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    given |= {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", WAITING],
            env=os.environ | given | {"RANK": rank, "LOCAL_RANK": rank},
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    outs = [process.communicate(timeout=120)[0] for process in started]
    assert outs == ["True\n0\n(True, False)\n"] * 2


@pytest.mark.slow
def test_processes_that_do_not_divide_the_batch_are_refused(written, tmp_path):
    done = launched(written, tmp_path, "train.batch=7")
    assert done.returncode != 0
    assert "train.batch 7 does not divide among 2 processes; make it a multiple" in done.stderr
