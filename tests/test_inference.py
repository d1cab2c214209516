from __future__ import annotations

import numpy as np
import pytest
import tiny_study
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from tiny_study import CPU

from lowres import bases, inference, model, registry
from lowres.recipe import Base

TASKS = ("classification", "tagging", "pairs")
LONG = 24


def options(task):
    return registry.module("tasks", task).Options(name=task)


@pytest.fixture(scope="module")
def loaded(tiny_tokenizer, tmp_path_factory):
    """`loaded(task)`: network, tokenizer, task, labels of a random model."""
    folder = tiny_study.base("bert", tiny_tokenizer, tmp_path_factory.mktemp("base") / "bert")
    located = bases.locate(str(folder))

    def load(name):
        task, labels = options(name), tiny_study.data(name).labels
        torch.manual_seed(0)
        plain = Base(name=str(folder), quantization="none")
        network = model.load_base(located, plain, task, labels, CPU)
        with torch.no_grad():
            network.classifier.weight.mul_(3)  # a new head hardly tells one text from another
        return network, model.load_tokenizer(located), task, labels

    return load


@given(st.lists(st.integers(1, 130), max_size=80), st.integers(64, 4096))
def test_batches_hold_every_window_once_and_no_more_tokens_than_asked(lengths, batch_tokens):
    batches = list(inference.batches(lengths, batch_tokens))
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert longest * len(batch) <= batch_tokens or len(batch) == 1
    # what does not fit into memory fails at once, and not after an hour
    firsts = [lengths[batch[0]] for batch in batches]
    assert firsts == sorted(firsts, reverse=True)


def test_padding_goes_to_the_right():
    padded = inference.pad([[5, 6, 7], [8]], -100)
    assert padded.tolist() == [[5, 6, 7], [8, -100, -100]]
    assert padded.dtype == torch.int64


@pytest.mark.parametrize("task", TASKS)
def test_answers_come_in_the_order_of_the_examples_whatever_the_batches(loaded, task):
    network, tokenizer, *rest = loaded(task)
    rows = tiny_study.examples(task, 30, seed=4)
    examples = Dataset.from_list(rows)

    def answered(batch_tokens, of=examples):
        return inference.predict(network, tokenizer, *rest, of, CPU, LONG, batch_tokens)

    alone = [answered(64, Dataset.from_list([row]))[0] for row in rows]
    distinct = {str(np.round(each.probability, 4)) for each in alone}
    assert len(distinct) > 10, "all alike: any order would do"
    for batch_tokens in (64, 100, 4096):
        together = answered(batch_tokens)
        assert [each.answer for each in together] == [each.answer for each in alone]
        for each, one in zip(together, alone, strict=True):
            np.testing.assert_allclose(each.probability, one.probability, atol=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_several_sets_in_one_pass_are_answered_as_each_alone(loaded, task, monkeypatch):
    network, tokenizer, *rest = loaded(task)
    sets = [Dataset.from_list(tiny_study.examples(task, count, seed=count)) for count in (7, 1, 12)]
    known = (CPU, LONG, 256)
    alone = [inference.predict(network, tokenizer, *rest, one, *known) for one in sets]
    sizes, forward = [], network.forward

    def watched(**inputs):
        sizes.append(len(inputs["input_ids"]))
        return forward(**inputs)

    monkeypatch.setattr(network, "forward", watched)
    together = inference.predict_all(network, tokenizer, *rest, sets, *known)
    assert [len(answers) for answers in together] == [7, 1, 12]
    assert max(sizes) > 7, "windows of different sets are to share a batch"
    for answers, expected in zip(together, alone, strict=True):
        assert [each.answer for each in answers] == [each.answer for each in expected]
        for each, one in zip(answers, expected, strict=True):
            np.testing.assert_allclose(each.probability, one.probability, atol=1e-5)


def test_texts_longer_than_a_window_get_one_answer(loaded):
    network, tokenizer, *rest = loaded("classification")
    row = {"id": "1", "language": "eng_Latn", "text": "The river " * 60, "label": "nature"}
    short = {**row, "text": "market"}
    found = inference.predict(
        network, tokenizer, *rest, Dataset.from_list([row, short]), CPU, LONG, 64
    )
    assert len(found) == 2


@pytest.mark.parametrize("task", TASKS)
def test_no_batch_is_larger_than_batch_tokens(loaded, monkeypatch, task):
    network, tokenizer, *rest = loaded(task)
    sizes = []
    forward = network.forward

    def watched(**inputs):
        sizes.append(inputs["input_ids"].numel())
        assert all(v.shape == inputs["input_ids"].shape for v in inputs.values())
        return forward(**inputs)

    monkeypatch.setattr(network, "forward", watched)
    examples = Dataset.from_list(tiny_study.examples(task, 40, seed=4))
    done = []
    inference.predict(network, tokenizer, *rest, examples, CPU, LONG, 96, done.append)
    assert len(sizes) > 3
    assert max(sizes) <= 96
    assert sum(done) >= 40


def test_pairs_carry_token_types(loaded):
    _, tokenizer, task, labels = loaded("pairs")
    windows = task.encode(
        Dataset.from_list(tiny_study.examples("pairs", 3, 1)), tokenizer, labels, LONG
    )
    inputs = inference.model_inputs(windows.to_list(), 0)
    assert set(inputs) == {"input_ids", "attention_mask", "token_type_ids"}
    assert inputs["token_type_ids"].max() == 1


def test_logits_are_float32_without_padding(loaded):
    network, tokenizer, task, labels = loaded("tagging")
    examples = Dataset.from_list(tiny_study.examples("tagging", 9, seed=4))
    windows = task.encode(examples, tokenizer, labels, LONG)
    values = inference.logits(network, windows, 0, CPU, 4096)
    assert [v.shape for v in values] == [(len(ids), 3) for ids in windows["input_ids"]]
    assert all(v.dtype == np.float32 for v in values)
    assert not network.training


def test_features_of_a_text_are_the_mean_over_its_tokens(loaded):
    network, tokenizer, task, _ = loaded("classification")
    examples = Dataset.from_list(tiny_study.examples("classification", 7, seed=4))
    found = inference.embed(network.base_model, tokenizer, task, examples, CPU, LONG, 64)
    assert found.shape == (7, 64)
    for text, row in zip(examples["text"], found, strict=True):
        with torch.inference_mode():
            states = network.base_model(**tokenizer(text, return_tensors="pt")).last_hidden_state
        np.testing.assert_allclose(row, states[0].mean(dim=0).numpy(), atol=1e-5)


def test_features_of_words_stand_at_their_first_sub_words(loaded):
    network, tokenizer, task, _ = loaded("tagging")
    examples = Dataset.from_list(tiny_study.examples("tagging", 7, seed=4))
    found = inference.embed(network.base_model, tokenizer, task, examples, CPU, LONG, 64)
    assert [len(words) for words in found] == [len(tokens) for tokens in examples["tokens"]]
    for tokens, words in zip(examples["tokens"], found, strict=True):
        encoded = tokenizer(tokens, is_split_into_words=True, return_tensors="pt")
        with torch.inference_mode():
            states = network.base_model(**encoded).last_hidden_state[0].numpy()
        owners = encoded.word_ids()
        for place, row in enumerate(words):
            np.testing.assert_allclose(row, states[owners.index(place)], atol=1e-5)


def test_a_model_that_diverged_answers_without_a_warning(loaded):
    network, tokenizer, *rest = loaded("classification")
    with torch.no_grad():
        network.classifier.weight.fill_(float("inf"))
    examples = Dataset.from_list(tiny_study.examples("classification", 4, seed=4))
    answers = inference.predict(network, tokenizer, *rest, examples, CPU, LONG, 64)
    assert len({each.answer for each in answers}) == 1
