"""What pydantic found wrong with a recipe or a sweep, in the words of the person who wrote it.

Every fault says where it stands (`file:line`, or the override that made it), what was found, what
was expected and what to do.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lowres import registry
from lowres.errors import nearest
from lowres.recipe import Recipe

Location = tuple[str | int, ...]
"""Where a key stands: `("languages", "targets", 0)`."""
Lines = dict[Location, int]
EXPECTED = {
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "string_type": "text in quotes",
    "tuple_type": "a list, such as [a, b]",
    "model_type": "a section with keys of its own",
    "dict_type": "a section with keys of its own",
    "finite_number": "a finite number",
    "invalid_key": "text as a key: put it in quotes",
}
"""Start of pydantic's error type -> what belongs there, in the words of a recipe."""
CHOICES = {
    ("lora", "targets"): "auto or a list of module names",
    ("evaluate", "metrics"): "auto or a list of names",
    ("evaluate", "baselines"): "auto or a list of names",
    ("data", "files"): "a path, or train, dev and test with a path each",
    ("data", "source", "files"): "a path, or train, dev and test with a path each",
    ("text", "files"): "a path, or a path for each language",
    ("text", "translations"): "a path, or a path for each language",
    ("text", "lexicon"): "a path, or a path for each language",
    ("text", "languages"): "targets, or a list of language codes",
    ("train", "augment", "code_switch", "lexicon"): "a path, or a path for each language",
    ("train", "augment", "entity_swap", "entities"): "a path, or a path for each language",
    ("workers",): "auto or a whole number",
    ("gpus_a_worker",): "auto or a number",
}
"""Keys that take one of two kinds of value, without places in lists: pydantic complains once for
each kind. The last two are of a sweep."""


ELSEWHERE = {
    ("train", "sources"): "languages.source: [eng_Latn, spa_Latn] mixes several sources, and "
    "languages.source_temperature says how evenly",
}
"""Keys that are looked for where they are not -> what does it."""


def faults(
    error: ValidationError,
    lines: Lines,
    origin: dict[Location, str],
    name: str,
    root: type[BaseModel] = Recipe,
) -> list[str]:
    """One line a fault.

    Args:
        error: what pydantic raised.
        lines: the line of every key and item of the file.
        origin: where a key was overridden, in the order of the overrides.
        name: the file's name.
        root: what the whole file is.
    """
    every = [one for each in _merged(error.errors()) for one in _apart(each)]
    found = [_fault(each, lines, origin, name, root) for each in every]
    return list(dict.fromkeys(found))


def _apart(error: ErrorDetails) -> list[ErrorDetails]:
    """A check that found several faults says one a line."""
    if error["type"] != "value_error" or "ctx" not in error:
        return [error]
    said = str(error["ctx"]["error"]).splitlines()
    return [{**error, "ctx": {**error["ctx"], "error": line}} for line in said] or [error]


_NAMELESS = ("union_tag_not_found", "model_attributes_type")
"""pydantic's errors where options have no name, or are no mapping."""


@dataclass(frozen=True)
class _Tagged:
    """A place whose `name` says which plug-in's options stand there: `tag`, where it is a known
    one. pydantic puts it behind the place in a location, and it stands in no file."""

    place: Location
    folder: str
    called: str
    tag: str | None

    @property
    def known(self) -> tuple[str, ...]:
        """The names that it may have."""
        return registry.names(self.folder)

    def keys(self) -> list[str]:
        """Of its options; of those of all plug-ins where nobody knows which are meant."""
        names = self.known if self.tag is None else (self.tag,)
        every = [registry.module(self.folder, name).Options for name in names]
        return sorted({key for options in every for key in options.model_fields})


def _tagged(at: Location) -> _Tagged | None:
    """The one that `at` is, or lies in."""
    if at[:1] == ("task",):
        place, folder, called = at[:1], "tasks", "task"
    elif at[:2] == ("train", "strategy"):
        place, folder, called = at[:2], "strategies", "strategy"
    elif at[:2] == ("train", "augment") and len(at) > 2:
        place, folder, called = at[:3], "augmentations", "way to augment"
    else:
        return None
    behind = at[len(place)] if len(at) > len(place) else None
    tag = behind if isinstance(behind, str) and behind in registry.names(folder) else None
    return _Tagged(place, folder, called, tag)


def _choice(at: Location) -> int | None:
    """How much of a location is a key of `CHOICES`; None for none."""
    ends = range(1, len(at) + 1)
    return next((end for end in ends if _words(at[:end]) in CHOICES), None)


def _words(at: Location) -> tuple[str, ...]:
    return tuple(part for part in at if isinstance(part, str))


def _merged(errors: Sequence[ErrorDetails]) -> list[ErrorDetails]:
    """One complaint a value: of a key with two kinds of value only what goes deepest is kept."""
    kept: list[ErrorDetails] = []
    for error in errors:
        at = error["loc"]
        end = _choice(at)
        if end is None or end == len(at):
            kept.append(error)
            continue
        key, deep = at[:end], at[end + 1 :]
        kind = error["type"] if deep else "choice"
        merged = {**error, "loc": (*key, *deep), "type": kind}
        if kept and kept[-1]["loc"][:end] == key and not (deep and kept[-1]["loc"] == key):
            continue
        if kept and kept[-1]["loc"] == key:
            kept.pop()
        kept.append(merged)  # type: ignore[arg-type]
    return kept


def _fault(
    error: ErrorDetails,
    lines: Lines,
    origin: dict[Location, str],
    name: str,
    root: type[BaseModel],
) -> str:
    # pydantic puts the tag of a union, or "[key]", into the location: neither stands in the file
    at = tuple(part for part in error["loc"] if part != "[key]")
    tagged = _tagged(at) if root is Recipe else None
    if tagged is not None and tagged.tag is not None:
        at = (*tagged.place, *at[len(tagged.place) + 1 :])
    said = _explain(error, at, tagged, root)
    # a check of a whole section names the key that it is about
    named = re.match(r"[a-z_]+(?:\.[a-z_]+)*", said)
    about = tuple(named[0].split(".")) if named else ()
    where = about if about[: len(at)] == at else at
    return f"{place(where, lines, origin, name)}: {said}"


def place(at: Location, lines: Lines, origin: dict[Location, str], name: str) -> str:
    """The override that made what is at fault, else file:line of it or of what holds it."""
    for made, override in reversed(origin.items()):
        # above: the override replaced all of it; below: a check of the whole section failed
        if made == at[: len(made)] or (at and at == made[: len(at)]):
            return override
    if not lines:
        return name
    known = [at[:end] for end in range(len(at), 0, -1) if at[:end] in lines]
    return f"{name}:{lines[known[0]] if known else 1}"


def _explain(
    error: ErrorDetails, at: Location, tagged: _Tagged | None, root: type[BaseModel]
) -> str:
    kind, key = error["type"], dotted(at)
    if kind == "extra_forbidden":
        keys = _keys_of(at[:-1], tagged, root)
        hint = f"; {ELSEWHERE[at]}" if at in ELSEWHERE else nearest(str(at[-1]), keys)
        return f"unknown key {key}{hint} (known: {', '.join(keys)})"
    if kind == "missing":
        return f"{key} is missing; add it{_about(at, root)}"
    if kind == "value_error":
        text = str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
        return text if key and text.startswith(key) else f"{key}: {text}" if key else text
    if kind == "union_tag_invalid":
        assert tagged is not None, "pydantic finds a tag nowhere else"
        tag, known = str(error["ctx"]["tag"]), tagged.known
        return f"unknown {tagged.called} {tag!r}{nearest(tag, known)} (known: {', '.join(known)})"
    if tagged is not None and tagged.place == at and kind in _NAMELESS:
        return _nameless(error["input"], key, tagged)
    if kind == "choice":
        expected = CHOICES[_words(error["loc"])]
        return f"{key}: expected {expected}, not {error['input']!r}"
    message = error["msg"][0].lower() + error["msg"][1:]
    for start, expected in EXPECTED.items():
        if kind.startswith(start):
            message = f"expected {expected}"
    if kind == "int_parsing" and isinstance(error["input"], str):
        message += _as_whole(error["input"])
    if kind == "string_type" and isinstance(error["input"], bool):
        message = "expected text in quotes (YAML reads yes, no, on and off as true and false)"
    return f"{key}: {message}, not {error['input']!r}"


def _nameless(given: Any, key: str, tagged: _Tagged) -> str:
    """What to write where a plug-in's options have no name, or only the name is there."""
    known = tagged.known
    name = given if given in known else known[0]
    where = f"{key}: {{name: {name}}}" if "[" not in key else f"- name: {name}"
    said = "" if isinstance(given, dict) else f", not {given!r}"
    return f"{key}.name is missing: write `{where}` (one of {', '.join(known)}){said}"


def _as_whole(text: str) -> str:
    """`1e3` is a number to people, but not a whole one to YAML."""
    try:
        value = float(text)
    except ValueError:
        return ""
    return f" (write {int(value)})" if value.is_integer() else ""


def _about(at: Location, root: type[BaseModel]) -> str:
    """What a key is for, from its documentation where the key is defined."""
    if at == ("task",):
        return f": {{name: {' or '.join(registry.names('tasks'))}}}"
    field = _section(at[:-1], root).model_fields[str(at[-1])]
    section = _model_in(field.annotation)
    text = field.description or (section.__doc__ if section else None) or ""
    return f": {text.split('. ')[0].strip().rstrip('.')}" if text else ""


def _keys_of(at: Location, tagged: _Tagged | None, root: type[BaseModel]) -> list[str]:
    """Keys that are known in the section at this place."""
    return tagged.keys() if tagged is not None else list(_section(at, root).model_fields)


def _section(at: Location, root: type[BaseModel]) -> type[BaseModel]:
    """The type of the section at this place."""
    found: type[BaseModel] = root
    for part in at:
        field = found.model_fields.get(str(part))
        # None: a key of a map, whose values `found` is
        if field is not None:
            inner = _model_in(field.annotation)
            assert inner is not None, "only sections hold keys"
            found = inner
    return found


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The section that an annotation holds: `Lora`, `Lora | None`, `dict[str, Lora]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    inside = (_model_in(option) for option in getattr(annotation, "__args__", ()))
    return next((found for found in inside if found is not None), None)


def dotted(at: Location) -> str:
    """`("languages", "targets", 0)` as `languages.targets[0]`."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
