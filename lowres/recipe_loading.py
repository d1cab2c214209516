"""YAML to `Recipe`: shipped names, line numbers for every fault, overrides, the JSON schema."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import to_jsonable_python

from lowres import recipe_faults, registry
from lowres.errors import LowresError, RecipeError, nearest
from lowres.recipe import Recipe
from lowres.recipe_faults import Lines, Location, dotted

EMPTY = "the file is empty; `lowres new {stem}-new.yaml` asks a few questions and writes a recipe"
SHAPE = "a recipe is a mapping of sections such as 'base:'"
LATER: tuple[str, ...] = (
    "few_shot",
    "languages.draws",
    "languages.source_temperature",
    "lora.layers",
    "train.strategy",
    "train.freeze",
    "train.layer_decay",
    "translated",
)
"""Keys that came when there were runs already, such as `train.augment`. At its default such a key
is no part of what a run is: runs from before it stay what they are."""


@dataclass(frozen=True)
class Override:
    """A key of a recipe with another value; faults in it are said to be at `place`."""

    key: str
    value: Any
    place: str

    @property
    def parts(self) -> tuple[str, ...]:
        """`lora.rank` as `("lora", "rank")`."""
        return tuple(self.key.split("."))


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
    if path.is_dir():
        raise RecipeError([f"{name_or_path}: is a folder; give the recipe's .yaml file"])
    if path.suffix in (".yaml", ".yml") or len(path.parts) > 1:
        raise RecipeError([f"{name_or_path}: no such recipe file (looked in {Path.cwd()})"])
    raise RecipeError(
        [
            f"no recipe named {name_or_path!r}{nearest(name_or_path, list(known), likeness=0.6)} "
            f"(shipped: {', '.join(known)}; or give a path to a .yaml file)"
        ]
    )


def load(name_or_path: str, overrides: Sequence[str | Override] = ()) -> Recipe:
    """Read, override and check a recipe.

    Args:
        name_or_path: a shipped recipe's name, or a path.
        overrides: `key.path=value`, the value in YAML, e.g. `lora.rank=8`, `seeds=[1,2]`.

    Raises:
        RecipeError: every fault at once, each with file:line or the override that made it.
    """
    path = find(name_or_path)
    tree, lines = parse(path)
    origin: dict[Location, str] = {}
    for each in overrides:
        _apply(tree, written(each) if isinstance(each, str) else each, origin)
    return _check(tree, lines, origin, name=str(path))


def from_mapping(tree: Mapping[str, Any], name: str = "recipe") -> Recipe:
    """A recipe from plain data (a run folder's `recipe.yaml`, a test)."""
    return _check(dict(tree), {}, {}, name=name)


def dump(recipe: Recipe) -> str:
    """The resolved recipe as YAML, defaults written out; without `publish`, which is no part of
    what a run is."""
    plain = recipe.model_dump(mode="json", exclude={"publish"})
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=100)


def identity(recipe: Recipe) -> dict[str, Any]:
    """The resolved recipe as plain data: what a run is, and what its results depend on.

    Without `publish`, and without the keys of `LATER` that are at their defaults.
    """
    return _without_later(recipe.model_dump(mode="json", exclude={"publish"}))


def digest(recipe: Recipe) -> str:
    """Eight hexadecimal digits of `identity`: two studies never share a folder."""
    plain = json.dumps(identity(recipe), sort_keys=True)
    return hashlib.sha256(plain.encode()).hexdigest()[:8]


def same(one: str, other: str) -> bool:
    """Whether two resolved recipes, as `dump` writes them (one perhaps before a key of `LATER`
    came), are the same study."""
    if one == other:
        return True
    try:
        trees = [yaml.safe_load(text) for text in (one, other)]
    except (yaml.YAMLError, ValueError):  # a file that somebody has changed
        return False
    if not all(isinstance(tree, dict) for tree in trees):
        return False
    first, second = (_without_later(tree) for tree in trees)
    return first == second


def _without_later(tree: dict[str, Any]) -> dict[str, Any]:
    """Plain data of a recipe without the keys of `LATER` that are at their defaults."""
    tree = copy.deepcopy(tree)
    for key in LATER:
        *above, last = key.split(".")
        section: Any = tree
        for part in above:
            section = section.get(part) if isinstance(section, dict) else None
        if isinstance(section, dict) and last in section and section[last] == _default(key):
            del section[last]
    return tree


def _default(key: str) -> Any:
    """The default of a dotted key as plain data; its sections are types, or a type or null."""
    *above, last = key.split(".")
    section: type[BaseModel] = Recipe
    for part in above:
        kind = section.model_fields[part].annotation
        (section,) = (
            each
            for each in (kind, *get_args(kind))
            if isinstance(each, type) and issubclass(each, BaseModel)
        )
    return to_jsonable_python(section.model_fields[last].get_default(call_default_factory=True))


def schema() -> dict[str, Any]:
    """JSON schema of a recipe, for editors."""
    return Recipe.model_json_schema()


def parse(path: Path, empty: str = EMPTY, shape: str = SHAPE) -> tuple[dict[str, Any], Lines]:
    """A YAML file as plain data, with the line of every key and item.

    Args:
        path: the file.
        empty: what to say where nothing is in it; `{stem}` is the file's name without `.yaml`.
        shape: what to say where it is no mapping.

    Raises:
        RecipeError: cannot be read; not YAML; a key twice.
    """
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
        line = mark.line + 1 if mark is not None else text.count("\n", 0, _position(error)) + 1
        problem = getattr(error, "problem", None) or getattr(error, "reason", "not readable")
        raise RecipeError([f"{path}:{line}: not YAML: {problem}"]) from error
    except ValueError as error:  # a date such as 2024-13-01
        line = _unreadable(node) if node is not None else 0
        raise RecipeError([f"{path}:{line}: {error}; is it text? wrap it in quotes"]) from error
    if tree is None:
        raise RecipeError([f"{path}:1: {empty.format(stem=path.stem)}"])
    if not isinstance(tree, dict):
        raise RecipeError([f"{path}:1: {shape}"])
    lines: Lines = {}
    faults = list(_walk(node, (), lines, path)) if node is not None else []
    if faults:
        raise RecipeError(faults)
    return tree, lines


def _position(error: yaml.YAMLError) -> int:
    """Where in the text a character stands that YAML forbids."""
    at = getattr(error, "position", 0)
    return at if isinstance(at, int) else 0


def _unreadable(node: yaml.Node) -> int:
    """The line of the first value that YAML takes for a date or a number that there is not."""
    if isinstance(node, yaml.ScalarNode):
        try:
            yaml.safe_load(node.value)
        except ValueError:
            return node.start_mark.line + 1
        return 0
    parts = node.value if isinstance(node, yaml.SequenceNode) else sum(node.value, ())
    return next((line for part in parts if (line := _unreadable(part))), 0)


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


def written(override: str) -> Override:
    """What `key.path=value` says. Raises `RecipeError`."""
    key, equals, text = override.partition("=")
    if not equals or not all(key.strip().split(".")):
        raise RecipeError(
            [f"override {override!r}: expected key=value, such as lora.rank=8 or seeds=[1,2]"]
        )
    return Override(key.strip(), _value(override, text), f"override {override!r}")


def _apply(tree: dict[str, Any], override: Override, origin: dict[Location, str]) -> None:
    section: Any = tree
    *above, last = override.parts
    for part in above:
        if section.get(part) is None:
            section[part] = {}
        section = section[part]
        if not isinstance(section, dict):
            raise RecipeError(
                [f"{override.place}: {part} holds a value, not a section; override it whole"]
            )
    # a later override may go into what this one brought, which is the caller's
    section[last] = copy.deepcopy(override.value)
    origin[override.parts] = override.place


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
        raise RecipeError(recipe_faults.faults(error, lines, origin, name)) from None
    except LowresError as error:
        raise RecipeError([f"{name}: {error}"]) from error
