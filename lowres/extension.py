"""A tokenizer extension as a folder: a tokenizer that `AutoTokenizer` loads, rows for its pieces.

`extension.json` holds the pieces, what they were learnt on and what they change; `rows.safetensors`
the rows they start from, once a base and a way of starting them are chosen.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lowres import artifacts, corpus, tokenizer_families, vocabulary
from lowres.errors import BaseModelError, RunError
from lowres.languages import describe
from lowres.tokenizer_families import State

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

META = "extension.json"
ROWS = "rows.safetensors"
TOKENIZER = "tokenizer.json"


@dataclass(frozen=True)
class LanguageFigures:
    """Held-out lines of one language before and after; shares are of 1."""

    language: str
    n: int
    fertility_before: float
    fertility_after: float
    """Pieces a word, words being what spaces separate."""
    pieces_before: int
    pieces_after: int
    unknown_before: float
    unknown_after: float
    """Share of unknown pieces."""
    round_trip_before: float
    round_trip_after: float
    """Share of lines that decode(encode(line)) gives back."""
    characters: int = 0
    """Of these lines, white space left out; 0 where nobody has counted them."""

    def in_words(self) -> str:
        """Pieces a word before and after; a character, where no spaces part words."""
        if describe(self.language).script not in corpus.SPACELESS:
            return f"{self.fertility_before:.2f} -> {self.fertility_after:.2f} a word"
        if not self.characters:
            return f"{self.pieces_before:,} -> {self.pieces_after:,} in all"
        before, after = self.pieces_before / self.characters, self.pieces_after / self.characters
        return f"{before:.2f} -> {after:.2f} a character"


@dataclass(frozen=True)
class Changed:
    """Lines of another text whose ids the extension changes."""

    language: str
    n: int
    share: float


@dataclass(frozen=True)
class Extension:
    """What `extension.json` holds."""

    family: str
    vocabulary_sha256: str
    """Of the old pieces in the order of their ids: which vocabulary this extends."""
    first_id: int
    pieces: tuple[str, ...]
    learned_from: tuple[dict[str, Any], ...]
    """Of each text: language, file name, lines, SHA-256."""
    chosen: str
    """`auto`, or the number that was asked for."""
    curve: tuple[dict[str, float], ...] = ()
    offered: int = 0
    left_out: int = 0
    languages: tuple[LanguageFigures, ...] = ()
    changed: tuple[Changed, ...] = ()
    changed_unseen: bool = False
    """Whether the lines of `changed` took no part in the choice of the pieces. Extensions that say
    nothing of it were chosen by these very lines, so that their shares say little."""
    init: str | None = None
    provenance: tuple[str, ...] = field(default=(), repr=False)
    """One line a row, once there are rows."""


def in_words(found: Extension) -> list[str]:
    """The curve that the number of pieces was found on, and what changes elsewhere, a line each."""
    said = []
    if found.curve:
        points = ", ".join(f"{int(p['pieces']):,}: {p['tokens']:.3f}" for p in found.curve)
        took = f" (auto took {len(found.pieces):,})" if found.chosen == "auto" else ""
        said.append(f"tokens left by number of new pieces{took}: {points}")
    shares = ", ".join(f"{row.language} {row.share:.1%} of {row.n:,}" for row in found.changed)
    which = "that did not choose them" if found.changed_unseen else "that they were chosen by"
    if shares:
        said.append(f"lines of other texts whose pieces change, {which}: {shares}")
    return said


def fingerprint(state: State) -> str:
    """Which vocabulary a tokenizer has: SHA-256 of its pieces in the order of their ids."""
    pieces = state["model"]["vocab"]
    ordered = (
        sorted(pieces, key=lambda piece: int(pieces[piece]))
        if isinstance(pieces, dict)
        else [piece for piece, _ in pieces]
    )
    return hashlib.sha256("\n".join(ordered).encode()).hexdigest()


def vocabulary_of(folder: Path) -> str | None:
    """`fingerprint` of the `tokenizer.json` in a folder; None where there is none to read."""
    file = folder / TOKENIZER
    try:
        stat = file.stat()
        return _vocabulary_of(file, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError, KeyError, TypeError):
        return None


@lru_cache(maxsize=8)
def _vocabulary_of(file: Path, changed_ns: int, size: int) -> str:
    """Read once as long as the file stays as it is: every seed's adapter asks, and each reading of
    250,000 pieces takes a second."""
    return fingerprint(json.loads(file.read_text(encoding="utf-8")))


def digest(folder: Path) -> str:
    """Of an extension's pieces, rows and tokenizer: SHA-256, whatever its folder is called."""
    files = [folder / name for name in (META, ROWS, TOKENIZER)]
    content = "".join(artifacts.file_hash(file) for file in files if file.is_file())
    return hashlib.sha256(content.encode()).hexdigest()


def state_of(tokenizer: PreTrainedTokenizerBase) -> State:
    """A tokenizer as transformers has built it, which may differ from the file it came from."""
    backend: Any = tokenizer.backend_tokenizer
    state: State = json.loads(backend.to_str())
    # what a call left behind
    return {**state, "truncation": None, "padding": None}


def extended_state(state: State, pieces: Sequence[str], name: str) -> State:
    """The state with these pieces behind the old ones."""
    family = tokenizer_families.of(state, name)
    extended: State = family.insert(state, pieces, family.segment(state, pieces))
    return extended


def write(
    folder: Path, tokenizer: PreTrainedTokenizerBase, extension: Extension, name: str
) -> PreTrainedTokenizerBase:
    """Write the extended tokenizer and `extension.json`; returns it as transformers loads it.

    Raises `BaseModelError` when transformers makes something else of it than what was written.
    """
    state = extended_state(state_of(tokenizer), extension.pieces, name)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save_pretrained(str(folder))
    (folder / TOKENIZER).write_text(
        json.dumps(state, ensure_ascii=False, separators=(",", ":")), encoding="utf-8"
    )
    write_meta(folder, extension)
    return check(folder, extension, name)


def write_meta(folder: Path, extension: Extension) -> None:
    """Write `extension.json`."""
    text = json.dumps(asdict(extension), ensure_ascii=False, indent=1)
    (folder / META).write_text(text + "\n", encoding="utf-8")


def check(folder: Path, extension: Extension, name: str) -> PreTrainedTokenizerBase:
    """Load the tokenizer and prove that it has the pieces under their ids."""
    from transformers import AutoTokenizer

    loaded: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(str(folder), use_fast=True)
    ids = loaded.convert_tokens_to_ids(list(extension.pieces))
    expected = list(range(extension.first_id, extension.first_id + len(extension.pieces)))
    written = vocabulary.build(json.loads((folder / TOKENIZER).read_text(encoding="utf-8")))
    sample = [piece.strip("▁#") for piece in extension.pieces[:200]]
    same = all(
        loaded(text, add_special_tokens=False)["input_ids"]
        == written.encode(text, add_special_tokens=False).ids
        for text in sample
    )
    if ids != expected or not same:
        raise BaseModelError(
            f"base {name}: transformers rebuilds its tokenizer ({type(loaded).__name__}) without "
            "the new pieces; leave tokenizer.extend out and report this, please"
        )
    return loaded


def read(folder: Path) -> Extension:
    """`extension.json` of a folder. Raises `RunError` when there is none."""
    file = folder / META
    try:
        plain = json.loads(file.read_text(encoding="utf-8"))
        plain["languages"] = tuple(LanguageFigures(**row) for row in plain["languages"])
        plain["changed"] = tuple(Changed(**row) for row in plain["changed"])
        for key in ("pieces", "learned_from", "curve", "provenance"):
            plain[key] = tuple(plain[key])
        return Extension(**plain)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(
            f"{file}: no tokenizer extension ({type(error).__name__}: {error}); make one with "
            "`lowres tokenizer extend`"
        ) from error


def write_rows(folder: Path, values: np.ndarray) -> None:
    """[pieces, hidden] float32 to `rows.safetensors`."""
    from safetensors.numpy import save_file

    save_file({"rows": np.ascontiguousarray(values, dtype=np.float32)}, folder / ROWS)


def read_rows(folder: Path) -> tuple[np.ndarray, int]:
    """The rows that the pieces start from, and the first one's id.

    Raises `RunError` when there are none, or not one a piece.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    extension = read(folder)
    if not (folder / ROWS).is_file():
        raise RunError(f"{folder}: has no {ROWS}; make it again with `lowres tokenizer extend`")
    try:
        values = load_file(folder / ROWS)["rows"]
    except (OSError, SafetensorError, KeyError) as error:
        raise RunError(
            f"{folder / ROWS}: cannot be read ({error}); make the extension again"
        ) from error
    if values.ndim != 2 or len(values) != len(extension.pieces):
        raise RunError(
            f"{folder / ROWS}: holds {list(values.shape)}, expected a row for each of the "
            f"{len(extension.pieces)} pieces; make the extension again"
        )
    return values, extension.first_id


def check_vocabulary(extension: Extension, state: State, where: str, name: str) -> None:
    """Raise `RunError` when an extension is of another vocabulary than this base's."""
    if fingerprint(state) != extension.vocabulary_sha256:
        raise RunError(
            f"{where}: extends another vocabulary than that of {name} (its pieces would get the "
            "rows of others); extend this base's tokenizer instead"
        )
