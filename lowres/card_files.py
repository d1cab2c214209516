"""Files that a published recipe reads and its repository has not: what readers must put where."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lowres.locations import INSIDE_PACKAGE, USUAL_SPLITS
from lowres.results import Results

_TEXTS: Final = {
    "files": "raw text, one sentence a line",
    "translations": "translations of the raw text, line by line",
    "lexicon": "word lists",
}


@dataclass(frozen=True)
class Needed:
    """A path as the recipe writes it, from the folder in which it is run, and what it holds."""

    path: str
    holds: str


def needed(results: Results) -> list[Needed]:
    """All of them, in the order of the recipe; none that are in lowres itself."""
    recipe = results.recipe
    languages = recipe["languages"]
    sources, targets = (_listed(languages.get(role)) for role in ("source", "targets"))
    data = recipe["data"]
    apart = data.get("source")
    found: list[Needed] = []
    if apart is not None:
        found += _labelled(results, apart, sources)
    found += _labelled(results, data, targets if apart is not None else (*sources, *targets))
    text = recipe.get("text") or {}
    whose = text.get("languages") or "targets"
    codes = targets if whose == "targets" else _listed(whose)
    for kind, holds in _TEXTS.items():
        found += _texts(text.get(kind), holds, codes)
    tokenizer = recipe.get("tokenizer") or {}
    extend, trim = (tokenizer.get(part) or {} for part in ("extend", "trim"))
    kept = (*_listed(extend.get("keep")), *_listed(trim.get("keep_text")))
    found += (Needed(path, "text whose pieces stay as they are") for path in kept)
    for folder in _listed(extend.get("prebuilt")):
        # a plain name is one of lowres' own extensions
        found += [Needed(folder, "an extension of the tokenizer")] if "/" in folder else []
    for way in _ways(recipe):
        found += _texts(way.get("lexicon"), f"word lists of {way.get('name')}", targets)
        found += _texts(way.get("entities"), f"names for {way.get('name')}", targets)
    return [one for one in dict.fromkeys(found) if not one.path.startswith(INSIDE_PACKAGE)]


def from_the_hub(results: Results) -> list[tuple[str, str]]:
    """(what to add to the command, set of the Hub that is then read in place of files)."""
    data = results.recipe["data"]
    parts = (("data", data), ("data.source", data.get("source") or {}))
    return [
        (f"{key}.files=null", part["hub"])
        for key, part in parts
        if part.get("hub") and part.get("files")
    ]


def _labelled(results: Results, part: Mapping[str, Any], codes: Sequence[str]) -> Iterator[Needed]:
    files = part.get("files") or {}
    templates = {"": files} if isinstance(files, str) else files
    for split, template in templates.items():
        groups: dict[str, list[str]] = {}
        for code in codes:
            read = [r.split for r in results.data if r.language == code and split in ("", r.split)]
            order = [name for name in USUAL_SPLITS if name in read]
            if order:
                groups.setdefault(", ".join(order), []).append(code)
        whose = "; ".join(f"{splits} of {', '.join(of)}" for splits, of in groups.items())
        names = part.get("names") or {}
        told = [f"{names[code]} for {code}" for code in codes if code in names]
        said = f"; {{lang}} is {', '.join(told)}" if told and "{lang}" in template else ""
        yield Needed(template, f"labelled data, {whose or ', '.join(codes)}{said}")


def _texts(
    given: str | Mapping[str, str] | None, holds: str, codes: Sequence[str]
) -> Iterator[Needed]:
    if isinstance(given, str):
        yield Needed(given, f"{holds}: {', '.join(codes)}")
    elif given is not None:
        yield from (Needed(path, f"{holds}: {code}") for code, path in given.items())


def _ways(recipe: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """How training examples are changed, where the recipe says so."""
    return list((recipe.get("train") or {}).get("augment") or ())


def _listed(value: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)
