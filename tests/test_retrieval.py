"""lowres/retrieval.py: lines that find their translations."""

from pathlib import Path

import numpy as np
import pytest

from lowres import bases, hardware, retrieval


def test_accuracy_is_the_mean_of_both_directions() -> None:
    one = np.eye(3, dtype=np.float32)
    assert retrieval.accuracy(one, one) == 1.0
    assert retrieval.accuracy(one, one[[1, 2, 0]]) == 0.0
    # all of the target's lines are nearest to the first translation, which finds its own
    same = np.tile(one[0], (3, 1))
    assert retrieval.accuracy(same, one) == pytest.approx((1 / 3 + 1 / 3) / 2)


def test_vectors_are_of_length_one_in_the_lines_order(tiny_base: Path) -> None:
    encoder = retrieval.Encoder(bases.locate(str(tiny_base)), hardware.detect("fp32"))
    lines = ["the market sells fruit", "a much longer line " * 40, "water"]
    found = encoder.vectors(lines)
    assert found.shape[0] == 3
    assert np.linalg.norm(found, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    alone = np.concatenate([encoder.vectors([line]) for line in lines])
    assert found == pytest.approx(alone, abs=1e-4)
    assert retrieval.accuracy(found, alone) == 1.0
