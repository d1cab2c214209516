"""Names of entities by their type: those of tagged examples, and those of lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lowres import corpus
from lowres.augmentations import Mentions
from lowres.errors import DataError

Tagged = Mapping[str, Any]
"""An example with `language`, `tokens` and `tags`."""


def spans_of(tags: Sequence[str]) -> list[tuple[int, int, str]]:
    """(first word, word after the last, type) of every entity, in order; an `I-` that goes on
    nothing begins one, as in span F1."""
    # it imports evaluate, which only tagging needs
    from lowres.metrics.span_f1 import spans

    return sorted((start, end, kind) for kind, start, end in spans(tags))


def of_examples(rows: Iterable[Tagged]) -> dict[str, Mentions]:
    """The entities of each language's examples, in the order of their first mention."""
    found: dict[str, dict[str, dict[tuple[str, ...], None]]] = {}
    for row in rows:
        own = found.setdefault(row["language"], {})
        for start, end, kind in spans_of(row["tags"]):
            own.setdefault(kind, {})[tuple(row["tokens"][start:end])] = None
    return {
        language: Mentions(
            {kind: tuple(names) for kind, names in own.items()}, f"{language}'s training examples"
        )
        for language, own in found.items()
    }


def read(path: Path, key: str) -> Mentions:
    """A list of names, `type TAB name`, one a line; the words of a name stand between spaces.

    Raises `DataError` for a line without a tab or with an empty side, and for a file that is
    missing or no UTF-8.
    """
    found: dict[str, dict[tuple[str, ...], None]] = {}
    for number, line in enumerate(corpus.lines(path, key), start=1):
        if not line.strip():
            continue
        kind, _, rest = line.partition("\t")
        name = tuple(rest.split("\t")[0].split())
        if not kind.strip() or not name:
            raise DataError(
                f"{path}:{number}: expected `type TAB name`, one name a line; mend the line or "
                f"leave {key} out"
            )
        found.setdefault(kind.strip(), {})[name] = None
    return Mentions({kind: tuple(names) for kind, names in found.items()}, f"{key} {path}")


def over(names: Mentions, others: Mentions) -> Mentions:
    """The names, with the others' for types that they lack."""
    return Mentions({**others.by_type, **names.by_type}, names.origin)


def check_types(names: Mentions, known: Iterable[str]) -> None:
    """Raise `DataError` for a type that no label has."""
    strange = sorted(set(names.by_type) - set(known))
    if strange:
        shown = ", ".join(strange[:3]) + (", ..." if len(strange) > 3 else "")
        raise DataError(
            f"{names.origin}: {shown}: no such type among the labels; expected lines `type TAB "
            f"name` of {', '.join(sorted(known))}, named as after data.labels"
        )
