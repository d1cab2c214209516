from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lowres import data
from lowres.errors import DataError
from lowres.recipe import Recipe


def recipe(files: Any, from_: Any, to: Any, task: str = "classification", **spec: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "test",
            "base": {"name": "e5-small"},
            "languages": {"source": from_, "targets": to},
            "task": {"name": task},
            "data": {"files": files, **spec},
        }
    )


ROWS = "label\ttext\na\tx\nb\ty\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """English with all splits, French with train and dev, Swahili with train and test."""
    monkeypatch.chdir(tmp_path)
    splits = {"eng_Latn": "train dev test", "fra_Latn": "train dev", "swh_Latn": "train test"}
    for language, names in splits.items():
        (tmp_path / language).mkdir()
        for split in names.split():
            (tmp_path / language / f"{split}.tsv").write_text(ROWS)
    return tmp_path


FILES = "{lang}/{split}.tsv"


def test_sources_are_joined_and_targets_kept_apart(folder: Path) -> None:
    (folder / "swh_Latn" / "dev.tsv").write_text("never read")
    loaded = data.load(recipe(FILES, ["fra_Latn", "eng_Latn"], ["swh_Latn"]))
    assert loaded.labels == ("a", "b")
    assert loaded.train[:] == {
        "id": ["train-1", "train-2"] * 2,
        "language": ["fra_Latn"] * 2 + ["eng_Latn"] * 2,
        "text": ["x", "y"] * 2,
        "label": ["a", "b"] * 2,
    }
    assert list(loaded.tests) == ["fra_Latn", "eng_Latn", "swh_Latn"]
    assert loaded.splits == {"fra_Latn": "dev", "eng_Latn": "test", "swh_Latn": "test"}
    assert loaded.tests["fra_Latn"]["id"][:] == ["dev-1", "dev-2"]
    assert len(loaded.dev) == 4
    assert {name: len(rows) for name, rows in loaded.target_train.items()} == {"swh_Latn": 2}
    assert loaded.warnings == (
        "fra_Latn: no test split, scored on dev (which also chose the checkpoint)",
    )
    read = [(record.language, record.split, record.where) for record in loaded.records]
    assert ("swh_Latn", "train", "swh_Latn/train.tsv") in read
    assert not any(language == "swh_Latn" and split == "dev" for language, split, _ in read)
    features = {name: str(feature.dtype) for name, feature in loaded.train.features.items()}
    assert features == dict.fromkeys(["id", "language", "text", "label"], "string")


def test_a_source_without_dev_holds_some_training_examples_out(folder: Path) -> None:
    (folder / "eng_Latn" / "dev.tsv").unlink()
    rows = "".join(f"{'ab'[i % 2]}\tt{i}\n" for i in range(25))
    (folder / "eng_Latn" / "train.tsv").write_text("label\ttext\n" + rows)
    loaded = data.load(recipe(FILES, "eng_Latn", "swh_Latn"))
    assert loaded.dev["text"][:] == ["t9", "t19"]
    assert len(loaded.train) == 23
    assert "t9" not in loaded.train["text"][:]
    said = "no dev split: 2 of the 25 training examples held out"
    assert loaded.warnings == (f"eng_Latn dev: {said}",)


def test_an_empty_target_train_is_no_training_data(folder: Path) -> None:
    (folder / "swh_Latn" / "train.tsv").write_text("label\ttext")
    loaded = data.load(recipe(FILES, "eng_Latn", "swh_Latn"))
    assert loaded.target_train == {}
    (record,) = [r for r in loaded.records if (r.language, r.split) == ("swh_Latn", "train")]
    assert (record.n, record.notes) == (0, ["no rows: no training data"])


@pytest.mark.parametrize(
    ("written", "spec", "message"),
    [
        ({"eng_Latn/train": "label\ttext\n"}, {}, "eng_Latn train has no examples; at least one"),
        ({"eng_Latn/dev": "label\ttext\n"}, {}, "eng_Latn dev has no examples"),
        ({"eng_Latn/test": "label\ttext\n"}, {}, "eng_Latn test has no examples"),
        ({"swh_Latn/test": "label\ttext\n"}, {}, "swh_Latn test has no examples; at least one"),
        ({"swh_Latn/test": ""}, {}, "swh_Latn/test.tsv: the file is empty"),
        ({"eng_Latn/train": "label\ttext\na\tx\n"}, {}, "shows one label .a."),
        ({"swh_Latn/test": "label\ttext\nc\tx\n"}, {}, "swh_Latn test: 'c' .1., first at "),
        (
            {"swh_Latn/test": "label\ttext\nc\tx\n"},
            {"unseen_labels": "drop"},
            "swh_Latn test has no examples after labels were dropped",
        ),
        ({}, {"labels": {"a": None, "b": None}}, "no examples after labels were dropped"),
        ({}, {"files": "{language}/{split}.tsv"}, r"data.files: unknown placeholder \{language\}"),
        ({}, {"files": "swh_Latn/{split}.tsv"}, r"has no \{lang\}"),
        ({}, {"splits": {"train": "test"}}, "eng_Latn/test.tsv: would be both eng_Latn train and"),
        (
            {},
            {"names": {"eng_Latn": "eng"}},
            "data missing: eng_Latn train: no file eng/train.tsv; did you mean 'eng_Latn'",
        ),
        (
            {},
            {"splits": {"train": "tr", "test": "te"}},
            "eng_Latn train: no file .*; swh_Latn test: no file .*te.tsv",
        ),
    ],
)
def test_bad_data(
    folder: Path, written: dict[str, str], spec: dict[str, Any], message: str
) -> None:
    for name, content in written.items():
        (folder / f"{name}.tsv").write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        data.load(recipe(spec.pop("files", FILES), "eng_Latn", "swh_Latn", **spec))
    assert "\n" not in str(caught.value)


def test_many_missing_files_are_counted(folder: Path) -> None:
    targets = ["yor_Latn", "ibo_Latn", "hau_Latn", "kin_Latn", "wol_Latn", "zul_Latn", "xho_Latn"]
    with pytest.raises(DataError, match="and 2 more"):
        data.check_files(recipe(FILES, "eng_Latn", targets))


def test_a_label_that_no_file_holds_is_reported(folder: Path) -> None:
    loaded = data.load(recipe(FILES, "eng_Latn", "swh_Latn", labels={"A": "a", "b": "c"}))
    assert loaded.labels == ("a", "c")
    assert loaded.warnings == ("data.labels: no file holds A",)


def test_the_source_has_a_section_of_its_own(folder: Path) -> None:
    for split in ("train", "dev", "test"):
        sentence = {"words": ["Ali", "saw", "Oslo"], "tags": ["B-PER", "O", "B-LOC"]}
        (folder / f"en-{split}.jsonl").write_text(json.dumps(sentence) + "\n")
    (folder / "swa-test.txt").write_text("Ali B-PER\njana B-DATE\nsana I-DATE\n\nKwale I-LOC\n")
    loaded = data.load(
        recipe(
            {"test": "{lang}-test.txt"},
            "eng_Latn",
            "swh_Latn",
            "tagging",
            names={"swh_Latn": "swa"},
            labels={"DATE": None},
            source={"files": "en-{split}.jsonl"},
        )
    )
    assert loaded.labels == ("O", "B-LOC", "B-PER", "I-LOC", "I-PER")
    # A stray I- tag is the data set's own: the scorer repairs and counts it.
    assert loaded.tests["swh_Latn"]["tags"][:] == [["B-PER", "O", "O"], ["I-LOC"]]
    assert loaded.target_train == {}
    assert loaded.train.features["tokens"].feature.dtype == "string"


@pytest.fixture
def hub_splits(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], list[str | None]]:
    """The narrow edge: what `open_set` returns. The clients themselves: test_hub_data.py.

    Which splits there are (to change), which configurations were opened.
    """
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

    from lowres import hub_data
    from lowres.locations import Origin

    splits, opened = ["train", "validation", "test"], list[str | None]()

    def open_set(origin: Origin) -> hub_data.HubSet:
        config = hub_data.config_name(origin)
        opened.append(config)
        features = Features({"text": Value("string"), "label": ClassLabel(names=["no", "yes"])})
        rows = Dataset.from_dict({"text": ["a", "b"], "label": [1, 0]}, features=features)
        found = DatasetDict(dict.fromkeys(splits, rows))
        return hub_data.HubSet("x/y", "c0ffee", config, found, ("read from elsewhere",))

    monkeypatch.setattr(hub_data, "open_set", open_set)
    return splits, opened


def of_hub() -> Recipe:
    names = {"swh_Latn": "swa"}
    return recipe(None, "eng_Latn", "swh_Latn", hub="x/y", config="{lang}", names=names)


def test_hub_sets_are_opened_once_a_language(
    hub_splits: tuple[list[str], list[str | None]],
) -> None:
    loaded = data.load(of_hub())
    assert hub_splits[1] == ["eng_Latn", "swa"]
    assert loaded.labels == ("no", "yes")
    assert loaded.dev["label"][:] == ["yes", "no"]
    assert loaded.records[-1].where == "x/y@c0ffee:swa/test"
    assert loaded.records[-1].notes == ["read from elsewhere"]
    assert "swh_Latn: read from elsewhere" in loaded.warnings


@pytest.mark.parametrize(
    ("split", "message"),
    [("train", "eng_Latn: no train split"), ("test", "swh_Latn: no test split")],
)
def test_a_hub_set_without_a_needed_split(
    hub_splits: tuple[list[str], list[str | None]], split: str, message: str
) -> None:
    hub_splits[0].remove(split)
    with pytest.raises(DataError, match=message):
        data.load(of_hub())


def test_checking_files_imports_no_heavy_library() -> None:
    code = (
        "import sys; from lowres import data; from lowres.recipe import Recipe\n"
        "data.check_files(Recipe.model_validate({'name': 'x', 'base': {'name': 'e5-small'},"
        "'languages': {'source': 'eng_Latn', 'targets': 'swh_Latn'},"
        "'task': {'name': 'classification'},"
        "'data': {'files': 'lowres:demo/{lang}/{split}.jsonl'}}))\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'pandas', 'sklearn', 'pyarrow'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    root = Path(data.__file__).parent.parent
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
