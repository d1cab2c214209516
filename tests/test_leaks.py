"""What is never in a repository, whatever lies in the folder."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from hub_cases import TOKEN
from safetensors.numpy import save_file

from lowres import leaks
from lowres.errors import RunError

SENTENCE = "one two three four five six."
PAIR = 'ẹ̀kọ́ ń lọ síwájú ní "ilé-ìwé" wa lónìí'
UNSPACED = "孩子们早上去学校了因为今天有一场很重要的考试大家都很高兴"
TEXTS = [SENTENCE, PAIR, UNSPACED, "too short a one", "x " * 9]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    made = tmp_path / "repository"
    made.mkdir()
    (made / "README.md").write_text("# x\n")
    return made


def write(folder, name, content):
    file = folder / name
    file.parent.mkdir(exist_ok=True, parents=True)
    file.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("training_args.bin", b"\x80\x04", "training_args.bin: a pickle can run code"),
        ("WEIGHTS.BIN", b"\x80\x04", "WEIGHTS.BIN: a pickle can run code"),
        ("more/optimizer.pt", b"PK", "more/optimizer.pt: a pickle can run code"),
        ("vectors.npz", b"PK", "vectors.npz: a pickle can run code"),
        ("vectors.npy", b"PK", "vectors.npy: a pickle can run code"),
        ("all.zip", b"PK", "all.zip: a pickle can run code"),
        ("modeling.py", b"import os", "modeling.py: a pickle can run code"),
        ("adapter.safetensors", b"\x80\x04K\x01.", "adapter.safetensors: a pickle can run code"),
        ("notes.txt", b"hf_" + b"a1B2" * 8, "notes.txt: holds what looks like a Hub token"),
        ("own.json", TOKEN.encode(), "own.json: holds what looks like a Hub token"),
        ("paths.json", b'"/home/me/secret/x"', "paths.json: names a path of this machine"),
        ("recipe.yaml", b"x: /mnt/corpora/x.tsv", "names a path of this machine (/mnt/corpora/)"),
        ("recipe.yaml", rb"x: D:\\work\\x.tsv", "recipe.yaml: names a path of this machine"),
        ("data.txt", b"> one two three four five six.", "data.txt: holds a sentence of the data"),
        (
            "recipe.yaml",
            b"q: one two\n  three four\n  five six. Or",
            "holds a sentence of the data",
        ),
        ("labels.json", json.dumps([PAIR]).encode(), "labels.json: holds a sentence"),
        ("README.md", UNSPACED.encode(), "README.md: holds a sentence of the data"),
        ("notes.txt", b"ask Eve", "notes.txt: is no file of an adapter"),
        ("adapters/yor_Latn/notes.json", b"{}", "adapters/yor_Latn/notes.json: is no file of"),
        ("more/labels.json", b"{}", "more/labels.json: is no file of an adapter"),
        ("labels.json", b"", "labels.json: 0.0 MB, expected more than nothing"),
    ],
)
def test_what_must_not_be_published(folder, name, content, says):
    paths = {"/mnt/corpora/", "D:\\work\\"}
    leaks.check(folder, TEXTS, paths)
    write(folder, name, content)
    with pytest.raises(RunError, match=re.escape(says)) as caught:
        leaks.check(folder, TEXTS, paths)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_too_large(folder, monkeypatch):
    monkeypatch.setattr(leaks, "MOST_BYTES", {"": 2_000_000, leaks.WEIGHTS: 10})
    write(folder, "results.json", b"1" * 2_100_000)
    with pytest.raises(RunError, match=r"results\.json: 2\.1 MB, expected .* at most 2 MB"):
        leaks.check(folder, [])


def test_a_link(folder):
    (folder / "labels.json").symlink_to("/etc/hostname")
    with pytest.raises(RunError, match=r"labels\.json: is a link"):
        leaks.check(folder, [])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.json", b'["too short a one"]'),
        ("recipe.yaml", b"x: mnt/corpora/x.tsv"),
        ("recipe.yaml", b"x: https://x.org/mnt/corpora/x.tsv"),
        ("adapters/yor_Latn/probe.json", b"{}"),
        ("tokenizer.json", b'{"vocab": []}'),
    ],
)
def test_what_may_be_published(folder, name, content):
    write(folder, name, content)
    leaks.check(folder, TEXTS, {"/mnt/corpora/"})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("/home/alice/x.csv", "x.csv"),
        ("/home/alice", ""),
        ("/Users/alice/data/sib/x.csv", "data/sib/x.csv"),
        ("/mnt/a/b/c/d.tsv", "b/c/d.tsv"),
        (r"C:\Users\alice\data\x.csv", "data/x.csv"),
        (r"D:\work\x.csv", "work/x.csv"),
        ("file:///home/alice/x.csv", "x.csv"),
        ("~/data/x.csv", "data/x.csv"),
        ("~alice/x.csv", "x.csv"),
        ("../../raw/{lang}.txt", "raw/{lang}.txt"),
        ("data/{lang}.tsv", "data/{lang}.tsv"),
        ("data/{lang}/x/{split}.tsv", "data/{lang}/x/{split}.tsv"),
        ("{lang}/x/y/z/{split}.tsv", "{lang}/x/y/z/{split}.tsv"),
        ("ud/*/ẹ̀/b/c.tsv", "ud/*/ẹ̀/b/c.tsv"),
        ("rows ('/srv/u/v/w/x.tsv')", "rows ('v/w/x.tsv')"),
        ("/mnt/c/{lang}/x/y/z/{split}.tsv", "{lang}/x/y/z/{split}.tsv"),
        ("/mnt/a/ud-{lang}/x/y/z.tsv", "ud-{lang}/x/y/z.tsv"),
        ("see /data/secret/x.tsv: 3 rows", "see data/secret/x.tsv: 3 rows"),
        ("see: file:///srv/u/x.tsv", "see: srv/u/x.tsv"),
        (r"read: C:\Users\alice\x.csv twice", "read: x.csv twice"),
        ("science/technology and/or: 1/2/3", "science/technology and/or: 1/2/3"),
        ("https://hf.co/a/b: 1", "https://hf.co/a/b: 1"),
        ("a/b@1a2b:eng_Latn", "a/b@1a2b:eng_Latn"),
        ("", ""),
    ],
)
def test_what_is_told_of_a_path(text, told):
    assert leaks.public(text) == told
    assert leaks.public(told) == told


def test_paths_that_a_run_has_recorded():
    recipe = {
        "data": {"files": "/mnt/corpora/{lang}/x.tsv"},
        "base": "a/b",
        "warnings": ["/srv/data/x.tsv: 3 rows", r"D:\work\x.tsv", "/x", "see https://a.b/c/d"],
    }
    assert leaks.recorded_paths(recipe) == {"/mnt/corpora/", "/srv/data/", "D:\\work\\"}


def adapter(folder, changes=None):
    """Two layers of LoRA and a head; `changes`: tensors instead, None takes one away."""
    folder.mkdir()
    start = "base_model.model"
    tensors = {
        f"{start}.layer.{n}.query.lora_{half}.weight": np.ones((2, 2), np.float32)
        for n in (0, 1)
        for half in "AB"
    }
    tensors[f"{start}.classifier.weight"] = np.ones((2, 2), np.float32)
    tensors |= {f"{start}.{name}": value for name, value in (changes or {}).items()}
    whole = {name: value for name, value in tensors.items() if value is not None}
    save_file(whole, folder / "adapter_model.safetensors")
    config = {"modules_to_save": ["classifier", "score"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"embeddings.weight": np.ones((0, 4), np.float32)}, r"has the shape \[0, 4\]"),
        ({"layer.1.query.lora_B.weight": None}, r"lacks .*layer\.1\.query\.lora_B"),
        ({"layer.0.query.lora_A.weight": None}, r"lacks .*layer\.0\.query\.lora_A"),
        ({"classifier.weight": None}, r"lacks a head \(classifier, score\)"),
    ],
)
def test_weights_that_are_not_whole(tmp_path, changes, says):
    leaks.check_weights(adapter(tmp_path / "whole"))
    with pytest.raises(RunError, match=says):
        leaks.check_weights(adapter(tmp_path / "other", changes))


def test_an_adapter_without_lora(tmp_path):
    none = {f"layer.{n}.query.lora_{half}.weight": None for n in (0, 1) for half in "AB"}
    with pytest.raises(RunError, match="lacks lora_A and lora_B"):
        leaks.check_weights(adapter(tmp_path / "a", none))
