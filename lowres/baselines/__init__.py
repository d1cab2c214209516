"""Baselines, one file each: what a score must be read beside.

A file defines `SYSTEM`, its name in `results.json`, and `predict(context)`, which gives for the
languages of `context.data.tests` one prediction an example. A language that a baseline cannot
answer (`*_target` without training data) is left out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from datasets import Dataset

    from lowres.data import LabelledData

    Vectors = npt.NDArray[np.floating[Any]]
    Embed = Callable[[Dataset], Vectors | list[Vectors]]


@dataclass(frozen=True)
class BaselineContext:
    """What a baseline may look at. Only `*_target` ones touch `data.target_train`.

    `embed`: the frozen base; examples to mean-pooled vectors [examples, hidden], for tagging to
    one array [words, hidden] an example. None leaves out the probe.
    """

    data: LabelledData
    task: TaskOptions
    embed: Embed | None = None
