"""The ways of one study to train its task: the recipe's own, and the systems beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lowres.bases import LocatedBase

BASE_AS_IS = "base-as-is"
OLD_VOCABULARY = "adapted-old-vocabulary"
EXTENDED_ONLY = "extended-only"
CONTROLS = (BASE_AS_IS, OLD_VOCABULARY, EXTENDED_ONLY)
"""In the order of the tables."""
TRANSLATE_TRAIN = "translate-train"
TRANSLATE_TEST = "translate-test"


def few_shot(shots: int | str) -> str:
    """The system that also saw so many examples of every target: `10-shot`, `all-shot`."""
    return f"{shots}-shot"


@dataclass(frozen=True)
class Variant:
    """One way to train the task: the recipe's own (`system` "adapter") or a control."""

    system: str
    located: LocatedBase
    folder: str
    """Of its stages inside the run folder, with a slash at the end; empty for the recipe's own."""
    shots: int | str | None = None
    """Labelled examples of each target that it is trained on, in a few-shot system."""
    draw: int | None = None
    """Which draw of them, from 1 on."""
    targets: tuple[str, ...] | None = None
    """Whose examples or translations these are; it answers their test sets. None: all targets'."""
    scores_source: bool = True
    """Whether it answers the source's test sets too."""

    def training(self, seed: int) -> str:
        """The name of the stage that trains one seed."""
        return f"{self.folder}train/{seed}"

    def answers(self, seed: int) -> str:
        """The folder of one seed's answers inside `predictions`."""
        if not self.folder:
            return str(seed)
        # targets that are trained on apart answer in one folder: each has files of its own
        draw = "" if self.draw in (None, 1) else f"draw-{self.draw}/"
        return f"{self.system}/{draw}{seed}"
