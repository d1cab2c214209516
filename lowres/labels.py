"""Label names: the recipe's map, the source's label set, and what the source never showed.

Labels are aligned by name across languages and files, never by position or number.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lowres.columns import Part
from lowres.errors import DataError

OUTSIDE = "O"


@dataclass
class LabelMap:
    """`DataSource.labels`. Remembers which keys were met: one that never is, is misspelt."""

    names: Mapping[str, str | None]
    met: set[str] = field(default_factory=set)

    def label(self, name: str) -> str | None:
        """The label here; None: the example is dropped."""
        if name not in self.names:
            return name
        self.met.add(name)
        return self.names[name]

    def tag(self, name: str) -> str:
        """The tag here. A key matches the whole tag, or its BIO family (`DATE` for `B-DATE`)."""
        if name in self.names:
            self.met.add(name)
            return self.names[name] or OUTSIDE
        prefix, dash, family = name.partition("-")
        if not dash or prefix not in ("B", "I") or family not in self.names:
            return name
        self.met.add(family)
        renamed = self.names[family]
        return f"{prefix}-{renamed}" if renamed and renamed != OUTSIDE else OUTSIDE

    def apply(self, part: Part) -> Part:
        """The part with its gold answers renamed; dropped examples are noted."""
        if not self.names or not len(part):
            return part
        if "tags" in part.columns:
            before = [tag for tags in part.columns["tags"] for tag in tags]
            known = {tag: self.tag(tag) for tag in set(before)}
            emptied = sum(1 for tag in before if known[tag] == OUTSIDE != tag)
            tags = [[known[tag] for tag in tags] for tags in part.columns["tags"]]
            part = replace(part, columns={**part.columns, "tags": tags})
            return part.noted(f"{emptied} tags made O by data.labels") if emptied else part
        labels = [self.label(name) for name in part.columns["label"]]
        part = replace(part, columns={**part.columns, "label": labels})
        kept = [index for index, name in enumerate(labels) if name is not None]
        if len(kept) == len(labels):
            return part
        return part.keep(kept).noted(f"{len(labels) - len(kept)} examples dropped by data.labels")

    def unmet(self) -> list[str]:
        """Keys that no label was looked up by."""
        return sorted(set(self.names) - self.met)


def names_of(part: Part) -> Iterable[set[str]]:
    """The label names of every example."""
    if "tags" in part.columns:
        return (set(tags) for tags in part.columns["tags"])
    return ({label} for label in part.columns.get("label", ()))


def label_set(parts: Sequence[Part]) -> tuple[str, ...]:
    """Sorted labels of the training data; O first.

    BIO tags come with their partner (`I-LOC` where only `B-LOC` was seen), so that a prediction
    can be repaired into a legal sequence.
    """
    return ordered(set().union(*(names for part in parts for names in names_of(part))))


def ordered(found: set[str]) -> tuple[str, ...]:
    """As `label_set`, of the names that were found."""
    if is_bio(found):
        families = {name[2:] for name in found if name != OUTSIDE}
        found = found | {f"{prefix}-{family}" for family in families for prefix in "BI"}
    return tuple(sorted(found, key=lambda name: (name != OUTSIDE, name)))


def check_alike(parts: Sequence[Part], policy: str) -> None:
    """Raise `DataError` where sources that are mixed know different labels, unless
    `data.unseen_labels` says that this is meant.

    Examples of a source that lacks a label teach that what it names is something else. Tags that
    are no entities (parts of speech) may be missing by chance: they are left alone.
    """
    own = {part.language: frozenset().union(*names_of(part)) for part in parts}
    tagged = any("tags" in part.columns for part in parts)
    if tagged and not all(is_bio(names) for names in own.values()):
        return
    if tagged:
        own = {
            code: frozenset(name[2:] or OUTSIDE for name in names) for code, names in own.items()
        }
    every = frozenset().union(*own.values())
    lacking = {code: sorted(every - names) for code, names in own.items() if names != every}
    if lacking and policy == "error":
        each = "; ".join(
            f"{code} never shows {', '.join(names)}" for code, names in lacking.items()
        )
        raise DataError(
            f"languages.source: the sources have different label sets: {each}; rename labels in "
            "data.labels (null drops the examples), leave a source out, or set data.unseen_labels "
            "to wrong or drop to train on all of them"
        )


def is_bio(labels: Iterable[str]) -> bool:
    """Whether these are O and B-/I- tags."""
    labels = set(labels)
    inside = labels - {OUTSIDE}
    return (
        OUTSIDE in labels
        and bool(inside)
        and all(name[:2] in ("B-", "I-") and len(name) > 2 for name in inside)
    )


@dataclass(frozen=True)
class Unseen:
    """Labels of one part that the source's training data does not have."""

    part: Part
    counts: Mapping[str, int]
    """Label -> examples that hold it."""
    examples: tuple[int, ...]

    def described(self) -> str:
        """One clause for an error: labels, counts, the first place."""
        named = ", ".join(f"{name!r} ({count})" for name, count in sorted(self.counts.items()))
        first = self.part.where(self.examples[0])
        return f"{self.part.language} {self.part.split}: {named}, first at {first}"


def unseen(part: Part, labels: Sequence[str]) -> Unseen | None:
    """What the part shows and `labels` lacks, or None."""
    known = set(labels)
    counts: Counter[str] = Counter()
    found = []
    for index, names in enumerate(names_of(part)):
        strange = names - known
        if strange:
            counts.update(strange)
            found.append(index)
    return Unseen(part, counts, tuple(found)) if found else None


def align(
    parts: Sequence[Part], labels: Sequence[str], policy: str
) -> tuple[list[Part], list[str]]:
    """Settle labels that the source never showed, as `data.unseen_labels` says.

    Returns the parts and one warning a part that was touched. With `wrong` gold answers keep
    their name: no system trained on the source can give it. A target's train split loses those
    examples even then, else the yardstick alone could get them right.
    """
    strange = {id(part): found for part in parts if (found := unseen(part, labels))}
    if strange and policy == "error":
        each = "; ".join(found.described() for found in strange.values())
        raise DataError(
            f"labels that the source's training data ({', '.join(labels)}) never shows: {each}; "
            "rename them in data.labels, or set data.unseen_labels to drop (leave those examples "
            "out) or wrong (keep them, counted as wrong); it is error now"
        )
    settled, warnings = [], []
    for part in parts:
        found = strange.get(id(part))
        if found is not None:
            names = ", ".join(sorted(found.counts))
            n = len(found.examples)
            if policy == "drop" or part.split == "train":
                gone = set(found.examples)
                part = part.keep([i for i in range(len(part)) if i not in gone])
                note = f"{n} examples dropped: the source never shows {names}"
            else:
                note = f"{n} examples can only be wrong: the source never shows {names}"
            part = part.noted(note)
            warnings.append(f"{part.language} {part.split}: {note} (data.unseen_labels {policy})")
        settled.append(part)
    return settled, warnings
