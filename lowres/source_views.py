"""Which source languages to try for a target, and why; all that the advisor says, as types.

Sources stand in the order of what is known of them. The order is checked against measured transfer
in docs/advisor.md; the figure behind it foretells no score, so it is not shown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from lowres import base_views, corpus, languages, readers, record, uriel, wordlists
from lowres.advice import Step
from lowres.base_views import BaseView
from lowres.columns import USUAL
from lowres.diagnose import Text
from lowres.errors import DataError, LanguageError, reworded

EVIDENCE: Final = ("measured", "letters", "retrieval", "closeness")
"""What sources are ordered by; docs/advisor.md says what each is worth."""
CLOSENESS: Final = 0.1
"""What closeness counts beside each of the others, where something was measured of a source; as
much as they without. Chosen as `record.NEARNESS` is."""


@dataclass(frozen=True)
class Labelled:
    """A file of labelled examples of a possible source."""

    code: str
    path: Path
    lines: tuple[str, ...]
    """Its texts, tokens joined by spaces."""


@dataclass(frozen=True)
class Source:
    """A language to take labels from, and all that is known of it beside the target."""

    code: str
    examples: int | None
    """In its labelled file; None where none was given."""
    family: str | None
    distances: uriel.Distances
    measured: record.Measured | None
    shared: wordlists.Shared | None
    retrieval: float | None
    """Share of parallel lines that find each other in the base (`retrieval.accuracy`)."""
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Suggestion:
    """All that `lowres suggest` says."""

    target: str
    task: str | None
    sources: tuple[Source, ...]
    bases: tuple[BaseView, ...]
    steps: tuple[Step, ...]
    notes: tuple[str, ...]
    """What could not be said, and what would change that."""


def language_of(given: str) -> tuple[str, Path]:
    """The language and the file of `zul_Latn=FILE`, or of a FILE whose name or folder is the code.

    Raises `LanguageError` for a language that nobody says.
    """
    code, mark, name = given.partition("=")
    path = Path(name if mark else given)
    if mark:
        return languages.of_option("--labelled", code), path
    named = [part for part in (path.stem, *reversed(path.parent.parts)) if _is_code(part)]
    if not named:
        raise LanguageError(
            f"--labelled {given}: neither the file nor a folder is named by a language code "
            "such as zul_Latn; write --labelled zul_Latn=FILE"
        )
    return languages.canonical(named[0]), path


def labelled(given: str) -> Labelled:
    """As `language_of`, read. Raises `DataError` too, for a file that holds no texts."""
    language, path = language_of(given)
    return Labelled(language, path, tuple(_texts(path)))


def of_target(target: str, files: Sequence[Labelled]) -> int:
    """How many labelled examples of the target itself are among the files."""
    own = uriel.member(target)
    return sum(len(file.lines) for file in files if uriel.member(file.code) == own)


def _is_code(text: str) -> bool:
    try:
        languages.canonical(text)
    except ValueError:
        return False
    return True


def _texts(path: Path) -> list[str]:
    if not path.is_file():
        raise DataError(f"--labelled {path}: no such file; expected labelled examples")
    with reworded(lambda said: f"--labelled {_without_keys(said)}"):
        table = readers.read(path, "auto", "auto")
    for field in ("tokens", "text"):
        column = next((name for name in USUAL[field] if name in table.columns), None)
        if column is not None:
            at = table.columns.index(column)
            cells = [row[at] for row in table.rows]
            return [" ".join(c) if isinstance(c, list) else c or "" for c in cells]
    raise DataError(
        f"--labelled {path}: no column of texts among {', '.join(table.columns)}; expected one of "
        f"{', '.join((*USUAL['tokens'], *USUAL['text']))}"
    )


_KEYS: Final = (
    (r"set data\.format \((.*)\)$", r"give the file an ending that does (\1)"),
    (r"set data\.format$", "give the file the ending of its format"),
    (r"data\.format (\w+)", r"read as \1"),
    (r", or set data\.quoting to .*$", ""),
    (r"; check data\.files and data\.names$", ""),
)
"""What is said of keys of a recipe, in which there are none: a file is read by its ending."""


def _without_keys(said: str) -> str:
    for key, other in _KEYS:
        said = re.sub(key, other, said)
    return said


def sources(
    target: str,
    task: str | None,
    text: Text | None,
    files: Sequence[Labelled],
    retrieved: Mapping[str, float],
    tables: Sequence[record.Table] | None = None,
) -> tuple[Source, ...]:
    """Source languages, the best first.

    Args:
        target: FLORES code.
        task: of the study, which chooses the measured tables; None for all of them.
        text: of the target.
        files: of the possible sources; without any, all sources of the record are looked at. One
            of the target itself is no source.
        retrieved: source -> `retrieval.accuracy`.
        tables: the record to use in place of the one that lowres carries.
    """
    measured = {
        uriel.member(code): found for code, found in record.measured(target, task, tables).items()
    }
    own = {file.code: file for file in files if uriel.member(file.code) != uriel.member(target)}
    codes = sorted(own) if own else _recorded(target, task, tables)
    mine = wordlists.profile(corpus.sample(text.path).splitlines()) if text else None
    found = []
    for code in codes:
        shared = None
        if mine and code in own:
            shared = wordlists.shared(mine, wordlists.profile(own[code].lines))
        distances = uriel.distances(target, code) if uriel.present() else uriel.UNKNOWN
        bare = Source(
            code,
            len(own[code].lines) if code in own else None,
            uriel.family(code),
            distances,
            measured.get(uriel.member(code)),
            shared,
            retrieved.get(code),
            (),
        )
        found.append(Source(**{**_fields(bare), "reasons": tuple(_reasons(bare, target))}))
    return tuple(ordered(found))


def _fields(source: Source) -> dict[str, Any]:
    return {name: getattr(source, name) for name in source.__dataclass_fields__}


def _recorded(target: str, task: str | None, tables: Sequence[record.Table] | None) -> list[str]:
    every = {source for table in record.chosen(target, task, tables) for source in table.sources}
    return sorted(code for code in every if uriel.member(code) != uriel.member(target))


def evidence(source: Source) -> dict[str, float]:
    """What is known of a source, each the higher the better."""
    found: dict[str, float] = {}
    if source.measured is not None:
        found["measured"] = source.measured.standing
    if source.shared is not None:
        found["letters"] = source.shared.letters
    if source.retrieval is not None:
        found["retrieval"] = source.retrieval
    if source.distances.apart is not None:
        found["closeness"] = 1 - source.distances.apart
    return found


def ordered(
    found: Sequence[Source], using: Sequence[str] = EVIDENCE, closeness: float = CLOSENESS
) -> list[Source]:
    """Best first: by the mean place in each piece of evidence, over those known of a source.

    Args:
        found: in any order.
        using: the pieces of evidence that count.
        closeness: what it counts beside `measured`.
    """
    known = [evidence(source) for source in found]
    places = {kind: _places([its.get(kind) for its in known]) for kind in using}

    def mean(at: int) -> float:
        its = {kind: place for kind in using if (place := places[kind][at]) is not None}
        weights = dict.fromkeys(its, 1.0)
        if "measured" in its and "closeness" in its:
            weights["closeness"] = closeness
        total = sum(weights.values())
        return sum(weights[kind] * its[kind] for kind in its) / total if total else -1.0

    order = sorted(range(len(found)), key=lambda at: (-mean(at), found[at].code))
    return [found[at] for at in order]


def _places(values: Sequence[float | None]) -> list[float | None]:
    """1 for the highest, 0 for the lowest, evenly between, equal ones alike; None stays None."""
    known = sorted(value for value in values if value is not None)
    last = max(1, len(known) - 1)
    return [
        None if value is None else (known.index(value) + (known.count(value) - 1) / 2) / last
        for value in values
    ]


def _reasons(source: Source, target: str) -> list[str]:
    """In words, what speaks for and against a source."""
    said = []
    if source.measured is not None:
        m = source.measured
        said.append(
            f"measured: standing {m.standing:.2f} of 1 on {m.targets} other targets{_near(source)}"
        )
    own = uriel.family(target)
    if source.family is not None and own is not None:
        same = "also " if source.family == own else ""
        said.append(f"family: {same}{source.family}" + ("" if same else f", target {own}"))
    if target.split("_")[1] != source.code.split("_")[1]:
        said.append(f"another script ({source.code.split('_')[1]})")
    said += _apart(source.distances)
    if source.shared is not None:
        said.append(f"letters {source.shared.letters:.2f} alike, of 1")
        said.append(f"{source.shared.words:.0%} of the words of the target's text are in its texts")
    if source.retrieval is not None:
        said.append(f"{source.retrieval:.0%} of parallel lines find each other in the base")
    return said


def _apart(known: uriel.Distances) -> list[str]:
    """Distances in words, each from 0 to 1; grammar plays no part in the order."""
    each = {
        "in the family tree": known.genetic,
        "on the map": known.geographic,
        "in grammar and sounds (not counted)": known.typological,
    }
    parts = [f"{value:.2f} {where}" for where, value in each.items() if value is not None]
    return [f"distance, of 1: {', '.join(parts)}"] if parts else []


def _near(source: Source) -> str:
    """Which measured target counted most, and how near it is."""
    m = source.measured
    if m is None or m.distance is None:
        return ", all of them alike"
    if uriel.member(m.nearest) == uriel.member(source.code):
        return ", near ones first, and it is itself the nearest of them"
    far = ", which is not near" if m.distance >= record.FAR else ""
    return f", near ones first (nearest: {m.nearest}{far})"


def notes(target: str, text: Text | None, files: Sequence[Labelled], task: str | None) -> list[str]:
    """What could not be said, and what would change that."""
    said = []
    if text is None:
        said.append(
            "no --text: nothing is said of words and tokenizers; a few thousand lines of "
            f"{target} would allow it"
        )
    if all(uriel.member(file.code) == uriel.member(target) for file in files):
        which = " of other languages" if files else ""
        said.append(
            f"no --labelled files{which}: the sources are those of the record, whether you have "
            "labels of them or not"
        )
    if not uriel.present():
        said.append(
            f"without the package {uriel.PACKAGE} no distances are known: all measured targets "
            f"count alike, which orders sources worse; {uriel.INSTALL}"
        )
    elif task is not None and any(t.task != task for t in record.chosen(target, task)):
        own = any(table.task == task for table in record.tables())
        which = f"no target near {target}" if own else "nothing"
        known = ", ".join(sorted({table.task for table in record.chosen(target, task)}))
        said.append(f"of {task} the record has {which}: what is nearest is used ({known})")
    return said


def plain(said: Suggestion) -> dict[str, Any]:
    """Everything as JSON has it."""
    return {
        "target": said.target,
        "task": said.task,
        "sources": [_plain_source(source) for source in said.sources],
        "bases": [base_views.plain(view) for view in said.bases],
        "steps": [asdict(step) for step in said.steps],
        "record": [
            {"name": table.name, "task": table.task, "what": table.what, "source": table.source}
            for table in record.chosen(said.target, said.task)
        ],
        "notes": list(said.notes),
    }


def _plain_source(source: Source) -> dict[str, Any]:
    row = asdict(source)
    row["distances"]["typological"] = source.distances.typological
    return row
