"""YAML to `Recipe`: shipped names, line numbers for every fault, overrides, the JSON schema."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from lowres import registry
from lowres.errors import LowresError, RecipeError, nearest
from lowres.recipe import Recipe

Location = tuple[str | int, ...]
Lines = dict[Location, int]
EXPECTED = {
    "int_": "a whole number",
    "float_": "a number",
    "bool_": "true or false",
    "string_type": "text",
    "tuple_type": "a list, such as [a, b]",
    "model_type": "a section with keys of its own",
    "dict_type": "a section with keys of its own",
}
"""Start of pydantic's error type -> what belongs there, in the words of a recipe."""


def shipped() -> dict[str, Path]:
    """Recipes inside the package (a wheel) or beside it (a checkout), by name."""
    inside = registry.PACKAGE_DIR / "_recipes"
    folder = inside if inside.is_dir() else registry.PACKAGE_DIR.parent / "recipes"
    return {path.stem: path for path in sorted(folder.rglob("*.yaml"))}


def find(name_or_path: str) -> Path:
    """The file of a shipped recipe's name or of a path. Raises `RecipeError`."""
    path, known = Path(name_or_path), shipped()
    if path.is_file():
        return path
    if name_or_path in known:
        return known[name_or_path]
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise RecipeError([f"{name_or_path}: no such recipe file (looked in {Path.cwd()})"])
    raise RecipeError(
        [
            f"no recipe named {name_or_path!r}{nearest(name_or_path, list(known))} "
            f"(shipped: {', '.join(known)}; or give a path to a .yaml file)"
        ]
    )


def load(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read, override and check a recipe.

    Args:
        name_or_path: a shipped recipe's name, or a path.
        overrides: `key.path=value`, the value in YAML, e.g. `lora.rank=8`, `seeds=[1,2]`.

    Raises:
        RecipeError: every fault at once, each with file:line or the override that made it.
    """
    path = find(name_or_path)
    tree, lines = _parse(path)
    origin: dict[Location, str] = {}
    for override in overrides:
        _apply(tree, override, origin)
    return _check(tree, lines, origin, name=str(path))


def from_mapping(tree: Mapping[str, Any], name: str = "recipe") -> Recipe:
    """A recipe from plain data (a run folder's `recipe.yaml`, a test)."""
    return _check(dict(tree), {}, {}, name=name)


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML, defaults written out."""
    plain = recipe.model_dump(mode="json")
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def digest(recipe: Recipe) -> str:
    """Eight hexadecimal digits of the resolved recipe: two studies never share a folder."""
    plain = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:8]


def schema() -> dict[str, Any]:
    """JSON schema of a recipe, for editors."""
    return Recipe.model_json_schema()


def _parse(path: Path) -> tuple[dict[str, Any], Lines]:
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise RecipeError(
            [f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8"]
        ) from error
    except OSError as error:
        raise RecipeError([f"{path}: cannot be read: {error.strerror}"]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        problem = getattr(error, "problem", None) or "not YAML"
        raise RecipeError([f"{path}:{line}: not YAML: {problem}"]) from error
    if not isinstance(tree, dict):
        raise RecipeError([f"{path}:1: a recipe is a mapping of sections such as 'base:'"])
    lines: Lines = {}
    faults = list(_walk(node, (), lines, path)) if node is not None else []
    if faults:
        raise RecipeError(faults)
    return tree, lines


def _walk(
    node: yaml.Node, at: Location, lines: Lines, path: Path, above: tuple[yaml.Node, ...] = ()
) -> list[str]:
    """Record the line of every key and item; report keys that stand twice in one mapping."""
    faults: list[str] = []
    if any(node is outer for outer in above):
        return [f"{path}:{node.start_mark.line + 1}: {dotted(at)} refers to itself; write it out"]
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, key.value)
            if here in lines:
                faults.append(
                    f"{path}:{key.start_mark.line + 1}: {dotted(here)} stands twice "
                    f"(first on line {lines[here]}); keep one"
                )
            lines[here] = key.start_mark.line + 1
            faults += _walk(value, here, lines, path, above)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            faults += _walk(value, (*at, index), lines, path, above)
    return faults


def _apply(tree: dict[str, Any], override: str, origin: dict[Location, str]) -> None:
    key, equals, text = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise RecipeError(
            [f"override {override!r}: expected key=value, such as lora.rank=8 or seeds=[1,2]"]
        )
    section: Any = tree
    for part in parts[:-1]:
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise RecipeError(
                [f"override {override!r}: {part} holds a value, not a section; override it whole"]
            )
    value = _value(override, text)
    section[parts[-1]] = value
    origin[tuple(parts)] = override


def _value(override: str, text: str) -> Any:
    # `{lang}/{split}.tsv` is a template here; YAML would take its braces for a mapping
    if re.match(r"\s*\{(lang|split)\}", text):
        return text.strip()
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "not understood"
        raise RecipeError(
            [
                f"override {override!r}: the value is not YAML ({problem}); close its brackets, "
                "or wrap text that holds such signs in quotes: 'key=\"text\"'"
            ]
        ) from error
    except ValueError as error:  # a date such as 2024-13-01
        raise RecipeError([f"override {override!r}: {error}; wrap it in quotes"]) from error


def _check(tree: dict[str, Any], lines: Lines, origin: dict[Location, str], name: str) -> Recipe:
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        faults = [_fault(e, lines, origin, name) for e in error.errors()]
        raise RecipeError(list(dict.fromkeys(faults))) from None
    except LowresError as error:
        raise RecipeError([f"{name}: {error}"]) from error


def _fault(error: ErrorDetails, lines: Lines, origin: dict[Location, str], name: str) -> str:
    # pydantic puts the tag of a union, or "[key]", into the location: neither stands in the file
    raw = error["loc"]
    at = tuple(
        part
        for index, part in enumerate(raw)
        if not (
            part == "[key]"
            or (
                index == 1 and raw[0] == "task" and len(raw) > 1 and part in registry.names("tasks")
            )
        )
    )
    return f"{_place(at, lines, origin, name)}: {_explain(error, at)}"


def _place(at: Location, lines: Lines, origin: dict[Location, str], name: str) -> str:
    """The override that made what is at fault, else file:line of it or of what holds it."""
    for made, override in reversed(origin.items()):
        # above: the override replaced all of it; below: a check of the whole section failed
        if made == at[: len(made)] or (at and at == made[: len(at)]):
            return f"override {override!r}"
    if not lines:
        return name
    known = [at[:end] for end in range(len(at), 0, -1) if at[:end] in lines]
    return f"{name}:{lines[known[0]] if known else 1}"


def _explain(error: ErrorDetails, at: Location) -> str:
    kind, key = error["type"], dotted(at)
    if kind == "extra_forbidden":
        keys = _keys_of(at[:-1])
        return f"unknown key {key}{nearest(str(at[-1]), keys)} (known: {', '.join(keys)})"
    if kind == "missing":
        return f"{key} is missing; add it{_about(at)}"
    if kind == "value_error":
        text = str(error["ctx"]["error"]) if "ctx" in error else error["msg"]
        return text if key and text.startswith(key) else f"{key}: {text}" if key else text
    if kind == "union_tag_invalid":
        tag = str(error["ctx"]["tag"])
        tasks = registry.names("tasks")
        return f"unknown task {tag!r}{nearest(tag, tasks)} (known: {', '.join(tasks)})"
    if kind == "union_tag_not_found":
        return f"task.name is missing (one of {', '.join(registry.names('tasks'))})"
    message = error["msg"][0].lower() + error["msg"][1:]
    for start, expected in EXPECTED.items():
        if kind.startswith(start):
            message = f"expected {expected}"
    if kind == "string_type" and isinstance(error["input"], bool):
        message = "expected text in quotes (YAML reads yes, no, on and off as true and false)"
    return f"{key}: {message}, not {error['input']!r}"


def _about(at: Location) -> str:
    """What a key is for, from its documentation in `recipe.py`."""
    model: Any = Recipe
    for part in at[:-1]:
        model = _model_in(model.model_fields[part].annotation)
    field = model.model_fields[at[-1]]
    section = _model_in(field.annotation)
    text = field.description or (section.__doc__ if section else None) or ""
    return f": {text.split('. ')[0].strip().rstrip('.')}" if text else ""


def _keys_of(at: Location) -> list[str]:
    """Keys that are known in the section at this place."""
    model: Any = Recipe
    for part in at:
        field = model.model_fields.get(part)
        model = _model_in(field.annotation) if field is not None else None
        if model is None:
            return sorted(
                {
                    k
                    for n in registry.names("tasks")
                    for k in registry.module("tasks", n).Options.model_fields
                }
            )
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    for option in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def dotted(at: Location) -> str:
    """`("languages", "targets", 0)` as `languages.targets[0]`."""
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text
