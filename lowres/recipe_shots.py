"""The section `few_shot`: how the few labelled examples of the targets are trained on; which of
them, `languages.shots` and `languages.draws` say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal

from pydantic import Field

from lowres.recipe_types import Number, Section, Whole

ZERO: Final = 0
"""In `languages.shots`: zero-shot, the recipe's own training; no other one is made for it."""
OF_CONTINUED: Final = (
    "epochs",
    "learning_rate",
    "head_learning_rate",
    "batch",
    "checkpoint",
    "replay",
)


class FewShot(Section):
    """How a few labelled examples of the targets are trained on (`languages.shots` says how many).

    No dev or test set of a target decides anything: the number of steps is fixed, or source dev
    chooses.
    """

    way: Literal["continued", "mixed"] = "continued"
    """continued: the zero-shot adapter of the same seed is trained on, for some steps more; mixed:
    one training on the source's examples and the target's (Schmidt, Vulić and Glavaš 2022, "Don't
    Stop Fine-Tuning", EMNLP)."""
    together: bool = False
    """One training with the examples of all targets, instead of one a target."""
    epochs: Number = Field(10, gt=0, le=10_000)
    """continued: passes over the examples."""
    learning_rate: Number = Field(3e-4, gt=0)
    """continued: peak rate of the LoRA weights."""
    head_learning_rate: Number = Field(3e-4, gt=0)
    """continued: peak rate of the head, which is no longer fresh: a tenth of what the strategy
    trains a fresh one at. With strategy head and probe 3e-3 by default, with full 2e-5."""
    batch: Whole = Field(8, ge=1, le=65_536)
    """continued: windows an optimiser step."""
    checkpoint: Literal["last", "best", "average"] = "last"
    """continued: what is kept, as in `train.checkpoint`; last looks at no dev set at all."""
    replay: Whole = Field(0, ge=0, le=1000)
    """continued: examples of the source beside each of the targets', drawn by the seed."""
    repeats: Whole = Field(1, ge=1, le=1000)
    """mixed: how often each example of the targets stands among the source's."""

    def _contradictions(self) -> Iterator[str]:
        others = OF_CONTINUED if self.way == "mixed" else ("repeats",)
        for key in others:
            if getattr(self, key) != type(self).model_fields[key].default:
                instead = "mixed trains as `train` says" if self.way == "mixed" else "it is mixed's"
                yield f"few_shot.way: {self.way} leaves no use for {key}: {instead}"


def shots_listed(value: Any) -> Any:
    """One number is a list of one; whole numbers from 0 (zero-shot) on, or `all`, none twice."""
    value = [value] if isinstance(value, int | str) else value
    for each in value if isinstance(value, list | tuple) else ():
        number = isinstance(each, int) and not isinstance(each, bool) and each >= ZERO
        if each != "all" and not number:
            raise ValueError(f"expected whole numbers from 0 (zero-shot) on, or all, not {each!r}")
    if isinstance(value, list | tuple) and len(set(value)) != len(value):
        raise ValueError("names a number twice")
    return value


def shot_faults(
    shots: tuple[int | str, ...], draws: int, few_shot: FewShot | None, per_language: bool
) -> Iterator[str]:
    """What the keys say that cannot be together, in words."""
    some = [each for each in shots if each != ZERO]
    if not some and draws > 1:
        yield (
            f"languages.draws: {draws} draws of no examples; say how many in languages.shots, such "
            "as [0, 10, 50]"
        )
    if not some and few_shot is not None:
        yield "few_shot: says how examples are trained on, and languages.shots asks for none"
    if per_language and some:
        yield (
            "languages.shots: examples of a target cannot train beside the source's where each "
            "language has its own adapter; set adapt.per_language: false"
        )
