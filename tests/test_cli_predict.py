"""`lowres predict` by its command line, and a hundred thousand lines in flat memory."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_adapter import adapter_of, of_peft_alone
from typer.testing import CliRunner

from lowres.cli import app

LINES = "Amina went to Nairobi\n\n  \nsoko"


def call(*words, stdin=None):
    return CliRunner().invoke(app, ["predict", *map(str, words)], input=stdin)


def refused(says, *words, stdin=None):
    done = call(*words, stdin=stdin)
    assert done.exit_code == 2, done.output
    assert says in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    return done


@pytest.fixture(scope="module")
def adapters(tiny_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return {
        task: adapter_of(folder / task, tiny_base, task)
        for task in ("classification", "tagging", "pairs")
    }


def test_every_line_is_answered_in_either_format(adapters):
    for task, keys in (
        ("classification", {"predicted", "probability"}),
        ("tagging", {"predicted", "probability", "words", "entities"}),
        ("pairs", {"predicted", "probability"}),
    ):
        lines = LINES if task != "pairs" else LINES.replace("soko", "a\tb").partition("\n")[2]
        done = call(adapters[task], stdin=lines)
        assert done.exit_code == 0, done.output
        rows = [json.loads(line) for line in done.stdout.splitlines()]
        assert [set(row) for row in rows] == [keys] * len(lines.split("\n"))
        done = call(adapters[task], "--format", "csv", stdin=lines)
        records = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [set(record) for record in records] == [keys] * len(rows)
        if task != "tagging":
            assert [r["predicted"] for r in records] == [r["predicted"] for r in rows]


def test_probabilities_of_all_labels(adapters):
    row = json.loads(call(adapters["classification"], "soko", "--all").stdout)
    assert row["probabilities"][row["predicted"]] == pytest.approx(row["probability"])
    done = call(adapters["classification"], "soko", "--all", "--format", "csv")
    assert "p(trade)" in done.stdout.splitlines()[0]
    refused("--all", adapters["tagging"], "soko", "--all")


def test_over_another_quantization(adapters):
    assert call(adapters["classification"], "soko", "--quantization", "8bit").exit_code == 0


def test_what_is_not_known_is_said_beside_the_answers(tiny_base, tmp_path):
    done = call(of_peft_alone(tmp_path / "a", tiny_base, "SEQ_CLS"), "soko")
    assert done.exit_code == 0, done.output
    assert "note: " in done.stderr
    assert json.loads(done.stdout)["predicted"].startswith("LABEL_")


def test_bad_input_is_one_line_with_its_place(adapters, tmp_path):
    folder = adapters["classification"]
    file = tmp_path / "lines.txt"
    file.write_bytes(b"good\n" + b"x" * 10_000_000)
    refused(f"{file}:2: a line of more than", folder, "--file", file)
    file.write_bytes(b"good\n\xff\xfe\x00")
    refused(f"{file}:2: holds a NUL byte", folder, "--file", file)
    file.write_bytes(b"a\tb\nc\n")
    refused(f"{file}:2: expected two texts", adapters["pairs"], "--file", file)
    refused("standard input:1: not UTF-8", folder, stdin=b"\x89PNG")
    refused("texts:1: no text", folder, "ab\udcff")
    refused("did you mean", folder, "soko", "--lang", "swa_Latin")


def test_what_came_before_a_bad_line_is_answered(adapters, tmp_path):
    file = tmp_path / "lines.txt"
    for task, bad in (
        ("classification", b"\xff"),
        ("classification", b"x" * 1_200_000),
        ("tagging", b"a " * 10_001),
        ("pairs", b"one text"),
    ):
        good = b"a\tb" if task == "pairs" else b"soko"
        file.write_bytes(good + b"\n" + good + b"\n" + bad + b"\n" + good)
        done = refused(f"{file}:3: ", adapters[task], "--file", file)
        assert len(done.stdout.splitlines()) == 2


def test_nothing_to_answer(adapters, tmp_path):
    """An empty file, and standard input that is empty, are alike."""
    file = tmp_path / "empty.txt"
    file.write_bytes(b"")
    for task, names in (
        ("classification", "predicted,probability\n"),
        ("tagging", "predicted,probability,words,entities\n"),
    ):
        for form, wanted in (("jsonl", ""), ("csv", names)):
            done = call(adapters[task], "--format", form, stdin="")
            same = call(adapters[task], "--format", form, "--file", file)
            assert (done.exit_code, same.exit_code) == (0, 0), same.stderr
            assert done.stdout == same.stdout == wanted
            assert done.stderr == "note: standard input: no line in it, so no answer\n"
            assert same.stderr == f"note: {file}: no line in it, so no answer\n"


@pytest.mark.parametrize(
    ("shell", "status", "says"),
    [
        ("{} soko > /dev/full", 2, "standard output: No space left on device"),
        ("{} soko >&-", 2, "standard output is closed"),
        ("{} <&-", 2, "standard input is closed"),
        ("yes soko | head -30000 | {} | head -1", 0, ""),
    ],
)
def test_streams_that_are_full_or_closed(adapters, shell, status, says):
    if "full" in shell and not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    command = f"{sys.executable} -m lowres predict {adapters['classification']}"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", shell.format(command)],
        capture_output=True,
        text=True,
        check=False,
    )
    # `yes` is told by a signal that nobody reads on
    assert done.returncode in ((status, 141) if "yes" in shell else (status,)), done.stderr
    assert done.stderr.startswith(says)
    assert len(done.stderr.splitlines()) == bool(says)


def test_an_id_without_a_network_is_one_line():
    refused("ada/topics: no such folder here; HF_HUB_OFFLINE is set", "ada/topics", "soko")


def test_importing_lowres_stays_light():
    code = (
        "import sys, lowres; lowres.__version__\n"
        "print([m for m in ('torch', 'transformers', 'pydantic') if m in sys.modules])\n"
        "lowres.load\nprint('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[]", "True"]


MEMORY = """
import sys
from itertools import islice
import psutil
from lowres import predict

process = psutil.Process()
lines = (f"The market in Nairobi opens at {n} on Sunday" for n in range(100_000))
answers = predict.load(sys.argv[1]).stream(lines)
assert sum(1 for _ in islice(answers, 10_000)) == 10_000
before = highest = process.memory_info().rss
for count, _ in enumerate(answers, start=10_001):
    if count % 1000 == 0:
        highest = max(highest, process.memory_info().rss)
print(count, (highest - before) / 1e6)
"""


@pytest.mark.slow
def test_a_hundred_thousand_lines_in_flat_memory(adapters):
    """In a process of its own: others leave memory behind that is used again."""
    words = [sys.executable, "-c", MEMORY, str(adapters["classification"])]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, growth = done.stdout.split()
    assert int(count) == 100_000
    assert float(growth) < 50
