"""README and docs, line by line: every `lowres` command and Python block in them is run.

In place of the real base stands a tiny random one, trained until it answers more than one class,
so that each command takes seconds; all else runs as it is written. Lines of pip, make and
accelerate are no commands of ours: `.ci/run` has `make quickstart` and `make test`, whose
set-up is the pip line, and test_docs_several_gpus.py runs the third.
"""

from __future__ import annotations

import json
import random
import re
import shlex
from pathlib import Path

import pytest
import yaml
from hub_cases import TOKEN, contents, hub_in_use
from typer.testing import CliRunner, Result

from lowres.cli import app
from lowres.recipe_publish import Publish

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parent.parent
FOREIGN = ("pip", "make", "accelerate", "python", "git")
HUB_ID = "intfloat/multilingual-e5-small"
BASES = ("e5-small", "xlm-roberta-base")
ANSWERS = "eng_Latn\nlao_Laoo\nclassification\nmydata/{lang}/{split}.tsv\n"
SENTENCES = ("The market sells {} fruit.", "The team won {} games.")
LINES = 960
"""Of raw text: three times what is held out by default, and some more."""
PAGE = ROOT / "docs" / "how-to" / "extend-and-adapt.md"
# made-up words of both scripts, none of which a tiny tokenizer has
SPOKEN = {
    "lao_Laoo": ("ຕະຫຼາດ", "ຫມາກໄມ້", "ຄູສອນ", "ນໍ້າ", "ແມ່ນ", "ຮ້ອນ"),
    "tzm_Tfng": ("ⵜⵓⵙⵓⵇⵜ", "ⵉⴳⵓⵎⴰ", "ⴰⵙⵍⵎⴰⴷ", "ⴰⵎⴰⵏ", "ⵜⵍⵍⴰ", "ⵔⵖⴰⵏ"),
}
ENGLISH = ("market", "fruit", "teacher", "river", "was", "hot")


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of a page, also those inside a list."""
    found = re.findall(
        rf"^( *)```{language}\n(.*?)^ *```", page.read_text(encoding="utf-8"), re.DOTALL | re.M
    )
    return [
        "\n".join(line.removeprefix(indent) for line in text.splitlines()) for indent, text in found
    ]


def lines(page: Path) -> list[str]:
    """Lines of a page's bash blocks, those that a backslash goes on after as one."""
    text = "\n".join(blocks(page, "bash")).replace("\\\n", " ")
    return text.splitlines()


def own_data(folder: Path) -> None:
    """The files that pages name: two topics, and text with its translation, line by line."""
    splits = {"eng_Latn": ("train", "dev", "test"), "lao_Laoo": ("test",)}
    splits["tzm_Tfng"] = ("train", "test")
    for language, its in splits.items():
        for split in its:
            rows = [
                f"{sentence.format(number)}\t{label}"
                for number in range(8)
                for label, sentence in zip(("food", "sports"), SENTENCES, strict=True)
            ]
            file = folder / "mydata" / language / f"{split}.tsv"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(["text\tlabel", *rows, ""]), encoding="utf-8")
    draw = random.Random(1)
    # the number makes lines different, so that none is left out as a double
    picks = [(number, draw.choices(range(6), k=draw.randint(3, 6))) for number in range(LINES)]
    (folder / "text").mkdir()
    for name, words in {**SPOKEN, "eng_Latn": ENGLISH}.items():
        text = "".join(f"{' '.join(words[i] for i in pick)} {number}\n" for number, pick in picks)
        (folder / "text" / f"{name}.txt").write_text(text, encoding="utf-8")


class Reader:
    """Does in one folder what the pages say, in their order."""

    def __init__(self, folder: Path, base: Path | str) -> None:
        self.folder = folder
        self.base = base
        self.done: list[str] = []

    def shell(self, line: str) -> None:
        """One line of a bash block."""
        line, pipe = self.real_folders(line.partition(" #")[0].strip()), None
        line, _, out = line.partition(" > ")
        if line.startswith("some-program | "):
            line, pipe = line.removeprefix("some-program | "), "one text\nanother text\n"
        words = shlex.split(line)
        if not words or words[0] in FOREIGN:
            return
        assert words[0] == "lowres", line
        if words[1] == "run":
            # a second run of the demonstration shows its override; named, it is gone on with
            unnamed = words[2] == "quickstart" and len(words) > 3 and "--out" not in words
            brief = ["train.steps=8"] if unnamed else []
            words += [*self.small(words[2]), *brief]
        if words[1] == "sweep":
            # Ray is no part of a test's process; test_sweeps_on_ray.py is about it
            # its four adapters are asked nothing afterwards, and need not learn
            brief = ["train.steps=8", "evaluate.baselines=[majority]"]
            words += [*self.small("")[1:-3], *brief, "--local"]
        if words[1] == "suggest":
            words += ["--base", str(self.base)]
        if words[1] in ("tokenizer", "adapt"):
            words = [str(self.base) if word in BASES else word for word in words]
        if words[1] == "adapt":
            words += ["--quantization", "none", "--steps", "4"]
        if words[1:] == ["new", "study.yaml"]:
            (self.folder / "study.yaml").unlink(missing_ok=True)
            pipe = ANSWERS
        result = CliRunner().invoke(app, words[1:], input=pipe)
        self.judge(line, words[1], result)
        if out:
            (self.folder / out.strip()).write_text(result.stdout, encoding="utf-8")
        self.done.append(line)

    def judge(self, line: str, command: str, result: Result) -> None:
        """A random base may collapse in a few steps: status 3 is fine after `run`."""
        fine = (0, 3) if command in ("run", "sweep") else (0,)
        assert result.exit_code in fine, f"{line}\n{result.output}\n{result.exception!r}"

    def python(self, block: str) -> None:
        """One Python block; the base that the run used stands for the one of the Hub."""
        code = self.real_folders(block).replace(HUB_ID, str(self.base))
        exec(compile(code, "docs", "exec"), {})
        self.done.append(block)

    def small(self, recipe: str) -> list[str]:
        """What makes a command take seconds; the last of two overrides counts."""
        targets = {"quickstart": "[swh_Latn]", "topics-sib200": "[arb_Arab, swh_Latn]"}
        chosen = ["base.quantization=none", "evaluate.bootstrap=100", "seeds=[1]"]
        # a random base is slow to take in what it reads
        chosen += ["train.steps=100", "train.learning_rate=0.003", "train.head_learning_rate=0.01"]
        if recipe in targets:
            chosen.append(f"languages.targets={targets[recipe]}")
        if self.adapts(recipe, "objective:"):  # which is trained four times or six
            chosen += ["adapt.steps=4"]
        if self.adapts(recipe, "adapt:"):
            chosen += ["evaluate.baselines=[majority]"]
        if recipe == "tamazight.yaml":
            chosen += ["train.steps=8"]
        return [f"base.name={self.base}", *chosen]

    def adapts(self, recipe: str, by: str) -> bool:
        """Whether a recipe of the reader's own has controls, which are trainings more, by a key."""
        file = self.folder / recipe
        return file.is_file() and by in file.read_text(encoding="utf-8")

    def real_folders(self, text: str) -> str:
        """`runs/study-<hash>` and `runs/quickstart-1a2b3c4d` are placeholders."""

        def newest(match: re.Match[str]) -> str:
            found = sorted(Path("runs").glob(f"{match[1]}-*"), key=lambda p: p.stat().st_mtime)
            assert found, f"{match[0]}: nothing ran before"
            return str(found[-1])

        return re.sub(r"runs/(\w+)-(?:<hash>|1a2b3c4d)", newest, text)


@pytest.fixture
def work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The reader's folder, with the files that pages name."""
    own_data(tmp_path)
    (tmp_path / "lines.txt").write_text("one text\nanother text\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return tmp_path


@pytest.fixture
def reader(work: Path, tiny_base: Path) -> Reader:
    return Reader(work, tiny_base)


def test_every_page_with_commands_is_read_here() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    commanding = {
        page.name
        for page in pages
        if any(line.startswith("lowres") for b in blocks(page, "bash") for line in b.splitlines())
    }
    read = {"README.md", "index.md", "tutorial.md", "use-an-adapter.md", "offline.md", PAGE.name}
    read |= {
        "augment.md",
        "few-labels.md",
        "translations.md",
        "publish.md",
        "strategies.md",
        "sweep.md",
        "several-gpus.md",
        "advisor.md",
        "no-gpu.md",
        "colab.md",
    }
    assert commanding == read


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/index.md",
        *(
            f"docs/how-to/{n}.md"
            for n in ("augment", "few-labels", "strategies", "no-gpu", "colab")
        ),
    ],
)
def test_the_pages_do_what_they_say(reader: Reader, page: str) -> None:
    for line in lines(ROOT / page):
        reader.shell(line)
    assert reader.done
    python = blocks(ROOT / page, "python")
    assert len(python) == (page == "README.md")
    for block in python:
        reader.python(block)


def test_the_tutorial_does_what_it_says(work: Path, tiny_unigram_base: Path) -> None:
    page, reader = ROOT / "docs" / "tutorial.md", Reader(work, tiny_unigram_base)
    (recipe,) = blocks(page, "yaml")
    assert yaml.safe_load(recipe)["name"] == "study"
    (work / "study.yaml").write_text(recipe, encoding="utf-8")
    for line in lines(page):
        reader.shell(line)
    assert len(reader.done) == 14
    systems = {path.name for path in work.glob("runs/study-*/shots/*")}
    assert systems == {"10", "all"}
    assert (work / "merged" / "config.json").is_file()


# what a random base learns in a few steps may be one class
@pytest.mark.filterwarnings("ignore:LowRes.* training:sklearn.exceptions.ConvergenceWarning")
def test_python_is_used_as_the_page_says(
    work: Path, tiny_unigram_base: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reader = Reader(work, tiny_unigram_base)
    keys = (key.split("=", 1) for key in reader.small("quickstart"))
    small = {key: yaml.safe_load(value) for key, value in keys}
    found = blocks(ROOT / "docs" / "how-to" / "python.md", "python")
    assert len(found) == 7
    # one after another in one session, as in a notebook
    session: dict[str, object] = {}
    for block in found:
        code = block.replace('{"base.name": "e5-small", "seeds": [1]}', repr(small))
        code = code.replace(
            '{"base.name": "e5-small", "seeds": [2]}', repr({**small, "seeds": [2]})
        )
        exec(
            compile(code.replace('"e5-small"', repr(str(reader.base))), "python.md", "exec"),
            session,
        )
    printed = capsys.readouterr().out
    for said in (
        "report.html",
        "begins: train/2",
        "on source dev",
        "script unknown",
        "tzm_Tfng",
        "zul_Latn",
    ):
        assert said in printed, said
    assert (work / "tzm-pieces" / "extension.json").is_file()
    assert (work / "topics-adapter" / "labels.json").is_file()


# between peft 0.21 and transformers 5.23; lowres itself keeps it quiet, the page's plain peft can't
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_an_adapter_is_used_as_the_page_says(reader: Reader) -> None:
    page = ROOT / "docs" / "how-to" / "use-an-adapter.md"
    reader.shell("lowres run quickstart")
    for line in lines(page):
        reader.shell(line)
    assert len((reader.folder / "answers.jsonl").read_text(encoding="utf-8").splitlines()) == 2
    python = blocks(page, "python")
    assert len(python) == 2
    for block in python:
        reader.python(block)


# the Hub's client uploads with what httpx2 says is deprecated
@pytest.mark.filterwarnings("ignore:Use 'content=<...>':DeprecationWarning")
def test_an_adapter_is_published_as_the_page_says(
    work: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page, base = ROOT / "docs" / "how-to" / "publish.md", "ada/tiny-base"
    with hub_in_use(monkeypatch, work, TOKEN) as hub:
        hub.add(base, contents(tiny_base), kind="models")
        reader = Reader(work, base)
        reader.shell("lowres run quickstart")
        for line in lines(page):
            reader.shell(line)
        assert "probe.json" in hub.files("ada/topics")
        (section,) = blocks(page, "yaml")
        Publish(**yaml.safe_load(section)["publish"])
    assert len(reader.done) == 4


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
def test_a_language_is_taught_as_the_page_says(work: Path, tiny_unigram_base: Path) -> None:
    reader = Reader(work, tiny_unigram_base)
    recipe, finished, switched, trimmed = blocks(PAGE, "yaml")
    (reader.folder / "tamazight.yaml").write_text(recipe, encoding="utf-8")
    for line in lines(PAGE):
        reader.shell(line)
    python = blocks(PAGE, "python")
    assert len(python) == 2
    for block in python:
        reader.python(block)
    smaller = recipe.replace("tokenizer:\n", trimmed.rstrip() + "\n", 1)
    assert smaller != recipe
    smaller += f"\n{switched}\n"
    (reader.folder / "smaller.yaml").write_text(smaller, encoding="utf-8")
    (reader.folder / "more.txt").write_text("And this.\n", encoding="utf-8")
    reader.shell("lowres validate smaller.yaml")
    assert (reader.folder / "tzm-pieces" / "extension.json").is_file()
    bare = recipe[: recipe.index("text:")].replace("name: tamazight", "name: standing")
    bare = bare.replace("  shots: [10, all]\n", "")
    (reader.folder / "standing.yaml").write_text(bare + finished, encoding="utf-8")
    reader.shell("lowres run standing.yaml train.steps=8")
    assert "What it is due to" in next(
        reader.folder.glob("runs/tamazight-*/report.html")
    ).read_text(encoding="utf-8")


def test_the_advisor_says_what_the_page_says(reader: Reader) -> None:
    for line in lines(ROOT / "docs" / "advisor.md"):
        reader.shell(line)
    assert len(reader.done) == 3
    said = json.loads((reader.folder / "advice.json").read_text(encoding="utf-8"))
    assert said["target"] == "tzm_Tfng"


def test_a_sweep_runs_as_the_page_says(reader: Reader) -> None:
    from lowres.sweeps import loading

    page = ROOT / "docs" / "how-to" / "sweep.md"
    grid, study, languages = blocks(page, "yaml")
    # the seeds that `small` sets are the file's own here
    own = f"{grid.replace('e5-small', str(reader.base))}"
    (reader.folder / "rates.yaml").write_text(own.replace("seeds: [1, 2]", ""), encoding="utf-8")
    for line in lines(page):
        reader.shell(line)
    assert len(reader.done) == 2
    assert (reader.folder / "runs" / "rates" / "sweep.csv").is_file()
    for text in (grid, study):
        (reader.folder / "read.yaml").write_text(text, encoding="utf-8")
        assert loading.cells(loading.load(Path("read.yaml")))
    (reader.folder / "read.yaml").write_text(languages, encoding="utf-8")
    assert loading.load(Path("read.yaml")).sweep.retries == 2


def test_sections_that_the_front_page_adds_make_a_recipe(reader: Reader) -> None:
    from lowres.recipe_loading import load

    (sections,) = blocks(ROOT / "README.md", "yaml")
    for line in lines(ROOT / "README.md"):
        if line.startswith("lowres new"):
            reader.shell(line)
    with Path("study.yaml").open("a", encoding="utf-8") as file:
        file.write(sections)
    recipe = load("study.yaml")
    assert recipe.text is not None
    assert Path(recipe.text.path("files", "lao_Laoo") or "").is_file()
    assert recipe.adapt is not None


@pytest.mark.data
def test_work_without_a_network_as_the_page_says(
    reader: Reader, shared_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # the page's ../shared/data is beside the folder in which it is read
    work = reader.folder / "work"
    work.mkdir()
    (reader.folder / "shared").mkdir()
    (reader.folder / "shared" / "data").symlink_to(shared_data, target_is_directory=True)
    monkeypatch.chdir(work)
    for line in lines(ROOT / "docs/how-to/offline.md"):
        reader.shell(line)
    assert len(reader.done) == 1
