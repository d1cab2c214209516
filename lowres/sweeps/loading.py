"""A sweep's file to its cells: one cell is one recipe with one setting, all its seeds, one run."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lowres import bases, data, recipe_faults, recipe_loading
from lowres.errors import LowresError, RecipeError
from lowres.recipe import Recipe
from lowres.recipe_faults import Lines, Location
from lowres.recipe_loading import Override
from lowres.sweeps.keys import Dimension, Sweep

EMPTY = "the file is empty; a sweep begins with `name: {stem}` and `recipe: quickstart`"
SHAPE = "a sweep is a mapping of keys such as 'recipe:' and 'grid:'"
MEASURES = ("languages", "data", "task", "evaluate", "seeds", "name", "question", "publish")
"""Sections that a study may not search: they say what is measured and on what, and scores on
other data do not compare."""
SHOWN_FAULTS = 5


@dataclass(frozen=True)
class Cell:
    """One run of a sweep. `name`: of its folder; `source`: the recipe as the sweep calls it."""

    name: str
    source: str
    settings: tuple[tuple[str, Any], ...]
    """What tells it from the other cells: key of the recipe -> value."""
    recipe: Recipe
    overrides: tuple[Override, ...]
    """All that is laid over the source, with where it stands."""

    @property
    def label(self) -> str:
        """For messages: `train.learning_rate=2e-4 lora.rank=8`, or the recipe's name."""
        return " ".join(f"{key}={shown(value)}" for key, value in self.settings) or self.source


@dataclass(frozen=True)
class Plan:
    """A sweep as it was written. `given`: overrides of the command line, for all cells."""

    sweep: Sweep
    path: Path
    lines: Lines
    given: tuple[Override, ...] = ()

    def place(self, *at: str | int) -> str:
        """`sweep.yaml:4` for a key."""
        return recipe_faults.place(at, self.lines, {}, str(self.path))

    def cell(self, source: str, settings: Mapping[str, tuple[Any, str]]) -> Cell:
        """The cell of one recipe and one setting: key -> value, and where that stands.

        Raises `RecipeError`.
        """
        sweep = self.sweep
        overrides = [*self.given]
        overrides += [Override(k, v, self.place("set", k)) for k, v in sweep.set.items()]
        if sweep.seeds is not None:
            overrides.append(Override("seeds", list(sweep.seeds), self.place("seeds")))
        overrides += [Override(key, *value) for key, value in settings.items()]
        recipe = recipe_loading.load(source, overrides)
        name = f"{recipe.name}-{recipe_loading.digest(recipe)}"
        values = tuple((k, v) for k, (v, _) in settings.items())
        return Cell(name, source, values, recipe, tuple(overrides))


def load(path: Path, overrides: Sequence[str] = ()) -> Plan:
    """Read and check a sweep's file.

    Args:
        path: of the file.
        overrides: `key=value` of the recipe, for all cells.

    Raises:
        RecipeError: every fault at once, each with file:line; those in cells come with `cells`.
    """
    if not path.is_file():
        what = "is a folder" if path.is_dir() else f"no such file (looked in {Path.cwd()})"
        raise RecipeError([f"{path}: {what}; give a sweep's .yaml file"])
    tree, lines = recipe_loading.parse(path, EMPTY, SHAPE)
    try:
        sweep = Sweep.model_validate(tree)
    except ValidationError as error:
        raise RecipeError(recipe_faults.faults(error, lines, {}, str(path), Sweep)) from None
    plan = Plan(sweep, path, lines, tuple(recipe_loading.written(each) for each in overrides))
    faults = [*_twice(plan), *_unsearchable(plan)]
    if faults:
        raise RecipeError(faults)
    return plan


def cells(plan: Plan) -> list[Cell]:
    """Of a grid: every recipe with every combination. Of a study: each key of its space at each
    of its ends or choices in turn, to be checked, not to be run.

    Raises:
        RecipeError: every fault in any cell; two cells that are one and the same run.
        LowresError: no such base; data that is not there.
    """
    settings = _ends(plan) if plan.sweep.study is not None else _combinations(plan)
    made, faults = [], list[str]()
    for source, setting in itertools.product(plan.sweep.recipe, settings):
        try:
            made.append(plan.cell(source, setting))
        except RecipeError as error:
            faults += error.faults
    if faults:
        raise RecipeError(list(dict.fromkeys(faults)))
    if plan.sweep.study is None:
        _check_distinct(plan, made)
    _check_files(made)
    return made


def shown(value: Any) -> str:
    """A value as one would write it: `[yor_Latn, ibo_Latn]`, `0.0002`, `null`."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value))}]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {shown(part)}" for key, part in value.items()) + "}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return f"{value:.4g}" if isinstance(value, float) else str(value)


Setting = dict[str, tuple[Any, str]]


def _combinations(plan: Plan) -> list[Setting]:
    axes = [
        [(key, value, plan.place("grid", key, index)) for index, value in enumerate(values)]
        for key, values in plan.sweep.grid.items()
    ]
    return [
        {key: (value, place) for key, value, place in point} for point in itertools.product(*axes)
    ]


def _ends(plan: Plan) -> list[Setting]:
    assert plan.sweep.study is not None
    space = plan.sweep.study.space
    places = {key: plan.place("study", "space", key) for key in space}
    first = {key: (_values(dimension)[0], places[key]) for key, dimension in space.items()}
    return [
        {**first, key: (value, places[key])}
        for key, dimension in space.items()
        for value in _values(dimension)
    ]


def _values(dimension: Dimension) -> tuple[Any, ...]:
    return dimension.choices or (dimension.low, dimension.high)


def _twice(plan: Plan) -> Iterator[str]:
    """Keys that two places of the sweep set, or of which one lies inside the other."""
    sweep = plan.sweep
    named: list[tuple[Location, str, str]] = [
        (override.parts, override.place, override.place) for override in plan.given
    ]
    named += [(tuple(k.split(".")), f"set.{k}", plan.place("set", k)) for k in sweep.set]
    if sweep.seeds is not None:
        named.append((("seeds",), "seeds", plan.place("seeds")))
    space = sweep.study.space if sweep.study is not None else {}
    named += [(tuple(k.split(".")), f"grid.{k}", plan.place("grid", k)) for k in sweep.grid]
    named += [
        (tuple(k.split(".")), f"study.space.{k}", plan.place("study", "space", k)) for k in space
    ]
    for (one, first, _), (other, second, place) in itertools.combinations(named, 2):
        if one == other[: len(one)] or other == one[: len(other)]:
            yield f"{place}: {second} and {first} set the same key; keep one"


def _unsearchable(plan: Plan) -> Iterator[str]:
    study = plan.sweep.study
    for key in study.space if study is not None else ():
        if key.split(".")[0] in MEASURES:
            yield (
                f"{plan.place('study', 'space', key)}: study.space.{key}: a study aims at source "
                "dev, and settings with other data or scores do not compare; use a grid for it"
            )


def _check_distinct(plan: Plan, made: Sequence[Cell]) -> None:
    seen: dict[str, tuple[int, Cell]] = {}
    faults = []
    for number, cell in enumerate(made, start=1):
        earlier, other = seen.setdefault(cell.name, (number, cell))
        if earlier != number:
            faults.append(
                f"{_parted(plan, earlier, number)}: cells {earlier} ({_named(other)}) and {number} "
                f"({_named(cell)}) are one and the same run; remove one"
            )
    if faults:
        raise RecipeError(faults)


def _parted(plan: Plan, earlier: int, later: int) -> str:
    """Where the later one of two cells of a grid has what was to tell it from the earlier one."""
    grid = plan.sweep.grid
    sizes = (len(plan.sweep.recipe), *map(len, grid.values()))
    points = list(itertools.product(*map(range, sizes)))
    one, other = points[earlier - 1], points[later - 1]
    axis = max(number for number, index in enumerate(other) if index != one[number])
    key = ("grid", list(grid)[axis - 1]) if axis else ("recipe",)
    return plan.place(*key, other[axis])


def _named(cell: Cell) -> str:
    return f"{cell.source}: {cell.label}" if cell.settings else cell.source


def _check_files(made: Sequence[Cell]) -> None:
    """What would fail in every worker fails here, before there are any."""
    faults: dict[str, None] = {}
    for cell in made:
        try:
            bases.check_name(cell.recipe.base.name)
        except LowresError as error:
            faults[f"{_given(cell, ('base', 'name'))}: {error}"] = None
        try:
            data.check_files(cell.recipe)
        except LowresError as error:
            faults[f"{_data_given(cell, str(error))}: {error}"] = None
    if faults:
        first = list(faults)[:SHOWN_FAULTS]
        more = len(faults) - len(first)
        raise LowresError("\n".join([*first, *([f"and {more} more like these"] if more else [])]))


def _given(cell: Cell, at: Location) -> str:
    """Where a cell has a key from: the sweep's file, the command line, or its recipe's file."""
    file = recipe_loading.find(cell.source)
    lines = recipe_loading.parse(file)[1]
    origin: dict[Location, str] = {each.parts: each.place for each in cell.overrides}
    return recipe_faults.place(at, lines, origin, str(file))


def _data_given(cell: Cell, said: str) -> str:
    """Where what was said of a cell's data has its cause."""
    key = re.match(r"data\.[a-z_.]*[a-z]", said)
    if key is not None:
        return _given(cell, tuple(key[0].split(".")))
    # a file that is missing: another path, or another language, whichever the sweep brought last
    brought = [each.place for each in cell.overrides if each.parts[0] in ("data", "languages")]
    return brought[-1] if brought else _given(cell, ("data",))
