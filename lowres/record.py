"""The record: which sources transferred best to which targets, where somebody has measured it.

`lowres/transfers/` holds the tables, each a source x target matrix of one task and one base, with
where it comes from. What was best for the languages around a target says more of its sources than
any distance (docs/advisor.md).
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from lowres import uriel

NEARNESS: Final = 0.05
"""A measured target counts exp(-d / this), d its distance (`uriel.Distances.apart`). Chosen on
the 22 targets of MasakhaNER's table that are no part of MasakhaNER 2.0; see docs/advisor.md."""
FAR: Final = 0.5
"""From this distance on, even the nearest measured target is no near one, and that is said."""

_FOLDER: Final = Path(__file__).parent / "transfers"


@dataclass(frozen=True)
class Table:
    """One measured matrix."""

    name: str
    task: str
    """A name of `lowres/tasks/`."""
    what: str
    """Task, base and size, in words."""
    unit: Literal["place", "score"]
    source: str
    """Who measured it, and where it stands."""
    values: Mapping[str, Mapping[str, float]]
    """Target -> source -> place (1 the best) or score, by FLORES codes; no language for itself."""

    @property
    def sources(self) -> frozenset[str]:
        """All languages that were a source."""
        return frozenset(source for values in self.values.values() for source in values)

    def standing(self, target: str) -> dict[str, float]:
        """Source -> 1 for the best source of a measured target, 0 for the worst, evenly between.

        Sources with equal values share their mean place.
        """
        values = self.values[target]
        better = 1 if self.unit == "score" else -1
        order = sorted(values.values())
        last = max(1, len(order) - 1)
        found = {}
        for source, value in values.items():
            first = order.index(value)
            middle = first + (order.count(value) - 1) / 2
            found[source] = middle / last if better == 1 else 1 - middle / last
        return found


@dataclass(frozen=True)
class Measured:
    """How good a source was for the measured targets around the one that is asked for."""

    standing: float
    """Weighted mean of `Table.standing`: 1 the best source of all of them, 0 the worst. For itself
    a language counts as the best."""
    targets: int
    """Measured targets behind it."""
    nearest: str
    """The measured target that counted most."""
    distance: float | None
    """Its `uriel.Distances.apart`; None where none are at hand, and all targets count alike."""
    tables: tuple[str, ...]


@cache
def tables() -> tuple[Table, ...]:
    """All that lowres carries."""
    return tuple(_table(file) for file in sorted(_FOLDER.glob("*.tsv")))


def _table(file: Path) -> Table:
    """Lines of `# key: value`, then a row of targets, then one a source."""
    lines = file.read_text(encoding="utf-8").splitlines()
    said = dict(line[2:].split(": ", 1) for line in lines if line.startswith("# "))
    head, *body = (line.split("\t") for line in lines if not line.startswith("# "))
    values: dict[str, dict[str, float]] = {target: {} for target in head[1:]}
    for source, *cells in body:
        for target, cell in zip(head[1:], cells, strict=True):
            if uriel.member(source) != uriel.member(target):
                values[target][source] = float(cell)
    unit: Literal["place", "score"] = "place" if said["unit"] == "place" else "score"
    return Table(file.stem, said["task"], said["what"], unit, said["source"], values)


def chosen(
    target: str, task: str | None = None, held: Collection[Table] | None = None
) -> tuple[Table, ...]:
    """The tables that a target is looked up in: those of the task, where one of their targets is
    near it (`FAR`) or no distances are known; else those of any task with a near one, or the one
    whose targets come nearest.

    A standing is among the sources of one table. A source that was measured in a far one alone
    would otherwise stand there as it stood among others: the best of twelve Indonesian languages
    among the best for Bambara.

    Args:
        target: FLORES code.
        task: name of a task; None for all.
        held: tables to look at in place of those that lowres carries.
    """
    every = tables() if held is None else tuple(held)
    own = tuple(table for table in every if table.task == task)
    far = [_nearest(target, table) for table in every]
    for looked_at in (own, every):
        near = [
            table
            for table, distance in zip(every, far, strict=True)
            if table in looked_at and (distance is None or distance < FAR)
        ]
        if near:
            return tuple(near)
    least = min((distance for distance in far if distance is not None), default=None)
    return tuple(table for table, distance in zip(every, far, strict=True) if distance == least)


def _nearest(target: str, table: Table) -> float | None:
    """How far the nearest target of a table is; None where no distance is known."""
    distances = (_distance(target, other) for other in _others(target, [table]))
    return min((distance for distance in distances if distance is not None), default=None)


def measured(
    target: str, task: str | None = None, held: Collection[Table] | None = None
) -> dict[str, Measured]:
    """What the record says of sources for a target, by the sources' FLORES codes.

    What was measured on the target itself is left out: a study whose answer is in the record
    needs no advice, and the check in docs/advisor.md would be none.

    Args:
        target: FLORES code.
        task: name of a task; see `chosen`.
        held: tables to look at in place of those that lowres carries.
    """
    looked_at = chosen(target, task, held)
    weights = _weights(target, looked_at)
    found: dict[str, list[tuple[float, float, str, str]]] = {}
    for table in looked_at:
        for other in table.values:
            if other not in weights:
                continue
            itself = {other: 1.0} if other in table.sources else {}
            for source, standing in (table.standing(other) | itself).items():
                if uriel.member(source) != uriel.member(target):
                    row = (weights[other], standing, other, table.name)
                    found.setdefault(source, []).append(row)
    return {source: _mean(rows, target) for source, rows in found.items()}


def _weights(target: str, held: Collection[Table]) -> dict[str, float]:
    """What each measured target counts; all alike where no distance of this one is known."""
    others = _others(target, held)
    far = {other: _distance(target, other) for other in others}
    if all(distance is None for distance in far.values()):
        return dict.fromkeys(others, 1.0)
    # from the nearest on, so that a target far from all does not weigh nothing at all
    least = min(distance for distance in far.values() if distance is not None)
    return {
        other: math.exp((least - distance) / NEARNESS)
        for other, distance in far.items()
        if distance is not None
    }


def _others(target: str, held: Collection[Table]) -> set[str]:
    return {
        other
        for table in held
        for other in table.values
        if uriel.member(other) != uriel.member(target)
    }


def _distance(a: str, b: str) -> float | None:
    return uriel.distances(a, b).apart if uriel.present() else None


def _mean(rows: list[tuple[float, float, str, str]], target: str) -> Measured:
    total = sum(weight for weight, *_ in rows)
    standing = sum(weight * standing for weight, standing, *_ in rows) / total
    nearest = max(rows)[2]
    return Measured(
        standing,
        len({other for *_, other, _ in rows}),
        nearest,
        _distance(target, nearest),
        tuple(sorted({name for *_, name in rows})),
    )
