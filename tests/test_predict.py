from __future__ import annotations

import json
import re

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_adapter import adapter_of

import lowres
from lowres import bases, predict
from lowres.errors import BaseModelError, DataError, LowresError, RunError
from lowres.predict import find


@pytest.mark.parametrize("task", ["classification", "tagging", "pairs"])
def test_one_answer_a_line_in_order(tiny_base, tmp_path, task, monkeypatch):
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, task))
    tab = "\tpair" if task == "pairs" else ""
    monkeypatch.setattr(predict, "CHUNK", 64)
    # three chunks of different lengths, texts of several windows, and nothing at all
    texts = [f"{'market ' * (1 + i % 40)}{tab}" for i in range(predict.CHUNK * 2 + 3)]
    texts[5:9] = [tab, "", "  \u3000", "\n"]
    answers = adapter.predict(texts)
    assert len(answers) == len(texts)
    for index in (0, 5, 6, 7, 8, 39, predict.CHUNK, len(texts) - 1):
        (alone,) = adapter.predict([texts[index]])
        assert alone.answer == answers[index].answer
        # the products of a batch are rounded in another order than those of a line alone
        assert alone.probability == pytest.approx(answers[index].probability, abs=1e-4)
    if task == "tagging":
        assert [len(a.answer) for a in answers] == [len(t.split()) for t in texts]
    assert adapter.predict([]) == []


def test_lines_are_read_ahead_by_one_chunk_at_most(tiny_base, tmp_path):
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, "classification"))
    asked = []

    def lines():
        for number in range(10 * predict.CHUNK):
            asked.append(number)
            yield f"text {number}\n"

    answers = adapter.stream(lines())
    next(answers)
    assert len(asked) == predict.CHUNK


def test_a_pair_needs_a_tab(tiny_base, tmp_path):
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, "pairs"))
    lines = ["a\tb"] * predict.CHUNK + ["no tab"]
    with pytest.raises(DataError, match=rf"^lines.txt:{len(lines)}: .*one tab"):
        list(adapter.stream(lines, source="lines.txt"))


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


WHOLE = {"base": "x", "labels": ["a"], "max_tokens": 9, "quantization": "8bit"}
BROKEN = [
    {**WHOLE, "task": {"name": "classification"}, **change}
    for change in (
        {"labels": []},
        {"labels": {"a": 1}},
        {"labels": [1]},
        {"max_tokens": "9"},
        {"base": None},
        {"task": {"name": "../tagging"}},
        {"task": {"name": "tagging", "newer": 1}},
        {"task": None},
    )
]


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", *map(json.dumps, BROKEN)])
def test_label_names_that_cannot_be_read(tmp_path, content):
    (tmp_path / "adapter_config.json").write_text("{}")
    if content is not None:
        (tmp_path / "labels.json").write_text(content)
    with pytest.raises(RunError, match=r"labels\.json"):
        predict.load(tmp_path)


def test_a_quantization_that_is_none(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    task = {"name": "classification"}
    (tmp_path / "labels.json").write_text(json.dumps({**WHOLE, "task": task, "quantization": "2"}))
    with pytest.raises(RunError, match="quantization 2: expected 8bit, 4bit or none"):
        predict.load(tmp_path)


def test_from_python_in_one_line(tiny_base, tmp_path):
    folder = adapter_of(tmp_path / "adapter", tiny_base, "classification")
    assert lowres.load is predict.load
    adapter = lowres.load(str(folder))
    (answer,) = adapter.predict(["The market"])
    assert answer.answer in adapter.labels
    assert answer.probabilities is None
    with pytest.raises(AttributeError, match="no attribute 'lode'"):
        _ = lowres.lode


def test_probabilities_of_all_labels_are_those_of_the_answer(tiny_base, tmp_path):
    """Also of a text of several windows."""
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, "classification"))
    for answer in adapter.predict(["The market", "", "market " * 60], every=True):
        assert list(answer.probabilities) == list(adapter.labels)
        assert sum(answer.probabilities.values()) == pytest.approx(1)
        assert max(answer.probabilities, key=answer.probabilities.get) == answer.answer
        assert max(answer.probabilities.values()) == pytest.approx(answer.probability)


def test_what_makes_no_sense_is_refused_before_anything_is_read(tiny_base, tmp_path):
    tags = predict.load(adapter_of(tmp_path / "tagging", tiny_base, "tagging"))
    with pytest.raises(DataError, match=r"give \[text\] for one"):
        tags.predict("The market")
    with pytest.raises(LowresError, match="--all"):
        tags.predict(["The market"], every=True)
    with pytest.raises(RunError, match=r"--revision main: .*is a folder"):
        predict.load(tmp_path / "tagging", revision="main")


def test_entities_lie_in_the_line_where_they_say(tiny_base, tmp_path):
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, "tagging"))
    # whether random weights find an entity differs from one machine to another
    with torch.no_grad():
        for name, weight in adapter.network.named_parameters():
            if re.search(r"\bclassifier\b.*bias$", name):
                weight[adapter.labels.index("O")] -= 100
    lines = ["", " ", "  The  market\u3000opened soko liko wapi\t.", "soko " * 50]
    answers = adapter.predict(lines)
    assert [answer.words for answer in answers] == [line.split() for line in lines]
    assert any(answer.entities for answer in answers)
    for line, answer in zip(lines, answers, strict=True):
        for entity in answer.entities:
            assert line[entity.start : entity.end] == entity.text
            assert entity.text.split()[0] in answer.words
            assert entity.label == "LOC"
            assert entity.probability in answer.probability


def test_a_text_that_is_long_but_allowed(tiny_base, tmp_path):
    adapter = predict.load(adapter_of(tmp_path / "adapter", tiny_base, "classification"))
    (answer,) = adapter.predict(["market " * 20_000])
    assert answer.answer in adapter.labels
    tags = predict.load(adapter_of(tmp_path / "tagging", tiny_base, "tagging"))
    with pytest.raises(DataError, match="texts:2: 10,001 words; expected one sentence a line"):
        tags.predict(["soko", "a " * (predict.MOST_WORDS + 1)])


def test_weights_of_other_shapes_or_not_finite(tiny_base, tmp_path):
    folder = adapter_of(tmp_path / "adapter", tiny_base, "classification")
    file = folder / "adapter_model.safetensors"
    weights = load_file(file)
    head = next(key for key in weights if key.endswith("classifier.bias"))
    save_file({**weights, head: weights[head] * torch.nan}, file, metadata={"format": "pt"})
    adapter = predict.load(folder)
    with pytest.raises(RunError, match="not finite"):
        adapter.predict(["a"])
    meta = json.loads((folder / "labels.json").read_text(encoding="utf-8"))
    meta["labels"].append("one more")
    (folder / "labels.json").write_text(json.dumps(meta), encoding="utf-8")
    with pytest.raises(RunError, match=r"do not fit .* with 4 labels"):
        predict.load(folder)


def test_pickled_weights_are_not_opened(tiny_base, tmp_path):
    folder = adapter_of(tmp_path / "adapter", tiny_base, "classification")
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")
    with pytest.raises(RunError, match=r"pickled \(adapter_model\.bin\).*refused"):
        predict.load(folder)


def test_the_adapter_of_one_language_inside_a_published_one(tiny_base, tmp_path):
    """A repository has them below it, a run beside it."""
    folder = adapter_of(tmp_path / "adapter", tiny_base, "classification")
    own = adapter_of(folder / "adapters" / "swh_Latn", tiny_base, "pairs")
    assert predict.load(folder, language="swh_Latn").task.name == "pairs"
    assert predict.load(folder, language="yor_Latn").task.name == "classification"
    (note,) = predict.load(folder).notes
    assert "swh_Latn have adapters of their own" in note
    assert own.is_dir()
