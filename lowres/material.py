"""The raw text of a study: what may be learnt from and what is held out, language by language."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import artifacts, corpus
from lowres.errors import DataError
from lowres.recipe_text import Text, TextKind

if TYPE_CHECKING:
    from lowres.corpus import Pairs
    from lowres.progress import Progress

SAMPLE_LINES = 200_000
"""Lines of a language that pieces are learnt on at most, spread evenly over its text."""
KINDS: tuple[TextKind, ...] = ("files", "translations", "lexicon")
SMALLEST_TEXT = 3
"""A text of fewer times the lines to hold out is refused."""


@dataclass(frozen=True)
class LanguageText:
    """One language's text; its last lines are held out."""

    language: str
    path: Path
    learning_lines: int
    """How many lines at the front may be learnt from, blank ones counted."""
    learning_pairs: tuple[tuple[str, str], ...]
    """(line, translation)."""
    held_pairs: tuple[tuple[str, str], ...]
    lexicon: tuple[tuple[str, str], ...]
    """(word, translation)."""
    notes: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Lines to learn from, without blank and held-out ones, as they are asked for."""
        every = islice(corpus.lines(self.path, "text.files"), self.learning_lines)
        stripped = (_cleaned(line) for line in every)
        return (line for line in stripped if line and line not in self.held_set)

    def sample(self) -> list[str]:
        """At most `SAMPLE_LINES` of them, spread evenly."""
        step = max(1, -(-self.learning_lines // SAMPLE_LINES))
        return list(islice(self.lines(), 0, None, step))

    def held(self) -> list[str]:
        """The lines that nothing is learnt from."""
        rest = islice(corpus.lines(self.path, "text.files"), self.learning_lines, None)
        return [cleaned for line in rest if (cleaned := _cleaned(line))]

    @cached_property
    def held_set(self) -> frozenset[str]:
        """The same, to look up: nothing is learnt from them wherever else they stand."""
        return frozenset(self.held())

    def record(self) -> dict[str, str | int]:
        """What the text is, for provenance: the name of its file, never its path."""
        return {
            "language": self.language,
            "file": self.path.name,
            "lines": self.learning_lines,
            "sha256": artifacts.file_hash(self.path),
        }

    def digest(self) -> str:
        """Of all that is learnt from and measured on: text, translations, word list, split."""
        content = hashlib.sha256(repr(sorted(self.record().items())).encode())
        for entries in (self.learning_pairs, self.held_pairs, self.lexicon):
            content.update(f"{len(entries)}\n".encode())
            for entry in entries:
                content.update(repr(entry).encode())
        return content.hexdigest()


def load(text: Text, targets: tuple[str, ...]) -> tuple[LanguageText, ...]:
    """The text of every language that the section names.

    Raises:
        DataError: for a file that is missing, in another script than its language says, too small
            to hold lines out, or of another length than its translation.
    """
    return tuple(_language(text, language) for language in _languages(text, targets))


def with_notes_on(
    texts: Sequence[LanguageText], learned_from: Sequence[Mapping[str, Any]], where: str
) -> tuple[LanguageText, ...]:
    """The texts, noting where an extension has learnt from lines that are held out now.

    Args:
        texts: with their own held-out lines.
        learned_from: what the extension says it was learnt from, records of such texts.
        where: what names the extension, for the note.
    """
    before = {row["sha256"]: int(row["lines"]) for row in learned_from}
    languages = {row["language"] for row in learned_from}
    noted = []
    for text in texts:
        seen = before.get(str(text.record()["sha256"]))
        note = None
        if seen is None and text.language in languages:
            note = (
                f"{where} was learnt from another text of this language than {text.path.name}, so "
                "it cannot be told whether the lines held out here were in it: figures may be too "
                "good"
            )
        elif seen is not None and seen > text.learning_lines:
            note = (
                f"{where} was learnt from {seen - text.learning_lines:,} of the lines that are "
                "held out here, so figures are too good; hold out as many lines as it did, or fewer"
            )
        noted.append(text if note is None else replace(text, notes=(*text.notes, note)))
    return tuple(noted)


def say_notes(texts: Sequence[LanguageText], progress: Progress) -> None:
    """Tell what was left out of each text, and what looks wrong in it."""
    for text in texts:
        begun = "\n".join(islice(text.lines(), corpus.LITTLE_WORDS))
        for note in (*text.notes, corpus.support(corpus.words(begun))):
            if note is not None:
                progress.say(f"{text.language}: {note}")


def check_files(text: Text, targets: tuple[str, ...]) -> None:
    """Raise `DataError` for the first file that is missing, empty or no UTF-8; reads no more than
    the beginning of each."""
    for language in _languages(text, targets):
        _named(text, language)
        for kind in KINDS:
            named = text.path(kind, language)
            if named is not None:
                corpus.check_start(Path(named).expanduser(), f"text.{kind}")


def _languages(text: Text, targets: tuple[str, ...]) -> tuple[str, ...]:
    return targets if text.languages == "targets" else tuple(text.languages)


def _named(text: Text, language: str) -> str:
    named = text.path("files", language)
    if named is None:
        raise DataError(
            f"text.files: names no file for {language}; add it, or list the languages that have "
            "one in text.languages"
        )
    return named


def _language(text: Text, language: str) -> LanguageText:
    path = Path(_named(text, language)).expanduser()
    total = long = 0
    for line in corpus.lines(path, "text.files"):
        total += 1
        long += len(line) > corpus.LONGEST_LINE
    if total < SMALLEST_TEXT * text.held_out:
        raise DataError(
            f"text.files {path}: {total} lines, of which text.held_out {text.held_out} would be "
            f"kept for measuring; give {SMALLEST_TEXT * text.held_out} or more, or a smaller "
            "text.held_out"
        )
    warning = corpus.check_script(path, language)
    notes = [warning] if warning else []
    if long:
        notes.append(
            f"{long:,} lines have more than {corpus.LONGEST_LINE:,} characters and are read by "
            "their beginnings: give one sentence a line"
        )
    learning = total - text.held_out
    alone = LanguageText(language, path, learning, (), (), _lexicon(text, language), ())
    if next(alone.lines(), None) is None:
        raise DataError(
            f"text.files {path}: nothing to learn from: its lines are blank, or all among the "
            f"{text.held_out} held out at its end; give text whose lines differ"
        )
    again = _repeats(alone)
    if again:
        notes.append(f"{again:,} lines to learn from are among the held-out ones: left out")
    found = _pairs(text, language, path)
    if found is None:
        return replace(alone, notes=tuple(notes))
    before = sum(number <= learning for number in found.line_numbers)
    pairs = tuple((corpus.begun(line), corpus.begun(other)) for line, other in found.pairs)
    return replace(
        alone,
        learning_pairs=tuple(p for p in pairs[:before] if p[0] not in alone.held_set),
        held_pairs=pairs[before:],
        notes=(*notes, *found.notes),
    )


def _repeats(text: LanguageText) -> int:
    """How many of the lines to learn from stand among the held-out ones too."""
    every = islice(corpus.lines(text.path, "text.files"), text.learning_lines)
    return sum(_cleaned(line) in text.held_set for line in every)


def _cleaned(line: str) -> str:
    return corpus.begun(line.strip())


def _pairs(text: Text, language: str, path: Path) -> Pairs | None:
    named = text.path("translations", language)
    if named is None:
        return None
    return corpus.pairs(path, Path(named).expanduser(), "text.files", "text.translations")


def _lexicon(text: Text, language: str) -> tuple[tuple[str, str], ...]:
    named = text.path("lexicon", language)
    if named is None:
        return ()
    return tuple(read_lexicon(Path(named).expanduser(), "text.lexicon"))


def read_lexicon(path: Path, key: str) -> list[tuple[str, str]]:
    """Entries of a word list (`translation TAB word`) as (word, translation).

    Raises `DataError` for a line without a tab or with an empty side.
    """
    entries = []
    for number, line in enumerate(corpus.lines(path, key), start=1):
        if not line.strip():
            continue
        translation, tab, word = line.partition("\t")
        word = word.split("\t")[0]
        if not tab or not translation.strip() or not word.strip():
            raise DataError(
                f"{path}:{number}: expected `translation TAB word`, one entry a line; mend the "
                f"line or leave {key} out"
            )
        entries.append((word.strip(), translation.strip()))
    return entries
