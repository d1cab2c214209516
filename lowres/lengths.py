"""How long the windows of a study are, told from its text by the tokenizer alone.

No torch, no transformers: planning is to take a second. What memory turns on is the longest
window, so the longest texts are all counted, of the others a sample. A tokenizer of 250,000 pieces
takes longer to read than all else together, so what was counted with a large one is kept in the
user's cache, for the next plan of the same text.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import artifacts, corpus, data
from lowres.embedded import cache_folder
from lowres.errors import DataError, RunError

if TYPE_CHECKING:
    from lowres.recipe import Recipe

LARGE = 50_000
"""Pieces of a tokenizer that is worth not being read again."""
FOLDER = "lengths"
COUNTED = 2_000
"""Texts that are counted of the longest ones, and again of all, evenly spread."""
LINES_COUNTED = 400
"""The same of the lines of raw text, of all languages."""
LOOKED_THROUGH = 32 * 2**20
"""Bytes of raw text whose lengths are worth the time: more hold a long line anyway."""
PIECE_CHARACTERS = 16
"""A piece has no more on the average: of a raw line, so many times the limit are counted."""

Say = Callable[[str], None]


def unsaid(line: str) -> None:
    """For who has nobody to tell."""


class Reader:
    """Counts with each tokenizer read once, as a large one takes a second; `say` is told of damage
    that was mended."""

    def __init__(self, say: Say = unsaid) -> None:
        self._say = say
        self._tokenizers: dict[Path, Any] = {}

    def count(
        self, file: Path, about: Sequence[Any], how: Callable[[Any], Lengths]
    ) -> Lengths | None:
        """What the tokenizer of a file counts; kept where it is a large one. None for one that
        cannot be read.

        Args:
            file: tokenizer.json.
            about: plain data that the answer depends on beside it.
            how: given the tokenizer, without cutting and padding.
        """
        kept = _place(file, about)
        if (known := _read(kept, self._say)) is not None:
            return known
        tokenizer = self._tokenizer(file)
        if tokenizer is None:
            return None
        counted = how(tokenizer)
        if counted.pieces >= LARGE:
            # a cache that cannot be written is none
            with suppress(OSError, RunError):
                kept.parent.mkdir(parents=True, exist_ok=True)
                artifacts.write_text(kept, json.dumps(asdict(counted)) + "\n")
        return counted

    def _tokenizer(self, file: Path) -> Any:
        if file not in self._tokenizers:
            from tokenizers import Tokenizer

            try:
                found = Tokenizer.from_file(str(file))
            except Exception:  # the library's own class is no more than that
                return None
            found.no_truncation()
            found.no_padding()
            self._tokenizers[file] = found
        return self._tokenizers[file]


@dataclass(frozen=True)
class Lengths:
    """Tokens a window, special ones included."""

    median: int
    longest: int
    windows: int
    """At least so many; 0 where nothing was read."""
    labels: int
    """Different labels; 0 where nothing was read."""
    pieces: int
    """Of the tokenizer's vocabulary; 0 where it was not read."""
    seen: int
    """Different pieces in the texts that were counted; 0 where none was."""
    dev: int
    """Examples of source dev; 0 where it was not read."""
    note: str
    """What the numbers are of, or why they are `train.max_tokens`."""


def of_recipe(
    recipe: Recipe,
    folder: Path | None,
    reader: Reader | None = None,
) -> Lengths:
    """Of the source's training data; `train.max_tokens` where data or tokenizer is not here.

    Args:
        recipe: the study.
        folder: of the base, with its tokenizer.json; None where it is not on this disk.
        reader: of tokenizers.
    """
    limit = recipe.train.max_tokens
    if not _has_tokenizer(folder):
        return assumed(limit, NO_TOKENIZER)
    try:
        columns = data.source_columns(recipe, "train")
        dev = data.source_columns(recipe, "dev")
    except DataError as error:
        return assumed(limit, str(error))
    if columns is None:
        return assumed(limit, "the data is on the Hub")
    gold = recipe.task.gold_field
    # without a dev split every tenth training example is one
    count = len((dev or columns)[gold]) // (1 if dev else 10)
    assert folder is not None, "it has a tokenizer"
    return of_columns(recipe, columns, folder, count, reader)


NO_TOKENIZER = "the base's tokenizer.json is not on this disk"


def _has_tokenizer(folder: Path | None) -> bool:
    return folder is not None and (folder / "tokenizer.json").is_file()


def assumed(limit: int, why: str, key: str = "train.max_tokens") -> Lengths:
    """Every window as long as it may be."""
    what = "line" if key == ADAPTING else "window"
    return Lengths(limit, limit, 0, 0, 0, 0, 0, f"every {what} of {key} {limit} ({why})")


ADAPTING = "adapt.max_tokens"


def of_columns(
    recipe: Recipe,
    columns: Mapping[str, Sequence[Any]],
    folder: Path,
    dev: int,
    reader: Reader | None = None,
) -> Lengths:
    """Of examples that were read: columns by the task's fields; `dev` examples to choose by."""
    gold, limit = recipe.task.gold_field, recipe.train.max_tokens
    parts = [columns[name] for name in recipe.task.fields if name != gold]
    texts = [tuple(map(_text, row)) for row in zip(*parts, strict=True)]
    if not texts:
        return assumed(limit, "there is no training example")
    labels = len({label for row in columns[gold] for label in _labels(row)})
    file = folder / "tokenizer.json"
    about = [limit, COUNTED, *map(list, texts)]
    some = _some(texts, COUNTED)
    reader = reader or Reader()
    found = reader.count(file, about, lambda tokenizer: _counted(tokenizer, *some, limit, False))
    if found is None:
        return assumed(limit, UNREADABLE)
    note = f"lengths of {len(texts):,} training examples"
    return replace(found, windows=len(texts), labels=labels, dev=dev, note=note)


UNREADABLE = "the base's tokenizer.json cannot be read"


def of_text(
    recipe: Recipe,
    folder: Path | None,
    reader: Reader | None = None,
) -> Lengths:
    """Of the raw lines that the recipe adapts to, in the base's own pieces (an extension only makes
    them fewer); `adapt.max_tokens` where they cannot be counted, or are too many for it.

    Arguments as those of `of_recipe`; the recipe has `adapt` and `text`.
    """
    assert recipe.adapt is not None, "only asked where the recipe adapts"
    assert recipe.text is not None, "the recipe's own check: adapt needs text"
    limit, text = recipe.adapt.max_tokens, recipe.text
    codes = recipe.languages.targets if text.languages == "targets" else text.languages
    named = [name for code in codes if (name := text.path("files", code)) is not None]
    paths = [Path(name).expanduser() for name in named]
    if not _has_tokenizer(folder):
        return assumed(limit, NO_TOKENIZER, ADAPTING)
    if not paths:
        return assumed(limit, "text.files names no file", ADAPTING)
    assert folder is not None, "it has a tokenizer"
    try:
        for path in paths:
            corpus.check_start(path, "text.files")
        stats = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
        size = sum(stat[1] for stat in stats)
        if size > LOOKED_THROUGH:
            return assumed(limit, f"{size / 2**20:,.0f} MB of text are not counted", ADAPTING)
        about = [limit, LINES_COUNTED, ADAPTING, *map(list, stats)]
        found = (reader or Reader()).count(
            folder / "tokenizer.json",
            about,
            lambda tokenizer: _counted_lines(tokenizer, paths, limit),
        )
    except DataError as error:
        return assumed(limit, str(error), ADAPTING)
    return assumed(limit, UNREADABLE, ADAPTING) if found is None else found


def _counted_lines(tokenizer: Any, paths: Sequence[Path], limit: int) -> Lengths:
    """Lengths of raw lines, of which adaptation cuts what is over the limit off."""
    room, most = limit * PIECE_CHARACTERS, max(10, LINES_COUNTED // len(paths))
    spread: list[tuple[str, ...]] = []
    longest: list[tuple[str, ...]] = []
    count = 0
    # of each language: as many letters are more pieces in one than in another
    for path in paths:
        lines = (line.strip()[:room] for line in corpus.lines(path, "text.files"))
        texts = [(line,) for line in lines if line]
        count += len(texts)
        for into, some in zip((spread, longest), _some(texts, most), strict=True):
            into += some
    found = _counted(tokenizer, spread, longest, limit, True)
    return replace(found, windows=count, note=f"lengths of {count:,} lines of text.files")


def _place(tokenizer: Path, about: Sequence[Any]) -> Path:
    """Where lengths are, if they were counted before; `about` what."""
    stat = tokenizer.stat()
    digest = hashlib.sha256(json.dumps([str(tokenizer), stat.st_size, stat.st_mtime_ns]).encode())
    for part in about:
        digest.update(json.dumps(part).encode())
    return cache_folder() / FOLDER / f"{digest.hexdigest()[:32]}.json"


def _read(kept: Path, say: Say) -> Lengths | None:
    """What was counted before; None for nothing, or nothing that can be read, which is said."""
    if not kept.is_file():
        return None
    try:
        found = Lengths(**json.loads(kept.read_bytes()))
        whole = all(type(value) is int for value in list(asdict(found).values())[:-1])
    except (OSError, ValueError, TypeError):
        whole = False
    if whole:
        return found
    say(f"{kept}: damaged; the lengths of the text are counted again")
    return None


def _counted(
    tokenizer: Any,
    spread: Sequence[tuple[str, ...]],
    longest: Sequence[tuple[str, ...]],
    limit: int,
    cut: bool,
) -> Lengths:
    """Lengths without labels, dev and what they are of.

    Args:
        tokenizer: of the base.
        spread: texts, evenly spread over their lengths.
        longest: texts, the longest in characters.
        limit: tokens of a window.
        cut: whether what is longer is cut off, and makes no window of its own.
    """
    room = limit - tokenizer.num_special_tokens_to_add(len(spread[0]) > 1)
    seen: set[int] = set()
    counts = sorted(_windows(tokenizer, spread, room, seen, cut))
    most = max(_windows(tokenizer, longest, room, seen, cut))
    frame = limit - room
    pieces = tokenizer.get_vocab_size()
    return Lengths(counts[len(counts) // 2] + frame, most + frame, 0, 0, pieces, len(seen), 0, "")


def _some(
    texts: Sequence[tuple[str, ...]], most: int
) -> tuple[Sequence[tuple[str, ...]], Sequence[tuple[str, ...]]]:
    """(evenly spread, the longest) of texts, at most so many each."""
    by_length = sorted(texts, key=lambda row: -sum(map(len, row)))
    return by_length[:: math.ceil(len(texts) / most)], by_length[:most]


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list | tuple) else str(value)


def _labels(value: Any) -> Sequence[str]:
    return value if isinstance(value, list | tuple) else (value,)


def _windows(
    tokenizer: Any, rows: Sequence[tuple[str, ...]], room: int, seen: set[int], cut: bool
) -> list[int]:
    """Tokens of the longest window of each example: long ones are cut into equal parts, or off.
    Adds the ids to `seen`."""
    counts = [0] * len(rows)
    for part in range(len(rows[0])):
        texts = [row[part] for row in rows]
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        seen.update(*(one.ids for one in encoded))
        counts = [count + len(one.ids) for count, one in zip(counts, encoded, strict=True)]
    if cut:
        return [min(count, room) for count in counts]
    return [math.ceil(count / max(1, math.ceil(count / room))) for count in counts]
