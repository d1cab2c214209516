"""Reference pages from the code: a page's `<!-- generated: NAME -->` becomes what NAME makes.

The code is the only place that says what a key, an option or a field is; these pages repeat it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

SECTION_KEYS = {
    "DataSource": "data.source",
    "Columns": "data.columns",
    "Extend": "tokenizer.extend",
    "Trim": "tokenizer.trim",
    "Freeze": "train.freeze",
    "FewShot": "few_shot",
    "Translated": "translated",
    "Study": "study",
    "Dimension": "study.space",
}
BEFORE_THE_TASK = ("Base", "Languages", "Data", "DataSource", "Columns")
ON_RAW_TEXT = ("Text", "Tokenizer", "Extend", "Trim", "Adapt")
ON_THE_TASK = ("Lora", "Train", "Freeze", "FewShot", "Translated", "Evaluate")
AFTERWARDS = ("Publish",)
MARK = re.compile(r"<!-- generated: (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for every page."""
    makers = {"recipe": recipe_keys, "cli": command_line, "results": result_fields}
    makers["sweep"] = sweep_keys
    return MARK.sub(lambda match: "\n".join(makers[match[1]]()), markdown)


def recipe_keys() -> Iterator[str]:
    """Every key of a recipe: a table a section."""
    from lowres.recipe_loading import schema

    tree = schema()
    definitions = tree["$defs"]
    yield from section("The recipe itself", tree, definitions)
    yield from sections(BEFORE_THE_TASK, definitions)
    yield from choices("task", "tasks")
    yield from sections((*ON_RAW_TEXT, *ON_THE_TASK), definitions)
    yield from choices("train.strategy", "strategies")
    yield from choices("train.augment", "augmentations")
    yield from sections(AFTERWARDS, definitions)


def choices(key: str, folder: str) -> Iterator[str]:
    """What may stand at a key, by its `name`: every plug-in of a folder with its own keys."""
    from lowres import registry

    yield f"\n## `{key}`\n"
    for name in registry.names(folder):
        module = registry.module(folder, name)
        yield f"`name: {name}`: {(module.__doc__ or '').strip()}\n"
        options = module.Options.model_json_schema()
        rest = {k: v for k, v in options["properties"].items() if k != "name"}
        if rest:
            yield from table({**options, "properties": rest}, options.get("$defs", {}))


def sections(names: Sequence[str], definitions: dict[str, Any]) -> Iterator[str]:
    """Sections of a recipe by the names of their types."""
    for name in names:
        key = SECTION_KEYS.get(name, name.lower())
        yield from section(f"`{key}`", definitions[name], definitions)


def result_fields() -> Iterator[str]:
    """Every field of `results.json`."""
    from lowres.results import Results

    tree = Results.model_json_schema(by_alias=True)
    definitions = tree["$defs"]
    yield from section("The file", tree, definitions)
    for name in sorted(definitions):
        yield from section(name, definitions[name], definitions)


def sweep_keys() -> Iterator[str]:
    """Every key of a sweep's file, then every field of `sweep.json`."""
    from lowres.sweeps.keys import Sweep
    from lowres.sweeps.table import Table

    tree = Sweep.model_json_schema()
    yield from section("The sweep itself", tree, tree["$defs"])
    yield from sections(("Study", "Dimension"), tree["$defs"])
    tree = Table.model_json_schema(by_alias=True)
    yield from section("`sweep.json`", tree, tree["$defs"])
    for name in ("CellRow", "Chosen"):
        yield from section(name, tree["$defs"][name], tree["$defs"])


def command_line() -> Iterator[str]:
    """Every command with its help, as the terminal shows it."""
    import typer.main

    from lowres.cli import app

    yield from helps_of(typer.main.get_command(app), "lowres")


def helps_of(command: Any, name: str) -> Iterator[str]:
    """A command and all that are below it (`lowres tokenizer extend`)."""
    import click

    yield from help_of(command, name)
    context = click.Context(command, info_name=name)
    for below in command.list_commands(context) if hasattr(command, "list_commands") else ():
        yield from helps_of(command.get_command(context, below), f"{name} {below}")


def help_of(command: Any, name: str) -> Iterator[str]:
    """One command: what it does, how it is called, its arguments and options."""
    import click

    context = click.Context(command, info_name=name)
    yield f"\n## `{name}`\n"
    yield f"{(command.help or '').strip()}\n"
    usage = " ".join([name, *command.collect_usage_pieces(context)])
    yield f"```text\n{usage}\n```\n"
    rows = [p.get_help_record(context) for p in command.get_params(context)]
    rows = [row for row in rows if row]
    if rows:
        yield "| | |\n|---|---|"
        for left, right in rows:
            yield f"| `{cell(left)}` | {cell(right)} |"
        yield ""


def section(title: str, part: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    """A heading, what the section is, and the table of its keys."""
    yield f"\n## {title}\n"
    if part.get("description"):
        yield f"{part['description']}\n"
    yield from table(part, definitions)


def table(part: dict[str, Any], definitions: dict[str, Any]) -> Iterator[str]:
    """Key, type, default, meaning."""
    required = set(part.get("required", ()))
    yield "| key | type | default | what it is |\n|---|---|---|---|"
    for key, value in part["properties"].items():
        default = "**required**" if key in required else default_of(value)
        about = cell(value.get("description", ""))
        yield f"| `{key}` | {cell(type_of(value, definitions))} | {default} | {about} |"
    yield ""


def default_of(value: dict[str, Any]) -> str:
    """The default in YAML's words; a section's default is its own keys' defaults."""
    if "default" not in value:
        return "`{}`" if value.get("type") == "object" else "`[]`"
    default = value["default"]
    if isinstance(default, dict):
        return "see its table" if default else "`{}`"
    words = {None: "null", True: "true", False: "false"}
    text = words[default] if default is None or isinstance(default, bool) else str(default)
    return f"`{text}`" if text else "empty"


def type_of(value: dict[str, Any], definitions: dict[str, Any]) -> str:
    """A JSON schema's type in a few words."""
    if "$ref" in value:
        name = value["$ref"].rsplit("/", 1)[-1]
        if "tasks" in name:
            return "[task](#task)"
        if "strategies" in name:
            return "[train.strategy](#trainstrategy)"
        if "augmentations" in name:
            return "[train.augment](#trainaugment)"
        key = SECTION_KEYS.get(name, name)
        return f"[{key}](#{key.lower().replace('.', '')})"
    if "const" in value:
        return f"`{value['const']}`"
    if "enum" in value:
        return " \\| ".join(f"`{choice}`" for choice in value["enum"])
    for key in ("anyOf", "oneOf"):
        if key in value:
            return " or ".join(dict.fromkeys(type_of(v, definitions) for v in value[key]))
    if value.get("type") == "array":
        return "list of " + type_of(value.get("items", {}), definitions)
    if value.get("type") == "object":
        inner = value.get("additionalProperties")
        return "map to " + type_of(inner, definitions) if isinstance(inner, dict) else "map"
    words = {"integer": "whole number", "string": "text", "boolean": "true or false"}
    kind = value.get("type", "any")
    return words.get(kind, kind) + bounds(value)


def bounds(value: dict[str, Any]) -> str:
    """The limits of a number."""
    signs = {
        "minimum": "≥",
        "exclusiveMinimum": ">",
        "maximum": "≤",
        "exclusiveMaximum": "<",
    }
    found = [f"{sign} {value[key]:g}" for key, sign in signs.items() if key in value]
    return f" ({', '.join(found)})" if found else ""


def cell(text: str) -> str:
    """Text that can stand in a cell of a Markdown table; the terminal's brackets are escaped."""
    text = text.replace(r"\[", "[")
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))
