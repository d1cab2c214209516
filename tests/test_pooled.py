"""How far languages are in a base's vectors: what is kept while a baseline asks for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from datasets import Dataset

from lowres import pooled
from lowres.data import LabelledData


def labelled(**sizes: int) -> LabelledData:
    train = Dataset.from_dict({"at": [0.0] * 60})
    tests = {code: Dataset.from_dict({"at": [9.0] * size}) for code, size in sizes.items()}
    return LabelledData(("a",), train, train, tests, {}, (), {}, ())


def vectors(examples: Dataset) -> Any:
    """Around where the examples say."""
    draw = np.random.default_rng(len(examples))
    return draw.normal(size=(len(examples), 4)) + np.array(examples["at"])[:, None]


def words(examples: Dataset) -> list[Any]:
    """The same of tagging: three words of each text around its vector, and no word of the last."""
    spread = np.array([[-1.0], [0.0], [1.0]])
    return [*(row + spread for row in vectors(examples)[:-1]), np.zeros((0, 4))]


@pytest.mark.parametrize("embed", [vectors, words])
def test_languages_that_were_read_have_a_distance(tmp_path: Path, embed: Any) -> None:
    data = labelled(kin_Latn=40, few_Latn=9)
    sampling = pooled.Sampling(embed)
    for examples in (data.train, *data.tests.values()):
        given, kept = embed(examples), sampling(examples)
        assert all(map(np.array_equal, given, kept)), "a baseline gets all that the base gives"
    sampling.write(data, tmp_path)
    assert pooled.read(tmp_path) == {"kin_Latn": 2.0}


def test_where_nobody_asks_there_is_nothing(tmp_path: Path) -> None:
    pooled.Sampling(vectors).write(labelled(kin_Latn=40), tmp_path)
    assert not (tmp_path / pooled.FILE).exists()
    assert pooled.read(tmp_path) == {}


def test_what_was_written_stays_when_other_baselines_follow(tmp_path: Path) -> None:
    data = labelled(kin_Latn=40)
    sampling = pooled.Sampling(vectors)
    for examples in (data.train, data.tests["kin_Latn"]):
        sampling(examples)
    sampling.write(data, tmp_path)
    (tmp_path / pooled.FILE).write_text('{"kin_Latn": 1.5}')
    sampling.write(data, tmp_path)
    assert pooled.read(tmp_path) == {"kin_Latn": 1.5}
