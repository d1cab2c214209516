from __future__ import annotations

import io
import json
from types import SimpleNamespace

import pytest
import tiny_study

from lowres import adapter_files, bases, model, predict
from lowres.errors import BaseModelError, DataError, RunError
from lowres.hardware import Hardware
from lowres.predict import find, lines_of


def adapter_of(folder, base, task, quantization="none"):
    """A fresh adapter with a trained-looking head, saved as a run saves it."""
    import torch

    recipe = tiny_study.recipe(base, task)
    labels = tiny_study.data(task).labels
    located = bases.locate(str(base))
    torch.manual_seed(1)
    loaded = model.load_base(located, recipe.base, recipe.task, labels, Hardware("cpu", "fp32"))
    network = model.attach_lora(loaded, recipe.lora, recipe.task, located.name)
    adapter_files.save_adapter(network, folder, located, recipe.task, labels, 24, quantization)
    return folder


@pytest.mark.parametrize("task", ["classification", "tagging", "pairs"])
def test_one_answer_a_line_in_order(tiny_base, tmp_path, task):
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, task))
    tab = "\tpair" if task == "pairs" else ""
    # three chunks of different lengths, an empty line among them, a text of several windows
    texts = [f"{'market ' * (1 + i % 40)}{tab}" for i in range(predict.CHUNK * 2 + 3)]
    texts[5] = tab
    answers = list(adapter.predict(texts))
    assert len(answers) == len(texts)
    for index in (0, 5, 39, predict.CHUNK, len(texts) - 1):
        (alone,) = adapter.predict([texts[index]])
        assert alone.answer == answers[index].answer
        assert alone.probability == pytest.approx(answers[index].probability, abs=1e-5)
    if task == "tagging":
        assert [len(a.answer) for a in answers] == [len(t.split()) for t in texts]
    assert list(adapter.predict([])) == []


def test_lines_are_read_ahead_by_one_chunk_at_most(tiny_base, tmp_path):
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, "classification"))
    asked = []

    def lines():
        for number in range(10 * predict.CHUNK):
            asked.append(number)
            yield f"text {number}\n"

    answers = adapter.predict(lines())
    next(answers)
    assert len(asked) == predict.CHUNK


def test_a_pair_needs_a_tab(tiny_base, tmp_path):
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, "pairs"))
    with pytest.raises(DataError, match="one tab"):
        list(adapter.predict(["no tab"]))


def test_as_it_was_trained_or_as_asked(tiny_base, tmp_path):
    folder = adapter_of(tmp_path / "adapter", tiny_base, "classification", quantization="8bit")
    kinds = {type(m).__name__ for m in predict.load(folder).network.modules()}
    assert "Linear8bitLt" in kinds
    kinds = {type(m).__name__ for m in predict.load(folder, "none").network.modules()}
    assert "Linear8bitLt" not in kinds


def test_from_any_folder(tiny_base, tmp_path, monkeypatch):
    """The recipe named the base by a path relative to where it ran."""
    folder = adapter_of(tmp_path / "adapter", tiny_base, "classification")
    meta = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    (folder / "labels.json").write_text(json.dumps(meta | {"base": "./bases/tiny"}))
    monkeypatch.chdir(tmp_path)
    assert predict.load(folder).labels == tuple(meta["labels"])


def test_the_base_is_the_one_that_was_trained_on(tmp_path, monkeypatch):
    """By the recipe's short name and at the recorded commit."""
    (tmp_path / "adapter_config.json").write_text(
        json.dumps(
            {"base_model_name_or_path": "intfloat/multilingual-e5-small", "revision": "c0ffee"}
        )
    )
    task = {"name": "classification"}
    meta = {
        "task": task,
        "base": "e5-small",
        "quantization": "8bit",
        "labels": ["a"],
        "max_tokens": 9,
    }
    (tmp_path / "labels.json").write_text(json.dumps(meta))
    asked = []

    def locate(name, revision=None, allow_pickle=False):
        asked.append((name, revision, allow_pickle))
        raise BaseModelError("stop here")

    monkeypatch.setattr(bases, "locate", locate)
    for allow in (False, True):
        with pytest.raises(BaseModelError):
            predict.load(tmp_path, allow_pickle=allow)
    assert asked == [("e5-small", "c0ffee", False), ("e5-small", "c0ffee", True)]


def test_the_best_seed_that_can_be_trusted(tmp_path):
    def seed(number, status, dev):
        folder = tmp_path / "train" / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        notes = {"status": status, "dev": dev}
        (folder / "manifest.json").write_text(json.dumps({"notes": notes}))

    with pytest.raises(RunError, match="no adapter here"):
        find(tmp_path)
    seed(1, "collapsed", 0.1)
    with pytest.raises(RunError, match=r"no seed .*train/1/adapter \(collapsed\)"):
        find(tmp_path)
    seed(2, "ok", 0.7)
    seed(3, "ok", 0.8)
    seed(4, "nan", 0.9)
    assert find(tmp_path) == tmp_path / "train" / "3" / "adapter"
    (tmp_path / "adapter_config.json").touch()
    assert find(tmp_path) == tmp_path


@pytest.mark.parametrize("content", [None, "{", "[]", "{}"])
def test_an_adapter_of_another_tool(tmp_path, content):
    (tmp_path / "adapter_config.json").write_text("{}")
    if content is not None:
        (tmp_path / "labels.json").write_text(content)
    with pytest.raises(RunError, match=r"labels\.json"):
        predict.load(tmp_path)


BYTES = "\ufeffkwanza\r\n\n a\u2028b \u0085\nmwisho".encode()
LINES = ["kwanza", "", " a\u2028b \u0085", "mwisho"]


def test_only_a_newline_ends_a_line(tmp_path, monkeypatch):
    file = tmp_path / "lines.txt"
    file.write_bytes(BYTES)
    assert list(lines_of(file)) == LINES
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(BYTES)))
    assert list(lines_of(None)) == LINES


def test_a_line_in_another_encoding_is_named(tmp_path):
    file = tmp_path / "lines.txt"
    file.write_bytes("good\ncafé\n".encode("latin-1"))
    lines = lines_of(file)
    assert next(lines) == "good"
    with pytest.raises(DataError, match=r"lines\.txt:2: not UTF-8 \(byte 0xe9\)"):
        next(lines)
    with pytest.raises(DataError, match="No such file"):
        lines_of(tmp_path / "none.txt")
