from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from datasets import Dataset

from lowres import few_shapes, inference
from lowres.hardware import Hardware


class Network:
    """Answers what it is given, and remembers in which shapes."""

    def __init__(self, tokens: bool) -> None:
        self.tokens = tokens
        self.shapes: set[tuple[int, ...]] = set()

    def eval(self) -> None:
        pass

    def __call__(self, input_ids, attention_mask, token_type_ids):
        self.shapes.add(tuple(input_ids.shape))
        assert input_ids.shape == attention_mask.shape == token_type_ids.shape
        assert (input_ids[attention_mask == 0] == 99).all()
        assert attention_mask.any(dim=1).all()
        own = input_ids * attention_mask
        given = torch.stack([own, token_type_ids], dim=-1).float()
        return SimpleNamespace(logits=given if self.tokens else given.sum(dim=1))


def windows(count):
    draw = np.random.default_rng(0)
    ids = [[int(x) for x in draw.integers(1, 50, draw.integers(3, 60))] for _ in range(count)]
    types = [[position % 2 for position in range(len(row))] for row in ids]
    return Dataset.from_dict({"input_ids": ids, "token_type_ids": types})


@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize("count", [0, 1, 7, 500])
def test_the_same_answers_in_fewer_shapes(tokens, count):
    of_any, few = Network(tokens), Network(tokens)
    given = (windows(count), 99, Hardware("cpu", "bf16"), 256)
    expected = inference.logits(of_any, *given)
    found = few_shapes.logits(few, *given)
    assert len(found) == count
    for new, old in zip(found, expected, strict=True):
        np.testing.assert_array_equal(new, old)
    longest = max((len(row["input_ids"]) for row in windows(count).to_list()), default=0)
    assert all(width % 8 == 0 or width == longest for _, width in few.shapes)
    assert all(width <= longest and rows * width <= 256 for rows, width in few.shapes)
    if count == 500:
        # one a width, and the last batch
        assert len(few.shapes) <= 9 < 40 < len(of_any.shapes)


def test_a_window_longer_than_a_batch_is_alone():
    network = Network(tokens=False)
    few_shapes.logits(network, windows(20), 99, Hardware("cpu", "bf16"), 8)
    assert {rows for rows, _ in network.shapes} == {1}


def test_in_full_precision_nothing_is_added():
    network = Network(tokens=False)
    few_shapes.logits(network, windows(3), 99, Hardware("cpu", "fp32"), 10_000)
    ((rows, width),) = network.shapes
    assert rows == 3
    assert width == max(len(row["input_ids"]) for row in windows(3).to_list())
