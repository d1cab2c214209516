"""What holds the repository together: recipes, README, layout, wheel."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import lowres
from lowres import recipe_loading

ROOT = Path(__file__).resolve().parent.parent
RECIPES = sorted((ROOT / "recipes").rglob("*.yaml"))
LANGUAGES = sorted((ROOT / "recipes" / "languages").glob("*.yaml"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60


def header_commands(text: str) -> list[list[str]]:
    """The commands in the comment at the head of a recipe, as a shell would split them."""
    head = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        head.append(line.removeprefix("#"))
    commands, at = [], 0
    while at < len(head):
        command = head[at]
        at += 1
        if not command.startswith("   lowres "):
            continue
        while at < len(head) and head[at].startswith("     "):
            command += "\n" + head[at]
            at += 1
        commands.append(shlex.split(command.replace("\\\n", " ")))
    return commands


def code_blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_there_are_as_many_recipes_as_the_readme_says():
    assert len(RECIPES) == 9 + 9
    assert len(LANGUAGES) == 9
    assert {path.stem for path in RECIPES} == set(recipe_loading.shipped())
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in RECIPES:
        if path in LANGUAGES:
            assert f"`{path.stem}`" in readme
        else:
            assert f"| `{path.stem}` |" in readme or path.stem == "quickstart"


@pytest.mark.parametrize("path", LANGUAGES, ids=lambda path: path.stem)
def test_a_language_recipe_is_the_whole_chain(path):
    recipe = recipe_loading.load(str(path))
    assert recipe.languages.source == ("eng_Latn",)
    assert recipe.languages.targets == (path.stem,)
    assert recipe.languages.shots == (10, 50, "all")
    assert recipe.text is not None
    assert recipe.text.translations is not None
    assert recipe.tokenizer is not None
    assert recipe.tokenizer.extend is not None
    assert recipe.adapt is not None
    assert recipe.adapt.controls
    assert "lowres tokenizer diagnose" in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipe_is_valid_and_says_how_to_run_it(path):
    text = path.read_text(encoding="utf-8")
    recipe = recipe_loading.load(str(path))
    assert recipe.name == path.stem
    assert recipe.question.endswith("?")
    commands = header_commands(text)
    assert ["lowres", "run", path.stem] in [command[:3] for command in commands]
    for command in commands:
        assert command[:2] == ["lowres", "run"], command
        recipe_loading.load(str(path), command[3:])


@pytest.mark.data
@pytest.mark.parametrize(
    "path",
    [p for p in RECIPES if p.stem not in ("nli-americas", "quickstart")],
    ids=lambda p: p.stem,
)
def test_local_command_finds_every_file(path, shared_data):
    from lowres import data

    commands = header_commands(path.read_text(encoding="utf-8"))
    local = [c for c in commands if any("../shared/data" in word for word in c)]
    assert len(local) == 1, "each recipe gives one exact command for local files"
    overrides = [word.replace("../shared/data", str(shared_data)) for word in local[0][3:]]
    recipe = recipe_loading.load(str(path), overrides)
    assert recipe.base.name == "e5-small"
    data.check_files(recipe)
    text_is_there(recipe)


def text_is_there(recipe):
    """Raw text, translations and word lists of every language, large enough to hold lines out."""
    if recipe.text is None:
        return
    named = recipe.text.languages
    for language in recipe.languages.targets if named == "targets" else named:
        for kind in ("files", "translations", "lexicon"):
            if getattr(recipe.text, kind) is not None:
                path = Path(recipe.text.path(kind, language))
                lines = path.read_bytes().count(b"\n")
                assert lines >= 3 * recipe.text.held_out, path
    for path in recipe.tokenizer.extend.keep if recipe.tokenizer else ():
        assert Path(path).is_file(), path


@pytest.mark.data
def test_nli_targets_are_local_and_their_source_is_not(shared_data):
    from lowres import data
    from lowres.errors import DataError

    recipe = recipe_loading.load(
        "nli-americas",
        [
            f"data.files={shared_data}/americasnli/{{lang}}/{{split}}.tsv",
            "data.source.files=no-such-folder/{split}.tsv",
        ],
    )
    with pytest.raises(DataError, match="eng_Latn train") as caught:
        data.check_files(recipe)
    assert "bzd_Latn" not in str(caught.value)


def test_schema_for_editors_is_the_one_the_code_makes(golden):
    text = json.dumps(recipe_loading.schema(), indent=2, ensure_ascii=False) + "\n"
    golden("recipes/recipe.schema.json", text)
    for path in RECIPES:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        start, _, schema = first.partition("$schema=")
        assert start == "# yaml-language-server: ", path
        assert (path.parent / schema).resolve() == ROOT / "recipes" / "recipe.schema.json", path


@pytest.mark.parametrize("folder", ["recipes", "tokenizers"])
def test_no_package_shadows_a_library(folder):
    assert (ROOT / folder).is_dir()
    assert not list((ROOT / folder).rglob("__init__.py"))


def test_tokenizers_is_the_library_even_from_the_root():
    out = subprocess.run(
        [sys.executable, "-c", "import tokenizers; print(tokenizers.Tokenizer.__name__)"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert out.stdout.strip() == "Tokenizer"


def test_the_top_level_is_as_laid_down():
    allowed = {
        *("pyproject.toml", "README.md", "lowres", "recipes", "tests", "tokenizers"),
        *("benchmarks", "docs", "notebooks", "Makefile", ".ci", "CHANGELOG.md"),
        *("CONTRIBUTING.md", "constraints.txt", "LICENSE", "mkdocs.yml"),
        *(".gitignore", ".pre-commit-config.yaml", ".git", ".gitattributes", ".github"),
    }
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").split()
    made = [line.rstrip("/") for line in ignored]
    strangers = [
        entry.name
        for entry in ROOT.iterdir()
        if entry.name not in allowed and not any(Path(entry.name).match(rule) for rule in made)
    ]
    assert not strangers


def python_files() -> list[Path]:
    folders = ("lowres", "tests", "benchmarks", "docs")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_are_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_FILE_LINES, "split it by meaning"
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1} lines)"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno - node.lineno + 1 > MAX_FUNCTION_LINES
    ]
    assert not long
    assert path.stem not in ("utils", "helpers", "common", "misc")


def test_there_is_one_version():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    found = re.search(r"^## (\S+)", changelog, flags=re.MULTILINE)
    assert found is not None
    assert found[1] == lowres.__version__
    assert PROJECT["project"]["dynamic"] == ["version"]


def test_the_layout_of_contributing_is_the_one_that_is_enforced():
    (contract,) = PROJECT["tool"]["importlinter"]["contracts"]
    enforced = [
        {name for name in re.split(r"[|: ]+", layer) if name and not name.startswith("(")}
        for layer in contract["layers"]
    ]
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = contributing.partition("| in `lowres/` |")[2].partition("\n\n")[0].splitlines()[2:]
    cells = [row.partition(" | ")[0] for row in rows]
    assert [set(re.findall(r"`(\w+)[./]", cell)) for cell in cells] == enforced


def test_every_dependency_is_pinned_and_has_its_reason():
    pins = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    names = {line.partition("==")[0].lower().replace("_", "-") for line in pins.splitlines()}
    assert "+cpu" not in pins, "the build is for pip to choose"
    contributing = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    reasons = contributing.split("## Dependencies")[1].lower()
    extras = PROJECT["project"]["optional-dependencies"]
    for requirement in (*PROJECT["project"]["dependencies"], *extras["ray"]):
        name = re.match(r"[\w-]+", requirement)[0].lower().replace("_", "-")
        assert name in names, f"{name} is not in constraints.txt"
        assert name in reasons.replace("_", "-"), f"CONTRIBUTING.md does not say why {name}"


def test_every_import_is_a_declared_dependency():
    from importlib.metadata import packages_distributions

    declared = {
        re.match(r"[\w-]+", line)[0].lower().replace("_", "-")
        for line in PROJECT["project"]["dependencies"]
    }
    of_module = packages_distributions()
    optional = {"codecarbon", "optuna"}
    missing = set()
    for path in (ROOT / "lowres").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in {name.partition(".")[0] for name in names}:
                if name == "lowres" or name in sys.stdlib_module_names or name in optional:
                    continue
                homes = {home.lower().replace("_", "-") for home in of_module.get(name, [name])}
                # pydantic pins its own core to the version it needs
                if not homes & (declared | {"pydantic-core"}):
                    missing.add(f"{name} ({path.name})")
    assert not missing


def test_readme_names_targets_and_commands_that_exist():
    import typer.main

    from lowres.cli import app

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, flags=re.MULTILINE))
    commands = set(typer.main.get_command(app).commands)
    words = [
        shlex.split(line, comments=True)
        for block in code_blocks(readme, "bash")
        for line in block.splitlines()
    ]
    named = [line for line in words if line and line[0] in ("make", "lowres")]
    assert len(named) >= 6
    for line in named:
        assert line[1] in (targets if line[0] == "make" else commands), line
    for inline in re.findall(r"`(make|lowres) ([a-z]+)", readme):
        assert inline[1] in (targets if inline[0] == "make" else commands), inline


def test_readme_path_to_ones_own_language_works(tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from lowres.cli import app

    for language, splits in {"eng_Latn": ("train", "dev", "test"), "lao_Laoo": ("test",)}.items():
        for split in splits:
            file = tmp_path / "mydata" / language / f"{split}.tsv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("text\tlabel\none\ta\ntwo\tb\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = [
        shlex.split(line)
        for block in code_blocks(readme.replace("\n   ", "\n"), "bash")
        for line in block.splitlines()
        if line.startswith(("lowres new", "lowres validate"))
    ]
    assert [line[1] for line in lines] == ["new", "validate"]
    for line in lines:
        result = CliRunner().invoke(app, line[1:])
        assert result.exit_code == 0, result.output


def test_links_of_the_front_pages_lead_somewhere():
    for name in ("README.md", "CONTRIBUTING.md"):
        text = (ROOT / name).read_text(encoding="utf-8")
        for link in re.findall(r"\]\(([^)#]+)\)", text):
            if not link.startswith("http"):
                assert (ROOT / link).exists(), f"{name}: {link}"


def test_a_wheel_carries_recipes_extensions_and_demonstration_data():
    """What hatchling would pack, without packing it."""
    from hatchling.builders.wheel import WheelBuilder

    builder = WheelBuilder(str(ROOT))
    packed = {file.distribution_path for file in builder.recurse_included_files()}
    for folder, inside, ending in (
        ("recipes", "lowres/_recipes", "*.yaml"),
        ("tokenizers", "lowres/_tokenizers", "*/*.*"),
    ):
        files = [path.relative_to(ROOT / folder) for path in (ROOT / folder).rglob(ending)]
        assert {f"{inside}/{path.as_posix()}" for path in files} <= packed
    assert "lowres/demo/eng_Latn/train.jsonl" in packed
    assert "lowres/py.typed" in packed
    assert "lowres/languages.tsv" in packed
    outside = ("tests/", "docs/", "recipes/", "tokenizers/", "benchmarks/")
    assert not [path for path in packed if path.startswith(outside)]
