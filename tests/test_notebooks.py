"""The notebooks as a reader of Colab gets them: whole, without outputs, and run from top to end.

They run in a real kernel, as there; cells of the tag `install` are left out, and the values of the
cell `parameters` that cost time are replaced by a cell behind it, as papermill does.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("quickstart", "your_language")
COLAB = (
    r"https://colab\.research\.google\.com/github/([\w.-]+/[\w.-]+)/blob/main/"
    r"(notebooks/\w+\.ipynb)"
)
BADGE = rf"\[!\[Open In Colab\]\(https://colab[^)]+badge\.svg\)\]\({COLAB}\)"
MOST_LINES = 25
MINUTES = 10


def plain(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text(encoding="utf-8"))


def source(name: str, cell: str) -> str:
    """The text of one cell, by its id."""
    (found,) = (part for part in plain(name)["cells"] if part["id"] == cell)
    return "".join(found["source"])


def code_cells(name: str) -> list[dict[str, Any]]:
    return [cell for cell in plain(name)["cells"] if cell["cell_type"] == "code"]


def execute(name: str, folder: Path, parameters: str) -> nbformat.NotebookNode:
    """Run a notebook in `folder`; an error in a cell or a command of the shell is raised."""
    from nbclient import NotebookClient

    book = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    for cell in book.cells:
        # IPython goes on when a command of the shell fails; 3 is a run that worked
        if cell.cell_type == "code" and re.search(r"^!", cell.source, re.MULTILINE):
            fine = (0, 3) if "!lowres run" in cell.source else (0,)
            cell.source += f"\nassert _exit_code in {fine}, _exit_code"
    at = [cell.id for cell in book.cells].index("parameters")
    book.cells.insert(at + 1, nbformat.v4.new_code_cell(parameters))
    NotebookClient(
        book,
        timeout=60 * MINUTES,
        kernel_name="python3",
        skip_cells_with_tag="install",
        resources={"metadata": {"path": str(folder)}},
    ).execute()
    return book


def printed(book: nbformat.NotebookNode, cell: str) -> str:
    (found,) = (part for part in book.cells if part.id == cell)
    return "".join(output.get("text", "") for output in found.outputs)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for a notebook; in it `!lowres` is this environment's."""
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("LOWRES_NOTEBOOK_BASE", "e5-small")
    folder = tmp_path / "work"
    folder.mkdir()
    return folder


def test_these_are_all_notebooks() -> None:
    assert sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_valid_short_and_without_outputs(name: str) -> None:
    book = plain(name)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    nbformat.validate(book)
    ids = [cell["id"] for cell in book["cells"]]
    assert len(set(ids)) == len(ids)
    for cell in book["cells"]:
        assert len(cell["source"]) <= MOST_LINES, cell["id"]
    for cell in code_cells(name):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
        assert set(cell["metadata"]) <= {"tags"}


@pytest.mark.parametrize("name", NAMES)
def test_the_badge_opens_this_notebook(name: str) -> None:
    head = plain(name)["cells"][0]
    assert head["cell_type"] == "markdown"
    badge = re.search(BADGE, "".join(head["source"]))
    assert badge is not None
    assert badge[2] == f"notebooks/{name}.ipynb"
    # also for whom the link leads nowhere yet
    text = "".join(head["source"])
    assert f"*File → Upload notebook* → `{name}.ipynb`" in text


NOWHERE = "OWNER/lowres"
"""In links to Colab as long as pyproject.toml does not say where the repository is."""


def repository() -> str:
    """`owner/name`, from the one place that says it: [project.urls] Repository."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    address = project.get("urls", {}).get("Repository")
    if address is None:
        return NOWHERE
    found = re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+?)(?:\.git)?/?", address)
    assert found is not None, f"Colab opens notebooks of GitHub only, not of {address}"
    return found[1]


def test_all_links_to_colab_are_of_the_repository() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *ROOT.glob("notebooks/*.ipynb")]
    links = [link for page in pages for link in re.findall(COLAB, page.read_text("utf-8"))]
    linked = {name for name, _ in links}
    assert linked == {repository()}, (
        f"links to Colab say {', '.join(sorted(linked))}; CONTRIBUTING.md, Tests, has the command"
    )
    for _, path in links:
        assert (ROOT / path).is_file(), path
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    badges = [path for _, path in re.findall(BADGE, readme)]
    assert badges == [f"notebooks/{name}.ipynb" for name in NAMES]


@pytest.mark.parametrize("name", NAMES)
def test_the_installation_comes_first_and_once(name: str) -> None:
    first, *rest = code_cells(name)
    assert first["metadata"]["tags"] == ["install"]
    assert "".join(first["source"]) == '%pip install --quiet "lowres[offline]"'
    for cell in rest:
        assert "install" not in cell["metadata"].get("tags", ())
        assert "pip " not in "".join(cell["source"])


@pytest.mark.parametrize("name", NAMES)
def test_it_is_said_what_a_t4_computes_with(name: str) -> None:
    text = source(name, "machine")
    for word in ("T4", "no bf16", "fp16", "`train.precision: auto`"):
        assert word in text


@pytest.mark.parametrize("translated", [True, False])
def test_own_text_without_a_translation_is_adapted_to_by_guessing(
    translated: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LOWRES_NOTEBOOK_BASE", raising=False)
    seen: dict[str, Any] = {}
    for cell in ("parameters", "demo", "recipe"):
        if cell == "recipe" and not translated:
            Path("eng_Latn.txt").unlink()
        exec(compile(source("your_language", cell), cell, "exec"), seen)
    recipe = seen["recipe"]
    assert recipe.base.name == "xlm-roberta-base"
    assert recipe.adapt.objective == ("align" if translated else "mlm")
    assert recipe.train.precision == "auto"
    from lowres import material
    from lowres.data import check_files

    check_files(recipe)
    material.check_files(recipe.text, recipe.languages.targets)


@pytest.mark.parametrize("file", ["yor_Latn.txt", "eng_Latn.train.csv"])
def test_files_of_the_user_are_left_as_they_are(
    file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(file).write_text("mine\n", encoding="utf-8")
    seen: dict[str, Any] = {}
    for cell in ("parameters", "demo"):
        exec(compile(source("your_language", cell), cell, "exec"), seen)
    assert [path.name for path in Path().iterdir()] == [file]


@pytest.mark.parametrize(
    ("token", "repository", "sent"),
    [
        (None, "ada/topics", False),
        ("hf_token", "your-name/yoruba-topics", False),
        ("hf_token", "ada/topics", True),
    ],
)
def test_nothing_is_sent_without_a_token_and_a_name(
    token: str | None, repository: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")  # so that it is put back afterwards
    monkeypatch.setattr("huggingface_hub.get_token", lambda: token)
    *lines, command = source("your_language", "publish").splitlines()
    assert command == "!lowres publish {run} {REPO} --license {LICENSE} {dry_run}"
    seen: dict[str, Any] = {"os": os, "REPO": repository}
    exec("\n".join(lines), seen)
    assert seen["dry_run"] == ("" if sent else "--dry-run")
    assert os.environ["HF_TOKEN"] == (token or "")


@pytest.mark.slow
def test_the_quickstart_runs_to_the_end(kernel: Path) -> None:
    book = execute("quickstart", kernel, "EPOCHS = 5")
    (report,) = kernel.glob("runs/quickstart-*/report.html")
    assert "Swahili" in report.read_text(encoding="utf-8")
    assert printed(book, "use").count('"predicted"') == 2


@pytest.mark.slow
def test_your_language_runs_to_the_end(kernel: Path) -> None:
    book = execute("your_language", kernel, "TRAIN_EPOCHS = 3\nCONTROLS = False")
    (run,) = kernel.glob("runs/topics-yor_Latn-*")
    assert "Yoruba" in (run / "report.html").read_text(encoding="utf-8")
    for stage in ("extend", "adapt", "train/1", "evaluate"):
        assert (run / stage / "manifest.json").is_file(), stage
    assert "extend" in printed(book, "diagnose")
    assert "checked, nothing sent" in printed(book, "publish")
    assert list(run.glob("publish/*/repository/README.md"))
