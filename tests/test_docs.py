"""The reference pages say what the code says."""

from __future__ import annotations

import importlib
import importlib.util
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands(command, name):
    """(name, command) of all, those below `lowres tokenizer` too."""
    for below, its in getattr(command, "commands", {}).items():
        yield f"{name} {below}", its
        yield from commands(its, f"{name} {below}")


def test_every_recipe_key_is_documented(hooks):
    from lowres.recipe_loading import schema

    page = hooks.on_page_markdown("<!-- generated: recipe -->")
    tree = schema()
    sections = {name: part for name, part in tree["$defs"].items() if "__Options" not in name}
    for name, part in (("", tree), *sections.items()):
        place = hooks.SECTION_KEYS.get(name, name.lower())
        heading = f"## `{place}`\n" if name else "## The recipe itself\n"
        own = page.partition(heading)[2].partition("\n## ")[0]
        for key in part["properties"]:
            assert f"| `{key}` |" in own, f"{name} {key}"
    for name in ("classification", "tagging", "pairs"):
        assert f"`name: {name}`" in page
    ways = page.partition("## `train.augment`")[2].partition("\n## ")[0]
    keys = ("| `copies` |", "| `lexicon` |", "| `entities` |")
    for word in ("code_switch", "entity_swap", "word_dropout", "character_noise", *keys):
        assert word in ways


def test_every_command_is_documented(hooks):
    import typer.main

    from lowres.cli import app

    page = hooks.on_page_markdown("<!-- generated: cli -->")
    named = dict(commands(typer.main.get_command(app), "lowres"))
    assert {"lowres run", "lowres adapt", "lowres tokenizer extend"} <= set(named)
    for name, command in named.items():
        own = page.partition(f"## `{name}`\n")[2].partition("\n## ")[0]
        assert own, name
        for parameter in command.params:
            for option in parameter.opts:
                assert option in own, f"{name} {option}"


def test_every_field_of_the_results_is_documented(hooks):
    from lowres.results import Results

    page = hooks.on_page_markdown("<!-- generated: results -->")
    tree = Results.model_json_schema(by_alias=True)
    for name, part in (("The file", tree), *tree["$defs"].items()):
        assert f"## {name}" in page
        for key in part["properties"]:
            assert f"| `{key}` |" in page


def test_every_key_of_a_sweep_is_documented(hooks):
    from lowres.sweeps.keys import Sweep
    from lowres.sweeps.table import Table

    page = hooks.on_page_markdown("<!-- generated: sweep -->")
    for tree, first in (
        (Sweep.model_json_schema(), "The sweep itself"),
        (Table.model_json_schema(by_alias=True), "`sweep.json`"),
    ):
        for name, part in ((first, tree), *tree["$defs"].items()):
            heading = f"`{hooks.SECTION_KEYS[name]}`" if name in hooks.SECTION_KEYS else name
            own = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
            for key in part["properties"]:
                assert f"| `{key}` |" in own, f"{name} {key}"


@pytest.mark.parametrize("name", ["recipe", "cli", "results", "sweep"])
def test_tables_are_whole(hooks, name):
    page = hooks.on_page_markdown(f"<!-- generated: {name} -->")
    widths = []
    for line in page.splitlines():
        cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
        if cells and widths and widths[-1]:
            assert cells == widths[-1], line
        widths.append(cells)


def test_the_defaults_that_are_explained_are_those_of_the_code():
    from lowres.recipe_loading import schema

    tree = schema()
    page = (ROOT / "docs" / "explanation" / "defaults.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z_.]+)` \| `(.+?)` \|", page, flags=re.M)
    assert len(rows) > 30
    for key, said in rows:
        part = tree
        for name in key.split("."):
            options = [part, *part.get("anyOf", ())]
            (reference,) = [o["$ref"] for o in options if "$ref" in o] or [None]
            part = tree["$defs"][reference.rsplit("/", 1)[-1]] if reference else part
            part = part["properties"][name]
        assert yaml.safe_load(said.replace("e-", ".0e-")) == part["default"], key
    named = {key for key, _ in rows}
    numbers = {
        f"{section.lower()}.{key}"
        for section in ("Lora", "Train")
        for key, value in tree["$defs"][section]["properties"].items()
        if isinstance(value.get("default"), float)
    }
    assert numbers <= named, "a number that nobody explains"


def test_every_name_of_the_package_is_in_the_reference():
    import lowres

    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    written = re.findall(r"^::: lowres\.(\S+)", page, flags=re.M)
    for name in set(lowres.__all__) - {"__version__"}:
        assert name in {place.rsplit(".", 1)[-1] for place in written}, name
    for place in written:
        module, _, name = place.rpartition(".")
        found = importlib.import_module(f"lowres.{module}" if module else f"lowres.{name}")
        assert not module or getattr(found, name).__doc__, place


def test_pages_of_the_menu_exist():
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:")[1]
    pages = re.findall(r": (\S+\.md)", menu)
    assert len(pages) >= 9
    for page in pages:
        assert (ROOT / "docs" / page).is_file(), page


def test_every_page_of_the_menu_has_a_way_in():
    """In the table of the first page; but for what other pages of it lead to."""
    menu = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:")[1]
    first = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\]\(([^)#]+\.md)", first))
    missing = set(re.findall(r": (\S+\.md)", menu)) - linked - {"index.md"}
    assert missing <= {
        "reference/sweep.md", "reference/publish-faults.md", "explanation/language-adapters.md",
    }  # fmt: skip
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for lever in ("train.strategy", "languages.shots", "train.augment", "translated"):
        assert f"(`{lever}`)" in readme


def test_commands_in_the_pages_exist():
    import typer.main

    from lowres.cli import app

    known = {name for name, _ in commands(typer.main.get_command(app), "lowres")}
    named = r"\blowres (tokenizer [a-z]+|(?!tokenizer)[a-z]+)"
    for page in (ROOT / "docs").rglob("*.md"):
        for code in re.findall(r"^lowres [^\n]+|`lowres [^`\n]+`", page.read_text("utf-8"), re.M):
            command = re.search(named, code)
            assert command, f"{page}: {code}"
            assert f"lowres {command[1]}" in known, f"{page}: {code}"
