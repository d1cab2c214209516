"""How each kind of tokenizer takes new pieces into its own model.

One file adds one family: it is found by listing the folder. A file defines

- `LABEL: str`, what people call the family;
- `matches(state) -> bool`, whether a `tokenizer.json` is of it;
- `candidates(state, words, keep, size) -> list[str]`, pieces learnt on pre-tokenised words with
  their counts, as the family spells them, old ones included; `keep` are words of other languages;
- `unknown_characters(state, words) -> list[str]`, pieces without which words are lost whole;
- `reachable(state, pieces, spare) -> list[str]`, the pieces, each behind those that it is joined
  from, which may come from `spare`;
- `segment(state, pieces) -> list[tuple[int, ...]]`, the old ids that each piece's text falls into
  today; `unknown_id(state)` among them where the text has no pieces;
- `reduced(state, words) -> dict`, a state that is quicker to build, with ids of its own, in which
  these words fall into the same pieces, new ones beside them too; or the state itself;
- `safe(state, pieces, old) -> list[bool]`, `old` being what `segment` gives: whether a piece is so
  improbable in the text of other languages that it hardly ever changes their segmentation, as far
  as the old model can tell;
- `insert(state, pieces, old) -> dict`, a new state with the pieces behind all old ids, in this
  order, so that segmentation uses them. The old state stays as it is.

A *state* is the parsed content of `tokenizer.json` of the tokenizers library. Pieces are never
*added tokens*: those are cut out before the normaliser and the model see the text, are slow by the
thousand, and get lost when transformers rebuilds a tokenizer.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from lowres import registry
from lowres.errors import BaseModelError

State = dict[str, Any]


def of(state: State, name: str) -> ModuleType:
    """The family of a tokenizer. Raises `BaseModelError` that names the ones there are."""
    modules = [registry.module("tokenizer_families", n) for n in registry.names(__folder__)]
    for module in modules:
        if module.matches(state):
            return module
    known = ", ".join(module.LABEL for module in modules)
    kind = (state.get("model") or {}).get("type", "unknown")
    raise BaseModelError(
        f"base {name}: its tokenizer's model is {kind}, which lowres cannot extend (it can: "
        f"{known}); leave tokenizer.extend out, or take another base (`lowres ls bases`)"
    )


__folder__ = "tokenizer_families"


def next_id(state: State) -> int:
    """The first id behind every piece and every added token."""
    vocabulary = state["model"]["vocab"]
    ids = vocabulary.values() if isinstance(vocabulary, dict) else (len(vocabulary) - 1,)
    added = (token["id"] for token in state.get("added_tokens") or ())
    return 1 + max((*ids, *added), default=-1)
