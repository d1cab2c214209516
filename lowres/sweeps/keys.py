"""Every key of a sweep's file as a frozen type. This is the only place with its defaults."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainValidator,
    field_validator,
    model_validator,
)

from lowres.recipe_types import Number, Section, Whole, distinct, listed


def _bound(value: Any) -> int | float:
    """Whole numbers stay whole, and so do those that are drawn between them. YAML reads `1e-4`
    as text."""
    if not isinstance(value, bool):
        try:
            found = value if isinstance(value, int) else float(value)
        except (TypeError, ValueError):
            found = math.nan
        if math.isfinite(found):
            return found
    raise ValueError(f"expected a number, not {value!r}")


def _filled(value: tuple[Any, ...]) -> tuple[Any, ...]:
    if not value:
        raise ValueError("is empty; name at least one value, or leave the key out")
    return value


def _dimension(value: Any) -> Any:
    """A list is short for choices."""
    return {"choices": value} if isinstance(value, list | tuple) else value


Bound = Annotated[int | float, PlainValidator(_bound, json_schema_input_type=float)]
Axis = Annotated[tuple[Any, ...], AfterValidator(_filled)]


class Dimension(Section):
    """What one key may be in a study: a range, or choices (short: a list)."""

    low: Bound | None = None
    high: Bound | None = None
    """Both ends belong to the range; where both are whole, only whole numbers are drawn."""
    log: bool = False
    """Draw evenly by magnitude, as suits rates."""
    step: Bound | None = None
    """Distance of the values that are drawn, from `low` on."""
    choices: Axis | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Dimension:
        ends = (self.low, self.high)
        if self.choices is not None:
            if ends != (None, None) or self.log or self.step is not None:
                raise ValueError("has choices and a range; keep one")
            return self
        if self.low is None or self.high is None:
            raise ValueError("needs low and high, or a list of choices")
        if self.low >= self.high:
            raise ValueError(f"low {self.low:g} is not below high {self.high:g}")
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low above 0, not {self.low:g}")
        if self.log and self.step is not None:
            raise ValueError("log and step exclude each other; keep one")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step must be above 0, not {self.step:g}")
        return self


class Study(Section):
    """Settings drawn one after another, each draw by what the ones before it gave (Optuna). What
    is aimed at is the mean source-dev score over seeds, never a target's score."""

    trials: Whole = Field(ge=1, le=100_000)
    """Settings to try."""
    sampler: Literal["tpe", "random"] = "tpe"
    """tpe: tree-structured Parzen estimator (Bergstra et al. 2011); random: its yardstick."""
    seed: Whole = Field(0, ge=0, lt=2**31)
    space: dict[str, Annotated[Dimension, BeforeValidator(_dimension)]]
    """Key of the recipe -> what it may be."""

    @field_validator("space")
    @classmethod
    def _some(cls, value: Any) -> Any:
        if not value:
            raise ValueError("is empty; name at least one key of the recipe")
        return value


class Sweep(Section):
    """Runs to make: every recipe with every setting."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100)
    """Names the folder, `runs/<name>`."""
    recipe: Annotated[
        tuple[str, ...],
        BeforeValidator(listed),
        AfterValidator(_filled),
        AfterValidator(distinct),
    ]
    """One or several: a shipped recipe's name, or a path from the current folder."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Overrides for all runs: key of the recipe -> value."""
    grid: dict[str, Axis] = Field(default_factory=dict)
    """Key of the recipe -> its values; every combination is a run."""
    study: Study | None = None
    """Draw settings, instead of a grid."""
    seeds: tuple[Whole, ...] | None = None
    """In place of the recipes' own; all seeds of one run are trained in one process."""
    workers: Literal["auto"] | Annotated[Whole, Field(ge=0)] = "auto"
    """Processes side by side; auto: as many as there is room for; 0: this process, without Ray."""
    cpus_a_worker: Number = Field(1, gt=0)
    """Processor cores that one worker holds."""
    gpus_a_worker: Literal["auto"] | Annotated[Number, Field(ge=0)] = "auto"
    """GPUs that one worker holds, also a part of one; auto: 1 where there are any, else 0."""
    retries: Whole = Field(1, ge=0, le=100)
    """How often a run that failed is tried again. Not where data or recipe must be changed."""
    address: str | None = None
    """A Ray cluster, such as `ray://head:10001`; null: this machine."""

    @model_validator(mode="after")
    def _one_way(self) -> Sweep:
        found = []
        if self.workers == 0 and self.address is not None:
            found.append(
                "workers: 0 runs in this process, not at an address; leave address out, or set "
                "workers to auto or more"
            )
        found += self._of_study()
        if found:
            raise ValueError("\n".join(found))
        return self

    def _of_study(self) -> list[str]:
        if self.study is None:
            return []
        found = []
        if self.grid:
            found.append("study: there is a grid too; keep one of them")
        if len(self.recipe) > 1:
            found.append(
                f"study: is of one recipe, not {len(self.recipe)}: scores on other data would "
                "be compared; write a sweep for each"
            )
        return found
