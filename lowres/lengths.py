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
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import artifacts, data
from lowres.embedded import cache_folder
from lowres.errors import DataError, RunError

if TYPE_CHECKING:
    from lowres.recipe import Recipe

LARGE = 50_000
"""Pieces of a tokenizer that is worth not being read again."""
FOLDER = "lengths"
COUNTED = 2_000
"""Texts that are counted of the longest ones, and again of all, evenly spread."""


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


def of_recipe(recipe: Recipe, folder: Path | None) -> Lengths:
    """Of the source's training data; `train.max_tokens` where data or tokenizer is not here.

    Args:
        recipe: the study.
        folder: of the base, with its tokenizer.json; None where it is not on this disk.
    """
    limit = recipe.train.max_tokens
    if folder is None or not (folder / "tokenizer.json").is_file():
        return assumed(limit, "the base's tokenizer.json is not on this disk")
    try:
        columns = data.source_columns(recipe, "train")
        dev = data.source_columns(recipe, "dev")
    except DataError as error:
        return assumed(limit, str(error))
    if columns is None:
        return assumed(limit, "the data is on the Hub")
    gold = recipe.task.gold_field
    # without a dev split every tenth training example is one
    return of_columns(recipe, columns, folder, len((dev or columns)[gold]) // (1 if dev else 10))


def assumed(limit: int, why: str) -> Lengths:
    """Every window as long as it may be."""
    return Lengths(limit, limit, 0, 0, 0, 0, 0, f"every window of train.max_tokens {limit} ({why})")


def of_columns(
    recipe: Recipe, columns: Mapping[str, Sequence[Any]], folder: Path, dev: int
) -> Lengths:
    """Of examples that were read: columns by the task's fields; `dev` examples to choose by."""
    gold, limit = recipe.task.gold_field, recipe.train.max_tokens
    parts = [columns[name] for name in recipe.task.fields if name != gold]
    texts = [tuple(map(_text, row)) for row in zip(*parts, strict=True)]
    if not texts:
        return assumed(limit, "there is no training example")
    labels = len({label for row in columns[gold] for label in _labels(row)})
    file = folder / "tokenizer.json"
    kept = _place(file, limit, texts)
    if (known := _read(kept)) is not None:
        return replace(known, labels=labels, dev=dev)
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception:  # the library's own class is no more than that
        return assumed(limit, "the base's tokenizer.json cannot be read")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    counted = _counted(tokenizer, texts, limit)
    if counted.pieces >= LARGE:
        # a cache that cannot be written is none
        with suppress(OSError, RunError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            artifacts.write_text(kept, json.dumps(asdict(counted)) + "\n")
    return replace(counted, labels=labels, dev=dev)


def _place(tokenizer: Path, limit: int, texts: Sequence[tuple[str, ...]]) -> Path:
    """Where the lengths of these texts are, if they were counted before."""
    stat = tokenizer.stat()
    about = [str(tokenizer), stat.st_size, stat.st_mtime_ns, limit, COUNTED]
    digest = hashlib.sha256(json.dumps(about).encode())
    for row in texts:
        digest.update(json.dumps(row).encode())
    return cache_folder() / FOLDER / f"{digest.hexdigest()[:32]}.json"


def _read(kept: Path) -> Lengths | None:
    """What was counted before; None for nothing, or nothing that can be read."""
    try:
        found = Lengths(**json.loads(kept.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return found if all(type(value) is int for value in list(asdict(found).values())[:-1]) else None


def _counted(tokenizer: Any, texts: Sequence[tuple[str, ...]], limit: int) -> Lengths:
    """Lengths without labels and dev."""
    room = limit - tokenizer.num_special_tokens_to_add(len(texts[0]) > 1)
    by_length = sorted(texts, key=lambda row: -sum(map(len, row)))
    spread = by_length[:: math.ceil(len(texts) / COUNTED)]
    seen: set[int] = set()
    counts = sorted(_windows(tokenizer, spread, room, seen))
    longest = max(_windows(tokenizer, by_length[:COUNTED], room, seen))
    frame = limit - room
    return Lengths(
        counts[len(counts) // 2] + frame,
        longest + frame,
        len(texts),
        0,
        tokenizer.get_vocab_size(),
        len(seen),
        0,
        f"lengths of {len(texts):,} training examples",
    )


def _text(value: Any) -> str:
    return " ".join(value) if isinstance(value, list | tuple) else str(value)


def _labels(value: Any) -> Sequence[str]:
    return value if isinstance(value, list | tuple) else (value,)


def _windows(
    tokenizer: Any, rows: Sequence[tuple[str, ...]], room: int, seen: set[int]
) -> list[int]:
    """Tokens of the longest window of each example: long ones are cut into equal parts. Adds the
    ids to `seen`."""
    counts = [0] * len(rows)
    for part in range(len(rows[0])):
        texts = [row[part] for row in rows]
        encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        seen.update(*(one.ids for one in encoded))
        counts = [count + len(one.ids) for count, one in zip(counts, encoded, strict=True)]
    return [math.ceil(count / max(1, math.ceil(count / room))) for count in counts]
