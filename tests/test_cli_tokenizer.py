"""`lowres tokenizer`: what it prints, and what bad input gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from lowres.cli import app


def call(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["tokenizer", "diagnose", *map(str, words)])


@pytest.fixture
def yoruba(tmp_path: Path) -> Path:
    file = tmp_path / "yor.txt"
    file.write_text("Olùkọ́ ṣí fèrèsé nítorí pé yàrá náà gbóná.\n" * 200, encoding="utf-8")
    return file


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom lowres.cli import app\n"
        "try:\n    app(['tokenizer', 'diagnose', '--help'])\nexcept SystemExit as e:\n    pass\n"
        "heavy = ('torch', 'transformers', 'peft', 'datasets', 'numpy', 'regex')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_bases_side_by_side(
    yoruba: Path, tiny_base: Path, tiny_bpe_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    shown = call("--base", tiny_base, "--base", tiny_bpe_base, "--text", yoruba)
    assert shown.exit_code == 0, shown.stderr
    assert "yor.txt (letters: Latn; 200 lines, 1,600 words, 12,200 bytes)" in shown.stdout
    heads = [line for line in shown.stdout.splitlines() if str(tiny_base) in line]
    assert str(tiny_bpe_base) in heads[0]
    for said in (
        "pieces a word",
        "unreachable pieces",
        "verdict",
        "longest splits: ",
        "over 20% unknown",
    ):
        assert said in shown.stdout
    assert shown.stderr == ""


def test_json_has_all_of_it(yoruba: Path, tiny_unigram_base: Path, tmp_path: Path) -> None:
    other = tmp_path / "tzm.txt"
    other.write_text("ⵜⴰⵎⴰⵣⵉⵖⵜ ⴷ ⵜⵓⵜⵍⴰⵢⵜ\n", encoding="utf-8")
    shown = call(
        *("--base", tiny_unigram_base, "--text", yoruba, "--text", other, "--json"),
        *("--lang", "yor-Latn", "--lang", "tzm_Tfng"),
    )
    assert shown.exit_code == 0, shown.stderr
    first, second = json.loads(shown.stdout)["findings"]
    assert (first["language"], second["language"]) == ("yor_Latn", "tzm_Tfng")
    assert (first["verdict"], second["verdict"]) == ("fine", "script unknown")
    assert second["warnings"] == [
        "tzm.txt: 3 words are little (under 1,000): figures are noisy, --pieces can be a few "
        "hundred at most, and adapting the base to so little text is not worth a run"
    ]
    assert f"note: {second['warnings'][0]}\n" == shown.stderr
    assert {"fertility", "unknown_share", "longest", "tokens_p95"} <= first["measured"].keys()
    assert first["english"]["lines"] == 132
    assert first["unreachable"]["vocabulary"] > 200
    assert json.loads(shown.stdout)["thresholds"]["times_english"] == 1.5


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (b" \n\n", "holds no text"),
        (b"good text\nNUL \0 here\n", "a.txt:2: holds a NUL byte"),
        ("Ɓe ɗo\n".encode("utf-16"), "a.txt:1: is UTF-16"),
        (b"good\nplain\ncaf\xe9 ol\xe9\n", "a.txt:3: not UTF-8 (byte 0xe9)"),
        ("ⵜⴰⵎⴰⵣⵉⵖⵜ\n".encode(), "0% of its letters are Latn, as yor_Latn says, 100% Tfng"),
    ],
)
def test_bad_text_is_one_line_and_exit_2(
    content: bytes | None, says: str, tmp_path: Path, tiny_base: Path
) -> None:
    file = tmp_path / "a.txt"
    if content is not None:
        file.write_bytes(content)
    refused = call("--base", tiny_base, "--text", file, "--lang", "yor_Latn")
    assert refused.exit_code == 2
    last = refused.stderr.splitlines()[-1]
    assert says in last
    assert refused.stdout == ""
    assert all(line.startswith("note: ") for line in refused.stderr.splitlines()[:-1])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--base", "e5-smal"], "--base: unknown base 'e5-smal'; did you mean 'e5-small'?"),
        (["--base", "./nowhere"], "--base ./nowhere: no such folder"),
        (["--base", "e5-small", "--lang", "yoo_Latn"], "--lang: unknown language 'yoo'"),
        (["--base", "e5-small", "--lang", "a", "--lang", "b"], "--lang: given 2 times for 1"),
    ],
)
def test_bad_options_are_one_line_and_exit_2(words: list[str], says: str, yoruba: Path) -> None:
    refused = call("--text", yoruba, *words)
    assert refused.exit_code == 2
    assert says in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


def test_a_large_text_reports_itself(
    yoruba: Path, tiny_base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lowres import cli_tokenizer

    monkeypatch.setattr(cli_tokenizer, "BAR_FROM_BYTES", 100)
    shown = call("--base", tiny_base, "--text", yoruba)
    assert "yor.txt: 75%" in shown.stderr or "yor.txt: 100%" in shown.stderr


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_names_of_extensions_are_listed_whole(
    columns: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are what one copies into a recipe."""
    from lowres import prebuilt

    monkeypatch.setenv("COLUMNS", columns)
    shown = CliRunner().invoke(app, ["tokenizer", "ls"])
    assert shown.exit_code == 0, shown.stderr
    words = shown.stdout.split()
    assert [word for word in words if word.startswith("xlmr-")] == list(prebuilt.names())
    assert max(map(len, shown.stdout.splitlines()[:-1])) <= int(columns)
