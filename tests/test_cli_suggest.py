"""`lowres suggest`: what it prints, and what bad input gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

import lowres
from lowres import base_views, bases, source_views, uriel
from lowres.cli import app
from lowres.errors import LowresError

needs_package = pytest.mark.skipif(not uriel.present(), reason=f"no {uriel.PACKAGE}")


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["suggest", *map(str, words)])


@pytest.fixture
def files(tmp_path: Path) -> Path:
    for code, text in {"zul_Latn": "umfana uyadlala", "eng_Latn": "the boy plays"}.items():
        rows = "".join(f"{text} {n}\tx\n" for n in range(20))
        (tmp_path / f"{code}.tsv").write_text(f"text\tlabel\n{rows}", encoding="utf-8")
    for name, text in {"xho": "umntwana uyadlala", "eng": "the child plays"}.items():
        lines = "".join(f"{text} {n}\n" for n in range(300))
        (tmp_path / f"{name}.txt").write_text(lines, encoding="utf-8")
    return tmp_path


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom lowres.cli import app\n"
        "try:\n    app(['suggest', '--help'])\nexcept SystemExit as e:\n    pass\n"
        "heavy = ('torch', 'transformers', 'peft', 'datasets', 'numpy', 'urielplus')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


@needs_package
def test_all_of_it(files: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    shown = call(
        "--target", "xho-Latn", "--text", files / "xho.txt", "--task", "tagging",
        "--labelled", files / "zul_Latn.tsv", "--labelled", files / "eng_Latn.tsv",
        "--parallel", f"eng_Latn={files / 'eng.txt'}", "--base", tiny_base,
    )  # fmt: skip
    assert shown.exit_code == 0, shown.output
    for said in (
        "Xhosa (xho_Latn), Atlantic-Congo",
        "Zulu (zul_Latn)",
        "the same",
        "standing: how it did for ",
        "apart: in family and place",
        "letters: how alike text and examples are",
        "order: by the mean of the places in standing, letters, lines; apart counts 0.1 times as",
        f"find each other in {tiny_base}",
        "pieces a word   English's   unknown",
        "seen: whether its pretraining had xho_Latn",
        "train: ",
        "label: ",
    ):
        assert said in shown.stdout, said
    assert "script" not in shown.stdout.partition("standing:")[0], "all are in the target's"
    assert shown.stdout.index("zul_Latn") < shown.stdout.index("eng_Latn")


@needs_package
def test_a_target_without_text_is_told_what_can_be_said() -> None:
    shown = call("--target", "ssw_Latn", "--task", "tagging", "--json")
    assert shown.exit_code == 0, shown.output
    said = json.loads(shown.stdout)
    assert said["target"] == "ssw_Latn"
    assert len(said["sources"]) == 42
    assert all(s["shared"] is None and s["retrieval"] is None for s in said["sources"])
    assert {base["name"] for base in said["bases"]} == set(bases.ROWS)
    assert said["bases"][0] == {
        "name": "e5-small", "seen": False, "verdict": None, "reason": None, "measured": None,
        "unread": "without text its tokenizer is not looked at",
        "reasons": ["pretrained with no ssw_Latn"],
    }  # fmt: skip
    assert [step["word"] for step in said["steps"]] == ["collect text", "train", "label"]
    assert any("no --text" in note for note in said["notes"])
    assert "Adelani" in said["record"][0]["source"]


@needs_package
def test_a_column_has_figures_and_one_line_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = call("--target", "bam_Latn", "--task", "tagging").stdout
    table = shown[: shown.index("standing:")]
    (row,) = (line for line in table.splitlines() if "amh_Ethi" in line or "pcm_Latn" in line)
    assert row.split()[-4:-1] == ["(pcm_Latn)", "0.77", "0.53"]
    assert "letters" not in table
    assert "lines" not in table
    assert "the nearest is Wolof, and that is not near: take the order as a guess" in shown
    assert shown.count("entities (PER, ORG, LOC), mDeBERTaV3") == 1


@needs_package
def test_the_page_shows_what_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = Path(__file__).parent.parent / "docs" / "advisor.md"
    sample = page.read_text(encoding="utf-8").split("```text\n")[1].split("```")[0]
    printed = call("--target", "ssw_Latn", "--task", "tagging").stdout
    lines = [line.rstrip() for line in printed.splitlines()]
    for line in sample.splitlines():
        assert line in ("…", "") or line in lines, line


def test_what_travels_with_lowres_for_a_language_is_said() -> None:
    notes = json.loads(call("--target", "bam_Latn", "--json").stdout)["notes"]
    assert any("lowres show bam_Latn" in note for note in notes)
    assert any("tokenizer.extend.prebuilt: [xlmr-bam_Latn]" in note for note in notes)
    notes = json.loads(call("--target", "lug_Latn", "--json").stdout)["notes"]
    assert not any("travel" in note for note in notes)


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uriel, "present", lambda: False)
    shown = call("--target", "ssw_Latn", "--task", "tagging", "--json")
    assert shown.exit_code == 0, shown.output
    said = json.loads(shown.stdout)
    assert any("pip install 'lowres[advisor]'" in note for note in said["notes"])
    assert all(value is None for value in said["sources"][0]["distances"].values())
    assert said["sources"][0]["family"] is not None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--target", "xhosa"], "--target: 'xhosa' is no language code"),
        (["--target", "xho_Latn", "--task", "taging"], "did you mean 'tagging'?"),
        (["--target", "xho_Latn", "--base", "e5-smal"], "--base: unknown base 'e5-smal'"),
        (["--target", "xho_Latn", "--text", "nowhere.txt"], "--text nowhere.txt: no such file"),
        (["--target", "xho_Latn", "--parallel", "eng_Latn=x"], "give --text too"),
        (["--target", "xho_Latn", "--labelled", "zul_Latn=no.tsv"], "--labelled no.tsv: no such"),
        (["--target", "xho_Latn", "--labelled", "a.tsv", "b.tsv"], "--labelled ONE --labelled OTH"),
    ],
)
def test_bad_input(words: list[str], said: str) -> None:
    shown = call(*words)
    assert shown.exit_code == 2, shown.output
    assert said in shown.stderr
    assert len(shown.stderr.strip().splitlines()) == 1


def test_files_that_do_not_go_together(files: Path, tiny_base: Path) -> None:
    given = ("--target", "xho_Latn", "--text", files / "xho.txt", "--base", tiny_base)
    twice = [f"zul_Latn={files / 'zul_Latn.tsv'}"] * 2
    shown = call(*given, "--labelled", twice[0], "--labelled", twice[1])
    assert (shown.exit_code, "zul_Latn given twice" in shown.stderr) == (2, True)
    (files / "short.txt").write_text("one line\n", encoding="utf-8")
    shown = call(*given, "--parallel", f"eng_Latn={files / 'short.txt'}")
    assert shown.exit_code == 2
    assert "expected line i to translate line i" in shown.stderr
    shown = call(*given, "--parallel", files / "eng.txt")
    assert (shown.exit_code, "write whose it is" in shown.stderr) == (2, True)


@needs_package
def test_bases_that_are_not_named_are_looked_at_where_they_are(
    files: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One base is in the Hub client's cache, or out of the packages; the others are elsewhere."""
    here = bases.LocatedBase("LaBSE", str(tiny_base), "x/y", None, "cache")
    monkeypatch.setattr(bases, "at_hand", lambda row: here if row.name == "LaBSE" else None)
    shown = call("--target", "xho_Latn", "--text", files / "xho.txt", "--json")
    assert shown.exit_code == 0, shown.output
    first, *others = json.loads(shown.stdout)["bases"]
    assert (first["name"], first["unread"]) == ("LaBSE", None)
    assert first["measured"] is not None
    assert {other["unread"] for other in others} == {base_views.NOT_HERE}
    # XLM-R's hundred languages have Xhosa; nothing is known of mBERT's here
    assert others[0]["seen"] is True
    assert others[-1]["name"] == "minilm-en", "of English alone"
    drawn = call("--target", "xho_Latn", "--text", files / "xho.txt").stdout
    assert f"no figures: {base_views.NOT_HERE}" in drawn


@needs_package
def test_labels_of_the_target_are_counted(files: Path) -> None:
    own = f"xho_Latn={files / 'zul_Latn.tsv'}"
    shown = json.loads(call("--target", "xho_Latn", "--labelled", own, "--json").stdout)
    assert len(shown["sources"]) > 20, "those of the record"
    assert any("no --labelled files of other languages" in note for note in shown["notes"])
    last = shown["steps"][-1]
    assert last["why"].startswith("you have 20 labels: ")
    assert last["how"].startswith("languages.shots: [0, 20] measures what they bring")


def test_a_labelled_file_that_cannot_be_read_names_the_option(files: Path) -> None:
    for name, content, said in (
        ("odd.tsv", "text\tlabel\nsawubona\tx\ty\n", "read with quoting none; mend the row"),
        (
            "odd.tsv",
            'text\tlabel\n"a"\tx\n"b\tx\n"c"\tx\ty\n',
            "; double the quotes inside fields\n",
        ),
        ("odd.dat", "a", "says no format; give the file an ending that does (csv, tsv, jsonl,"),
        ("odd.conll", "a b c\nd e\n", "a blank line between sentences (read as conll)"),
        ("odd.tsv", "", "the file is empty"),
    ):
        odd = files / name
        odd.write_text(content, encoding="utf-8")
        shown = call("--target", "xho_Latn", "--labelled", f"zul_Latn={odd}")
        assert shown.exit_code == 2, shown.output
        assert shown.stderr.startswith(f"--labelled {odd}"), shown.stderr
        assert said in shown.stderr
        assert "data." not in shown.stderr


def test_a_text_in_another_script_names_the_option(files: Path) -> None:
    shown = call("--target", "amh_Ethi", "--text", files / "xho.txt")
    assert shown.exit_code == 2
    assert f"--text {files / 'xho.txt'}: 0% of its letters are Ethi" in shown.stderr


@needs_package
def test_from_python_it_says_the_same(files: Path, tiny_base: Path) -> None:
    said = lowres.suggest(
        "xho_Latn",
        text=files / "xho.txt",
        labelled={"zul_Latn": files / "zul_Latn.tsv", "eng_Latn": files / "eng_Latn.tsv"},
        parallel={"eng_Latn": files / "eng.txt"},
        task="tagging",
        bases=[tiny_base],
    )
    words = (
        "--target", "xho_Latn", "--text", files / "xho.txt", "--task", "tagging",
        "--labelled", files / "zul_Latn.tsv", "--labelled", files / "eng_Latn.tsv",
        "--parallel", f"eng_Latn={files / 'eng.txt'}", "--base", tiny_base, "--json",
    )  # fmt: skip
    assert json.loads(json.dumps(source_views.plain(said))) == json.loads(call(*words).stdout)
    assert said.sources[0].code == "zul_Latn"
    named = lowres.suggest("xho_Latn", labelled=[files / "zul_Latn.tsv"], bases=[tiny_base])
    assert [source.code for source in named.sources] == ["zul_Latn"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"labelled": ["x.tsv"]}, "labelled x.tsv: neither .* write labelled={'zul_Latn': FILE}"),
        ({"labelled": {"zul_Latn": "no.tsv"}}, "labelled no.tsv: no such file"),
        ({"parallel": {"zul_Latn": "no.txt"}}, "parallel: its lines translate those of text; give"),
        ({"bases": ["e5-smal"]}, "bases: unknown base 'e5-smal'"),
        ({"task": "taging"}, "task: unknown 'taging'; did you mean 'tagging'"),
        ({"text": "no.txt"}, "text no.txt: no such file"),
    ],
)
def test_errors_from_python_name_arguments(given: dict[str, Any], said: str) -> None:
    with pytest.raises(LowresError, match=f"^{said}"):
        lowres.suggest("xho_Latn", **given)
