"""Extensions that travel with lowres (`tokenizers/`): pieces and where they came from, no rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowres import extension, registry, tokenizer_families, vocabulary
from lowres.errors import DataError, nearest
from lowres.extension import Extension, LanguageFigures
from lowres.tokenizer_families import State

PIECES = "pieces.txt"
PROVENANCE = "provenance.json"


@dataclass(frozen=True)
class Prebuilt:
    """One folder of `tokenizers/`."""

    name: str
    pieces: tuple[str, ...]
    provenance: dict[str, Any]


def folder() -> Path:
    """Inside the package (a wheel) or beside it (a checkout)."""
    inside = registry.PACKAGE_DIR / "_tokenizers"
    return inside if inside.is_dir() else registry.PACKAGE_DIR.parent / "tokenizers"


def names() -> tuple[str, ...]:
    """All that are shipped, sorted."""
    return tuple(sorted(file.parent.name for file in folder().glob(f"*/{PIECES}")))


def read(name: str) -> Prebuilt:
    """One by its name, or by the folder that `lowres tokenizer extend` wrote.

    Raises `DataError` for what is neither.
    """
    known = names()
    if name not in known and (Path(name).expanduser() / extension.META).is_file():
        made = extension.read(Path(name).expanduser())
        return Prebuilt(
            name,
            made.pieces,
            {
                "vocabulary_sha256": made.vocabulary_sha256,
                "learned_from": made.learned_from,
                "changed_unseen": made.changed_unseen,
            },
        )
    if name not in known:
        raise DataError(
            f"tokenizer.extend.prebuilt: unknown {name!r}{nearest(name, known)} (see "
            "`lowres tokenizer ls`; or a folder that `lowres tokenizer extend` wrote)"
        )
    place = folder() / name
    pieces = (place / PIECES).read_text(encoding="utf-8").removesuffix("\n").split("\n")
    provenance = json.loads((place / PROVENANCE).read_text(encoding="utf-8"))
    return Prebuilt(name, tuple(pieces), provenance)


def rows() -> list[dict[str, Any]]:
    """What `lowres tokenizer ls` shows, one row an extension."""
    found = []
    for name in names():
        provenance = read(name).provenance
        held = [LanguageFigures(**row) for row in provenance["held_out"]]
        # by language, most first: what these sentences are stands in the name of each
        changed = sorted(
            ((row["share"], row["language"].split(" ")[0]) for row in provenance["changed"]),
            reverse=True,
        )
        most, where = max(changed, default=(0.0, ""))
        found.append(
            {
                "name": name,
                "vocabulary": provenance["vocabulary"],
                "pieces": provenance["pieces"],
                "languages": ", ".join(row.language for row in held),
                "held-out lines, pieces": ", ".join(row.in_words() for row in held),
                "unknown": ", ".join(
                    f"{row.unknown_before:.1%} -> {row.unknown_after:.2%}" for row in held
                ),
                "changed elsewhere": f"{where} {most:.1%}" if most else "0.0%",
                "changed": {language: round(share, 4) for share, language in changed},
                "licence of the text": provenance["licence"],
            }
        )
    return found


def write(place: Path, found: Extension, more: dict[str, Any]) -> None:
    """Write an extension as one that can be shipped: the pieces, and what is known of them."""
    place.mkdir(parents=True, exist_ok=True)
    (place / PIECES).write_text("\n".join(found.pieces) + "\n", encoding="utf-8")
    provenance = {
        **more,
        "family": found.family,
        "vocabulary_sha256": found.vocabulary_sha256,
        "pieces": len(found.pieces),
        "chosen": found.chosen,
        "learned_from": list(found.learned_from),
        "held_out": [vars(row) for row in found.languages],
        "changed": [vars(row) for row in found.changed],
        "changed_unseen": found.changed_unseen,
    }
    text = json.dumps(provenance, ensure_ascii=False, indent=1)
    (place / PROVENANCE).write_text(text + "\n", encoding="utf-8")


def merged(wanted: Sequence[str], state: State, base: str) -> Extension:
    """One extension of several prebuilt ones, in the order they are named.

    Raises `DataError` for an unknown name, `RunError` when one extends another vocabulary.
    """
    found = [read(name) for name in wanted]
    first = tokenizer_families.next_id(state)
    pieces = dict.fromkeys(piece for one in found for piece in one.pieces)
    merge = Extension(
        family=tokenizer_families.of(state, base).LABEL,
        vocabulary_sha256=found[0].provenance["vocabulary_sha256"],
        first_id=first,
        pieces=tuple(pieces),
        learned_from=tuple(row for one in found for row in one.provenance["learned_from"]),
        chosen="prebuilt " + ", ".join(wanted),
        offered=len(pieces),
        changed_unseen=all(one.provenance.get("changed_unseen", False) for one in found),
    )
    for one in found:
        extension.check_vocabulary(
            Extension(
                merge.family, one.provenance["vocabulary_sha256"], first, one.pieces, (), "prebuilt"
            ),
            state,
            f"tokenizer.extend.prebuilt {one.name}",
            base,
        )
    old = vocabulary.build(state).get_vocab(with_added_tokens=True)
    assert not [piece for piece in pieces if piece in old], "the same vocabulary, so none is old"
    return merge
