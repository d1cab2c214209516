"""Bad input of what works on raw text: `lowres tokenizer extend`, `lowres adapt`, such recipes.

As in test_bad_input.py: exit 2, one line, no trace, through the real command and a tiny base.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_bad_input import refused

from lowres import extension
from lowres.artifacts import new_folder

EXTEND, ADAPT, RUN = ("tokenizer", "extend"), ("adapt",), ("run",)
LINES, HELD = 200, 30
TAMAZIGHT = ("ⵜⵓⵙⵓⵇⵜ", "ⵉⴳⵓⵎⴰ", "ⴰⵙⵍⵎⴰⴷ", "ⴰⵎⴰⵏ", "ⵜⵍⵍⴰ", "ⵔⵖⴰⵏ")
ENGLISH = ("market", "fruit", "teacher", "river", "was", "hot")


@pytest.fixture
def folder(tmp_path: Path, tiny_unigram_base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of the test: text, its translation, labelled data, a recipe."""
    draw = random.Random(1)
    picks = [draw.choices(range(6), k=draw.randint(3, 9)) for _ in range(LINES)]
    for name, words in (("tzm_Tfng", TAMAZIGHT), ("eng_Latn", ENGLISH)):
        lines = "".join(" ".join(words[i] for i in pick) + "\n" for pick in picks)
        (tmp_path / f"{name}.txt").write_text(lines, encoding="utf-8")
        (tmp_path / name).mkdir()
        for split in ("train", "dev", "test"):
            rows = f"text\tlabel\n{words[0]}\tfine\n{words[1]}\tpoor\n"
            (tmp_path / name / f"{split}.tsv").write_text(rows, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        f"name: study\nbase: {{name: {tiny_unigram_base}, quantization: none}}\n"
        "languages: {source: eng_Latn, targets: tzm_Tfng}\n"
        "data: {files: '{lang}/{split}.tsv'}\ntask: {name: classification}\n"
        f"text: {{files: '{{lang}}.txt', translations: eng_Latn.txt, held_out: {HELD}}}\n"
        "tokenizer: {extend: {pieces: 10}}\nadapt: {steps: 2, batch: 4}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(command: tuple[str, ...], base: Path, text: str, *more: str) -> list[str]:
    """The arguments of a command that would do its work, and `more`, which spoils it."""
    fixed = ["--base", str(base), "--text", text, "--out", "made", "--held-out", str(HELD)]
    if command == ADAPT:
        fixed += ["--quantization", "none", "--steps", "2", "--batch", "4"]
    return [*fixed, *more]


TEXTS: dict[str, tuple[str, bytes | None, list[str], list[str]]] = {
    # what: the text's file, its content (None: none), more words, what the line says
    "missing": ("hau_Latn.txt", None, [], ["hau_Latn.txt", "no such file"]),
    "a folder": ("tzm_Tfng", None, [], ["tzm_Tfng", "is a folder"]),
    "empty": ("hau_Latn.txt", b"", [], ["hau_Latn.txt", "the file is empty"]),
    "blank": ("hau_Latn.txt", b" \n\n" * 60, [], ["hau_Latn.txt", "only blank lines"]),
    "no language": ("notes.txt", b"good\n" * 120, [], ["notes.txt", "--lang"]),
    "unknown language": (
        "a.txt",
        b"good\n" * 120,
        ["--lang", "yoo_Latn"],
        ["unknown language 'yoo'"],
    ),
    "another script": (
        "tzm_Tfng.txt",
        b"good day\n" * 120,
        [],
        ["0% of its letters are Tfng", "100% Latn", "tzm_Latn"],
    ),
    "too little": (
        "hau_Latn.txt",
        b"good day\n" * 89,
        [],
        ["--text hau_Latn.txt: 89 lines", "--held-out 30", "give 90 or more"],
    ),
    "NUL": ("hau_Latn.txt", b"good\n" * 119 + b"bad \0\n", [], ["hau_Latn.txt:120", "NUL"]),
    "latin-1": ("hau_Latn.txt", b"good\n" * 119 + b"caf\xe9\n", [], ["hau_Latn.txt:120", "iconv"]),
    "utf-16": ("hau_Latn.txt", "good\n".encode("utf-16"), [], ["hau_Latn.txt:1", "UTF-16"]),
    "no translation": ("tzm_Tfng.txt", None, ["--translation", "none.txt"], ["none.txt: no such"]),
    "two lines fewer": (
        "tzm_Tfng.txt",
        None,
        ["--translation", "short.txt"],
        [f"{LINES} lines", f"short.txt: {LINES - 2}", "line i"],
    ),
    "no word list": (
        "tzm_Tfng.txt",
        None,
        ["--translation", "eng_Latn.txt", "--lexicon", "short.txt"],
        ["short.txt:1: expected `translation TAB word`"],
    ),
    "held out": ("tzm_Tfng.txt", None, ["--held-out", "3"], ["--held-out: input should be"]),
}


@pytest.mark.parametrize("command", [EXTEND, ADAPT], ids=" ".join)
@pytest.mark.parametrize("what", TEXTS)
def test_text(folder: Path, tiny_unigram_base: Path, what: str, command: tuple[str, ...]) -> None:
    file, content, more, says = TEXTS[what]
    if content is not None:
        (folder / file).write_bytes(content)
    (folder / "short.txt").write_text("one line\n" * (LINES - 2), encoding="utf-8")
    refused(words(command, tiny_unigram_base, file, *more), says, folder, command=command)


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--pieces", "0"], ["--pieces: expected auto, or a whole number", "not 0"]),
        (["--pieces", "many"], ["--pieces", "'many'"]),
        (["--pieces", "90000"], ["--pieces 90000: the text offers", "or fewer, write auto"]),
        (["--init", "aling"], ["unknown initialisation 'aling'; did you mean 'align'?"]),
        (["--init", "align"], ["--init align: needs parallel text (--translation)", "--init auto"]),
        (["--init", "lexicon"], ["init lexicon: needs a word list"]),
        (["--keep", "none.txt"], ["none.txt: no such file"]),
        (["--base", "e5-smal"], ["--base", "did you mean 'e5-small'?"]),
    ],
)
def test_extend(folder: Path, tiny_unigram_base: Path, more: list[str], says: list[str]) -> None:
    refused(words(EXTEND, tiny_unigram_base, "tzm_Tfng.txt", *more), says, folder, command=EXTEND)


def test_a_text_that_offers_nothing(folder: Path, tiny_unigram_base: Path) -> None:
    """Its words are as short as the pieces that there are."""
    draw = random.Random(1)
    lines = "".join(" ".join(draw.choices("aeiou", k=9)) + "\n" for _ in range(LINES))
    (folder / "eng_Latn.txt").write_text(lines, encoding="utf-8")
    says = ["offers no piece", "lacks", "leave tokenizer.extend out"]
    refused(words(EXTEND, tiny_unigram_base, "eng_Latn.txt"), says, folder, command=EXTEND)


@pytest.mark.parametrize("command", [EXTEND, ADAPT], ids=" ".join)
def test_a_text_of_one_line_again_and_again(
    folder: Path, tiny_unigram_base: Path, command: tuple[str, ...]
) -> None:
    """Nothing is left to learn from: all of it is held out."""
    (folder / "hau_Latn.txt").write_text("one line\n" * LINES, encoding="utf-8")
    says = ["hau_Latn.txt: nothing to learn from", "held out"]
    refused(words(command, tiny_unigram_base, "hau_Latn.txt"), says, folder, command=command)


def test_a_tokenizer_of_no_known_family(folder: Path, tiny_unigram_base: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    base = folder / "base"
    shutil.copytree(tiny_unigram_base, base)
    for file in base.glob("*token*"):
        file.unlink()
    other = Tokenizer(models.WordLevel({"<unk>": 0, "hot": 1}, unk_token="<unk>"))
    other.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=other, unk_token="<unk>").save_pretrained(base)
    says = ["WordLevel", "Unigram", "WordPiece", "byte-level BPE"]
    refused(words(EXTEND, base, "tzm_Tfng.txt"), says, folder, command=EXTEND)


def test_sigterm_while_extending_leaves_nothing(folder: Path, tiny_unigram_base: Path) -> None:
    draw = random.Random(1)
    made_up = ["".join(draw.choices(TAMAZIGHT[0] + TAMAZIGHT[1], k=9)) for _ in range(20_000)]
    lines = "".join(" ".join(draw.choices(made_up, k=12)) + "\n" for _ in range(20_000))
    (folder / "tzm_Tfng.txt").write_text(lines, encoding="utf-8")
    command = [sys.executable, "-m", "lowres", *EXTEND]
    given = words(EXTEND, tiny_unigram_base, "tzm_Tfng.txt")
    process = subprocess.Popen([*command, *given], stderr=subprocess.PIPE, text=True)
    partial = folder / ".made.partial"
    while process.poll() is None and not partial.exists():
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[1].splitlines()
    assert process.returncode == 130
    assert said[-1] == "interrupted; give the same command again to go on"
    assert not partial.exists()
    assert not (folder / "made").exists()


PARALLEL = ["--translation", "eng_Latn.txt"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ([], ["has no parallel text", "mlm"]),
        (["--objective", "algin"], ["--objective", "did you mean 'align'?"]),
        (["--objective", "mlm"], ["no masked-LM head", "align", "XLM-R, mBERT or mmBERT"]),
        ([*PARALLEL, "--objective", "both"], ["no masked-LM head", "XLMRobertaModel"]),
        ([*PARALLEL, "--batch", "1"], ["--batch: input should be"]),
        ([*PARALLEL, "--quantization", "2bit"], ["--quantization: input should be '8bit'"]),
        ([*PARALLEL, "--steps", "0"], ["--steps: input should be"]),
        ([*PARALLEL, "--warmup", "1"], ["--warmup: input should be less than 1"]),
        ([*PARALLEL, "--max-tokens", "3"], ["--max-tokens: input should be greater than"]),
        ([*PARALLEL, "--temperature", "0"], ["--temperature: input should be greater than 0"]),
        ([*PARALLEL, "--contrast", "nan"], ["--contrast: input should be a finite number"]),
        (["--objective", "mlm", "--mask-share", "1.5"], ["--mask-share: input should be less"]),
        (["--objective", "both", "--mlm-share", "0"], ["--mlm-share: input should be greater"]),
        (
            [*PARALLEL, "--whole-words", "--mlm-share", "0.4"],
            ["--objective align has no use for --whole-words and --mlm-share", "--objective both"],
        ),
        (["--objective", "mlm", "--contrast", "2"], ["no use for --contrast", "align or both"]),
        ([*PARALLEL, "--extension", "eng_Latn"], ["--extension eng_Latn", "no extension.json"]),
        ([*PARALLEL, "--base", "./none"], ["./none: no such folder"]),
    ],
)
def test_adapt(folder: Path, tiny_unigram_base: Path, more: list[str], says: list[str]) -> None:
    refused(words(ADAPT, tiny_unigram_base, "tzm_Tfng.txt", *more), says, folder, command=ADAPT)


@pytest.mark.parametrize("command", [EXTEND, ADAPT], ids=" ".join)
@pytest.mark.parametrize("out", ["eng_Latn", "study.yaml"])
def test_a_place_that_is_taken(
    folder: Path, tiny_unigram_base: Path, out: str, command: tuple[str, ...]
) -> None:
    given = words(command, tiny_unigram_base, "tzm_Tfng.txt", *PARALLEL, "--out", out)
    refused(given, [f"--out {out}: exists already"], folder, command=command)


@pytest.fixture
def pieces(folder: Path, tiny_unigram_base: Path) -> Path:
    """An extension that `lowres tokenizer extend` wrote."""
    from lowres import bases, material, text_options
    from lowres.extend import extend

    described = text_options.text([Path("tzm_Tfng.txt")], None, None, None, HELD)
    with new_folder(folder / "pieces", "--out") as made:
        located = bases.locate(str(tiny_unigram_base))
        options = text_options.extend("10", "mean", [])
        extend(options, located, material.load(described, ()), made)
    return folder / "pieces"


@pytest.mark.parametrize(
    ("shape", "says"),
    [
        ((9, 32), ["rows.safetensors", "[9, 32]", "each of the 10 pieces"]),
        ((10, 16), ["[10, 16]", "expected [pieces, 32]", "another base"]),
        (None, ["has no rows.safetensors"]),
    ],
)
def test_rows_of_another_size(
    folder: Path,
    pieces: Path,
    tiny_unigram_base: Path,
    shape: tuple[int, int] | None,
    says: list[str],
) -> None:
    if shape is None:
        (pieces / extension.ROWS).unlink()
    else:
        extension.write_rows(pieces, np.zeros(shape, dtype=np.float32))
    more = [*PARALLEL, "--extension", "pieces"]
    refused(words(ADAPT, tiny_unigram_base, "tzm_Tfng.txt", *more), says, folder, command=ADAPT)


def test_an_extension_of_another_base(folder: Path, pieces: Path, tiny_base: Path) -> None:
    more = [*PARALLEL, "--extension", "pieces"]
    says = ["--extension pieces: extends another vocabulary", "extend this base's tokenizer"]
    refused(words(ADAPT, tiny_base, "tzm_Tfng.txt", *more), says, folder, command=ADAPT)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["text.files=none.txt"], ["text.files none.txt: no such file"]),
        (["text.files=eng_Latn.txt"], ["0% of its letters are Tfng", "100% Latn"]),
        (["text.translations=study.yaml"], [f"{LINES} lines", "text.translations study.yaml: 8"]),
        (["text.lexicon=eng_Latn.txt"], ["eng_Latn.txt:1: expected `translation TAB word`"]),
        (["text.held_out=100"], ["text.held_out 100", "give 300 or more"]),
        (["text.files={hau_Latn: a}"], ["names no file for tzm_Tfng", "text.languages"]),
        (["tokenizer.extend.pieces=90000"], ["the text offers", "or fewer"]),
        (["tokenizer.extend.keep=none.txt"], ["tokenizer.extend.keep none.txt: no such file"]),
        (
            ["tokenizer.extend={prebuilt: none}"],
            ["prebuilt: unknown 'none'", "lowres tokenizer ls"],
        ),
        (["adapt.objective=mlm"], ["adapt.objective mlm", "no masked-LM head"]),
    ],
)
def test_a_study(folder: Path, overrides: list[str], says: list[str]) -> None:
    """Seen once the base is there, after the line of news that names the run."""
    refused(["study.yaml", *overrides], says, folder, news=1, command=RUN)


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["text.files=none.txt"], ["text.files none.txt: no such file"]),
        (["text.translations=none.txt"], ["text.translations none.txt: no such file"]),
        (["text.lexicon=none.txt"], ["text.lexicon none.txt: no such file"]),
        (["tokenizer.extend.keep=none.txt"], ["tokenizer.extend.keep none.txt: no such file"]),
        (["tokenizer.trim.keep_text=none.txt"], ["trim.keep_text none.txt: no such file"]),
        (
            ["tokenizer.extend={prebuilt: xlmr-tzm_Tfgn}"],
            ["tokenizer.extend.prebuilt: unknown", "did you mean 'xlmr-tzm_Tfng'"],
        ),
        (
            ["tokenizer.extend.prebuilt=xlmr-tzm_Tfng", "tokenizer.extend.keep=eng_Latn.txt"],
            ["no use for tokenizer.extend.pieces and tokenizer.extend.keep"],
        ),
        (["adapt.mask_share=0.3"], ["adapt.objective align has no use for adapt.mask_share"]),
    ],
)
def test_validate_looks_for_every_file(folder: Path, overrides: list[str], says: list[str]) -> None:
    refused(["study.yaml", *overrides], says, folder, command=("validate",))
