"""Every line of bad input that a user may meet: exit 2, one line, no trace.

Through the real command and a real (tiny) base; what needs no data is in test_cli.py.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_server import Hub, serve
from typer.testing import CliRunner, Result

from lowres import contents, snapshots
from lowres.artifacts import RunFolder
from lowres.cli import app
from lowres.recipe_loading import dump, load

TRAIN = "text\tlabel\ngood day\tfine\nbad day\tpoor\nfair day\tfine\ngrim day\tpoor\n"
TEST = "text\tlabel\nsiku njema\tfine\nsiku mbaya\tpoor\n"


def refused(
    words: list[str],
    says: list[str],
    folder: Path,
    news: int = 0,
    command: tuple[str, ...] = ("run",),
) -> None:
    """After `news` lines of progress one line on standard error that says all this, exit 2, and
    nothing new in the folder."""
    before = sorted(folder.rglob("*"))
    result: Result = CliRunner().invoke(app, [*command, *words])
    assert result.exit_code == 2, (result.exit_code, result.output)
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == news + 1, result.stderr
    for words_of_it in says:
        assert words_of_it in lines[-1]
    assert sorted(folder.rglob("*")) == before


@pytest.fixture
def study(tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe, English and Swahili: the working folder of the test."""
    for language, splits in {"eng_Latn": ("train", "dev", "test"), "swh_Latn": ("test",)}.items():
        (tmp_path / language).mkdir()
        for split in splits:
            text = TEST if language == "swh_Latn" else TRAIN
            (tmp_path / language / f"{split}.tsv").write_text(text, encoding="utf-8")
    (tmp_path / "study.yaml").write_text(
        f"name: study\nbase: {{name: {tiny_base}, quantization: none}}\n"
        "languages: {source: eng_Latn, targets: [swh_Latn]}\n"
        "data: {files: '{lang}/{split}.tsv'}\ntask: {name: classification}\n",
        encoding="utf-8",
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA: dict[str, tuple[str, bytes | None, list[str], list[str]]] = {
    # what: file, its content (None: none), overrides, what the line says
    "missing": ("swh_Latn/test.tsv", None, [], ["swh_Latn/test.tsv", "data.files"]),
    "empty": ("eng_Latn/train.tsv", b"", [], ["eng_Latn/train.tsv", "empty"]),
    "no rows": ("swh_Latn/test.tsv", b"text\tlabel\n", [], ["swh_Latn/test.tsv", "no examples"]),
    "empty source": (
        "eng_Latn/train.tsv",
        b"text\tlabel\n",
        [],
        ["eng_Latn train has no examples"],
    ),
    "latin-1": (
        "swh_Latn/test.tsv",
        "text\tlabel\ncafé\tfine\n".encode("latin-1"),
        [],
        ["swh_Latn/test.tsv:2", "not UTF-8", "iconv"],
    ),
    "utf-16": ("swh_Latn/test.tsv", TEST.encode("utf-16"), [], ["UTF-16", "iconv"]),
    "ragged": (
        "eng_Latn/train.tsv",
        f"{TRAIN}one\ttwo\tthree\n".encode(),
        [],
        ["eng_Latn/train.tsv:6", "3 fields where the header has 2"],
    ),
    "wrong column": (
        "swh_Latn/test.tsv",
        TEST.replace("label", "colour").encode(),
        ["data.columns={label: topic}"],
        ["topic"],
    ),
    "no such column": (
        "swh_Latn/test.tsv",
        TEST.replace("text", "words").encode(),
        [],
        ["swh_Latn/test.tsv", "text", "words", "data.columns"],
    ),
    "unseen label": (
        "swh_Latn/test.tsv",
        f"{TEST}siku\tsacred\n".encode(),
        [],
        ["swh_Latn/test.tsv:4", "'sacred'", "data.unseen_labels"],
    ),
    "one label": ("eng_Latn/train.tsv", b"text\tlabel\na\tfine\nb\tfine\n", [], ["one label"]),
    "another format": ("swh_Latn/test.tsv", TEST.encode(), ["data.format=conllu"], ["conllu"]),
    "unknown ending": (
        "swh_Latn/test.xyz",
        TEST.encode(),
        ["data.files={lang}/{split}.xyz"],
        ["eng_Latn/train.xyz"],
    ),
}


@pytest.mark.parametrize("what", DATA)
def test_data(study: Path, what: str) -> None:
    file, content, overrides, says = DATA[what]
    if content is None:
        (study / file).unlink()
    else:
        (study / file).write_bytes(content)
    refused(["study.yaml", *overrides], says, study)


def test_languages_whose_files_are_not_there(study: Path) -> None:
    words = ["study.yaml", "data.files={lang}/{split}.tsv", "languages.targets=[swh_Latn,lao_Laoo]"]
    refused(words, ["lao_Laoo/test.tsv", "swh_Latn"], study)
    (study / "lao_Laoo").mkdir()
    (study / "lao_Laoo" / "test.tsv").write_text(TEST, encoding="utf-8")
    valid = CliRunner().invoke(app, ["validate", *words])
    assert valid.exit_code == 0, valid.stderr


@pytest.mark.data
def test_languages_of_a_real_set(shared_data: Path) -> None:
    words = ["topics-sib200", "base.name=e5-small", f"data.files={shared_data}/sib200"]
    words[-1] += "/{lang}/{split}.tsv"
    valid = CliRunner().invoke(app, ["validate", *words, "languages.targets=[swh_Latn]"])
    assert valid.exit_code == 0, valid.stderr
    missing = CliRunner().invoke(app, ["validate", *words, "languages.targets=[swh_Latn,lao_Laoo]"])
    assert missing.exit_code == 2
    assert "lao_Laoo/test.tsv" in missing.stderr
    assert len(missing.stderr.splitlines()) == 1


def no_encoder(folder: Path) -> None:
    (folder / "config.json").write_text(
        '{"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}'
    )


def no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").unlink(missing_ok=True)


def no_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_weights(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


@pytest.mark.parametrize(
    ("harm", "says"),
    [
        (no_encoder, ["GPT2LMHeadModel", "encoders"]),
        (no_tokenizer, ["no fast tokenizer"]),
        (no_config, ["no config.json"]),
        (broken_config, ["config.json", "not JSON"]),
        (no_weights, ["no model.safetensors"]),
        (pickled, ["base.allow_pickle"]),
    ],
)
def test_base(study: Path, tiny_base: Path, harm: Callable[[Path], None], says: list[str]) -> None:
    folder = study / "base"
    shutil.copytree(tiny_base, folder)
    harm(folder)
    refused(["study.yaml", f"base.name={folder}"], says, study)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("e5-smal", ["did you mean 'e5-small'?", "lowres ls bases"]),
        ("./nowhere", ["./nowhere", "no such folder"]),
        ("someone/encoder", ["HF_HUB_OFFLINE", "model.safetensors", "base.name to a folder"]),
    ],
)
def test_base_name(study: Path, name: str, says: list[str]) -> None:
    refused(["study.yaml", f"base.name={name}"], says, study)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A Hub on the loopback, with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path_factory.mktemp("hub")))
    with serve(Hub()) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.endpoint)
        snapshots._answers.cache_clear()
        yield served
    snapshots._answers.cache_clear()


@pytest.mark.parametrize("key", ["base.name", "data.hub"])
@pytest.mark.parametrize(
    ("refusal", "says"),
    [((404, "RepoNotFound"), "is private"), ((403, "GatedRepo"), "gated")],
    ids=["missing", "gated"],
)
def test_hub_id(study: Path, hub: Hub, key: str, refusal: tuple[int, str], says: str) -> None:
    hub.refusal = refusal
    words = [f"{key}=someone/thing"]
    if key == "data.hub":
        words += ["data.files=null", "data.config={lang}"]
    says_all = [
        "someone/thing",
        says,
        "hf auth login",
        "folder" if key == "base.name" else "files=",
    ]
    refused(["study.yaml", *words], says_all, study)


def test_data_of_the_hub_without_a_network(study: Path) -> None:
    words = ["data.hub=someone/thing", "data.files=null", "data.config={lang}"]
    refused(["study.yaml", *words], ["no network", "someone/thing", "data.files="], study)


def test_folders_that_cannot_be_used(study: Path) -> None:
    """With another recipe's run, with something else, held by another process, or a file."""
    (study / "run").mkdir()
    (study / "run" / "recipe.yaml").write_text("name: other\n")
    refused(["study.yaml", "--out", "run"], ["another recipe", "--out"], study)
    refused(["study.yaml", "--out", "eng_Latn"], ["no run of lowres", "--out"], study)
    refused(["study.yaml", "--out", "study.yaml"], ["a file stands"], study)
    refused(["study.yaml", "--out", "study.yaml/run"], ["cannot be written"], study)
    with RunFolder(study / "held").locked(dump(load("study.yaml"))):
        refused(["study.yaml", "--out", "held"], ["another process", "--out"], study)
    assert not (study / "held").exists()


@pytest.mark.parametrize(
    ("task", "fault"),
    [("taging", "did you mean 'tagging'?"), ("", "task.name")],
)
def test_task(study: Path, task: str, fault: str) -> None:
    refused(["study.yaml", f"task.name={task}"], [fault], study)


def test_a_machine_that_is_too_small(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own error at the first step; the line says what to change."""
    import torch

    from lowres import model

    def full(*args: Any, **known: Any) -> None:
        raise torch.OutOfMemoryError(
            "CUDA out of memory. Tried to allocate 2.00 GiB.\nSee the docs"
        )

    monkeypatch.setattr(model, "load_base", full)
    says = [
        "train: out of memory",
        "2.00 GiB",
        "gradient_checkpointing=true",
    ]
    refused(["study.yaml"], says, study, news=1)


def test_predict(study: Path, tiny_base: Path) -> None:
    """A folder without an adapter, of another tool, and of a run that collapsed."""
    other = study / "other"
    other.mkdir()
    (other / "adapter_config.json").write_text(json.dumps({"base_model_name_or_path": "x/y"}))
    run = study / "run" / "train" / "1"
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps({"notes": {"status": "collapsed", "dev": 0.1}}))
    for words, says in [
        ([str(study)], "no adapter here"),
        ([str(other)], "labels.json"),
        ([str(study / "run")], "train/1/adapter (collapsed)"),
        ([str(other), "text", "--file", "study.yaml"], "not both"),
        ([str(other), "--file", "nowhere.txt"], "--file nowhere.txt"),
    ]:
        result = CliRunner().invoke(app, ["predict", *words])
        assert result.exit_code == 2, result.output
        assert says in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_weights_that_are_cut_off(study: Path, tiny_base: Path) -> None:
    """Seen only when they are loaded, after the line of news that names the run."""
    shutil.copytree(tiny_base, study / "base")
    cut_weights(study / "base")
    refused(["study.yaml", f"base.name={study / 'base'}"], ["weights in", "again"], study, news=1)


def test_a_folder_where_a_file_should_be(study: Path) -> None:
    (study / "swh_Latn" / "test.tsv").unlink()
    (study / "swh_Latn" / "test.tsv").mkdir()
    refused(["study.yaml"], ["swh_Latn/test.tsv is a folder, expected a file"], study)


def test_spans_where_no_tag_begins_one(study: Path) -> None:
    for file in study.glob("*/*.tsv"):
        file.with_suffix(".txt").write_text("a NOUN\nb VERB\n\nc NOUN\n", encoding="utf-8")
    words = ["study.yaml", "task.name=tagging", "data.files={lang}/{split}.txt"]
    says = ["evaluate.metrics: span_f1 cannot score", "no label begins with B-"]
    refused([*words, "evaluate.metrics=span_f1"], says, study)


def test_sources_with_other_labels_are_refused_before_a_run(study: Path) -> None:
    (study / "yor_Latn").mkdir()
    for split in ("train", "dev", "test"):
        renamed = TRAIN.replace("fine", "fines")
        (study / "yor_Latn" / f"{split}.tsv").write_text(renamed, encoding="utf-8")
    words = ["study.yaml", "languages.source=[eng_Latn, yor_Latn]"]
    says = ["different label sets: eng_Latn never shows fines; yor_Latn never shows fine;"]
    for command in ("validate", "run"):
        refused(words, says, study, command=(command,))


def test_a_lexicon_that_is_the_wrong_way_round_is_refused_before_a_run(study: Path) -> None:
    ways = "train.augment=[{name: code_switch, lexicon: '{lang}.tsv'}]"
    listed = study / "swh_Latn.tsv"
    listed.write_text("siku\tday\nnjema\tgood\nmbaya\tbad\n", encoding="utf-8")
    says = ["swh_Latn.tsv: is the wrong way round", "swap its columns"]
    for command in ("validate", "run"):
        refused(["study.yaml", ways], says, study, command=(command,))
    listed.write_text("day\tsiku\ngood\tnjema\nbad\tmbaya\n", encoding="utf-8")
    valid = CliRunner().invoke(app, ["validate", "study.yaml", ways])
    assert (valid.exit_code, valid.stdout) == (0, "study.yaml: valid\n"), valid.stderr


def test_what_is_not_read_is_said(study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (study / "swh_Latn" / "test.tsv").write_text(TEST.replace("poor", "mean"), encoding="utf-8")
    refused(["study.yaml"], ["never shows: swh_Latn test: 'mean'"], study, command=("validate",))
    monkeypatch.setattr(contents, "MOST_MB", 1e-5)
    valid = CliRunner().invoke(app, ["validate", "study.yaml"])
    assert valid.exit_code == 0, valid.stderr
    assert "MB of labelled data: what is in it is checked by the run)" in valid.stdout
    monkeypatch.setattr(contents, "MOST_MB", 5)
    (study / "swh_Latn" / "test.tsv").rename(study / "swh_Latn" / "test.parquet")
    split = ["data.source={files: '{lang}/{split}.tsv'}", "data.files='{lang}/{split}.parquet'"]
    valid = CliRunner().invoke(app, ["validate", "study.yaml", *split])
    assert "in Parquet: what is in it is checked by the run" in valid.stdout, valid.stderr
