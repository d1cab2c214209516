"""Files of translations by a sequence-to-sequence model of the Hub: what `lowres translate` writes.

A translation is kept as soon as it is there, so a killed call goes on; the file appears when it is
whole. What the model could not do (texts that were cut, translations without an end, empty ones)
is counted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import aligned, artifacts, corpus, projection
from lowres.errors import DataError, RunError
from lowres.recipe_translated import Translated, Use
from lowres.translator import Translator

if TYPE_CHECKING:
    from lowres.progress import Progress
    from lowres.recipe import Recipe

Columns = Mapping[str, list[Any]]


@dataclass(frozen=True)
class Made:
    """A file that was written. `cut`, `endless`, `empty`: ids of the examples."""

    path: Path
    n: int
    cut: tuple[str, ...]
    """Longer than the model reads."""
    endless: tuple[str, ...]
    """The translation has no end within `max_tokens`."""
    empty: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """What is wrong with it, a sentence each."""
        said = (
            ("texts are longer than the model reads, and were cut", self.cut),
            ("translations did not end and were cut (--max-tokens)", self.endless),
            ("translations are empty, which `lowres validate` refuses: mend them", self.empty),
        )
        return [f"{len(ids):,} {what} (ids {_named(ids)})" for what, ids in said if ids]


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[: aligned.SHOWN]) + (", …" if len(ids) > aligned.SHOWN else "")


def write(
    recipe: Recipe,
    use: Use,
    language: str,
    wanted: Columns,
    translator: Translator,
    codes: Mapping[str, str],
    batch: int,
    progress: Progress,
) -> Made:
    """Translate every example of `wanted` to the file that the recipe names for a target.

    Args:
        recipe: with the section `translated`.
        use: train (into the target) or test (into the first source).
        language: the target.
        wanted: columns of the originals: id, language and the task's fields.
        translator: the model.
        codes: as `Translator.direction` takes them.
        batch: texts at once.
        progress: where to tell how it goes.

    Raises:
        DataError: for a path that is no JSON lines, and for words of a script without spaces.
        RunError: where another call with other settings has begun, or the disk is full.
    """
    section = recipe.translated
    assert section is not None, "the command's own check"
    path = Path(section.path(use, language) or "").expanduser()
    if path.suffix != ".jsonl":
        raise DataError(f"translated.{use}: {path}: JSON lines are written; expected FILE.jsonl")
    into = language if use == "train" else recipe.languages.source[0]
    if "tokens" in wanted and into.split("_")[1] in corpus.SPACELESS:
        raise DataError(
            f"translated.{use}: {into} sets no spaces between words, and tags are of words; "
            "translate and part the words by a program of that language"
        )
    rows = [dict(zip(wanted, values, strict=True)) for values in zip(*wanted.values(), strict=True)]
    kept = _Kept(path, {**asdict(translator.settings), "use": use, "into": into, **codes})
    missing = [row for row in rows if kept.of(row) is None]
    with progress.bar(f"translate, {use}, {language}", len(missing)) as advance:
        for origin, some in _batches(missing, batch, translator.tokenizer):
            way = translator.direction(origin, into, codes)
            kept.add(some, _translated(some, partial(translator.translate, direction=way)))
            advance(len(some))
    told = [found for row in rows if (found := kept.of(row)) is not None]
    artifacts.write_text(path, _lines(rows, told, section))
    kept.finish(len(rows))
    ids = {
        name: tuple(row["id"] for row, its in zip(rows, told, strict=True) if its[name])
        for name in ("cut", "endless", "empty")
    }
    return Made(path, len(rows), **ids)


def _lines(
    rows: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]], section: Translated
) -> str:
    """The file: a JSON line an example, its columns called as the recipe says."""
    names, lines = section.columns, []
    for row, its in zip(rows, told, strict=True):
        plain = {names.id or "id": row["id"]}
        for field in _fields(row):
            plain[getattr(names, field) or field] = _value(field, its["made"][field])
        lines.append(json.dumps(plain, ensure_ascii=False))
    return "\n".join([*lines, ""])


def _fields(row: Mapping[str, Any]) -> list[str]:
    return [name for name in row if name not in ("id", "language", *aligned.GOLD)]


def _plain(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _value(field: str, text: str) -> str | list[str]:
    return projection.split(text) if field == "tokens" else text


def _batches(
    rows: Sequence[dict[str, Any]], size: int, tokenizer: Any
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows of one language, alike in length: padding costs time."""
    by_language: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_language.setdefault(row["language"], []).append(row)
    for language, its in by_language.items():
        its.sort(key=lambda row: sum(len(_plain(row[field])) for field in _fields(row)))
        for at in range(0, len(its), size):
            yield language, its[at : at + size]


def _translated(
    rows: Sequence[dict[str, Any]],
    translate: Callable[[list[str]], list[tuple[str, bool, bool]]],
) -> list[dict[str, Any]]:
    """What is kept of each row: its translation, field by field, and what was wrong with it."""
    asked = [(at, field) for at, row in enumerate(rows) for field in _fields(row)]
    texts = [_plain(rows[at][field]) for at, field in asked]
    filled = [text for text in texts if text.strip()]
    answers = iter(translate(filled) if filled else [])
    found: list[dict[str, Any]] = [
        {"made": {}, "cut": False, "endless": False, "empty": False} for _ in rows
    ]
    for (at, field), text in zip(asked, texts, strict=True):
        made, cut, endless = next(answers) if text.strip() else ("", False, False)
        told = found[at]
        told["made"][field] = made
        told["cut"] |= cut
        told["endless"] |= endless
        told["empty"] |= bool(text.strip()) and not made
    return found


class _Kept:
    """What is translated already, beside the file that is to be: a line an example."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Raises `RunError` where a call with other settings has begun."""
        self._path, self._settings = path, settings
        self._file = path.with_name(f".{path.name}.partial")
        self._rows: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._file.is_file():
            self._read()
        else:
            self._append([settings])

    def _read(self) -> None:
        text = self._file.read_text(encoding="utf-8", errors="replace")
        # a kill may have left half a line at the end
        whole = text[: text.rfind("\n") + 1].split("\n")[:-1]
        begun = json.loads(whole[0]) if whole else None
        if begun != self._settings:
            raise RunError(
                f"{self._file}: translations that were begun with other settings ({begun}); remove "
                "it to begin anew, or give the same options"
            )
        self._rows = {row["key"]: row for row in map(json.loads, whole[1:])}
        artifacts.write_text(self._file, "".join(f"{line}\n" for line in whole))

    def _append(self, rows: Sequence[dict[str, Any]]) -> None:
        try:
            with self._file.open("a", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        except OSError as error:
            raise artifacts.disk_error(error, self._file) from error

    @staticmethod
    def _key(row: Mapping[str, Any]) -> str:
        # a text that was changed meanwhile is another one
        return artifacts.fingerprint([row["id"], [row[field] for field in _fields(row)]])

    def of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is kept of an example; None before it is translated."""
        return self._rows.get(self._key(row))

    def add(self, rows: Sequence[Mapping[str, Any]], found: Sequence[dict[str, Any]]) -> None:
        """Keep translations."""
        new = [{"key": self._key(r), **told} for r, told in zip(rows, found, strict=True)]
        self._append(new)
        self._rows |= {row["key"]: row for row in new}

    def finish(self, n: int) -> None:
        """Write beside the whole file how it was made, and forget the parts."""
        told = json.dumps({**self._settings, "n": n}, indent=1, ensure_ascii=False)
        artifacts.write_text(self._path.with_name(f"{self._path.name}.made.json"), told + "\n")
        self._file.unlink()
