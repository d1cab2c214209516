"""The data sets of $LOWRES_DATA, counted as their README counts them."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from lowres import data
from lowres.data import LabelledData
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


def counts(loaded: LabelledData, role: str = "test") -> dict[str, int]:
    return {record.language: record.n for record in loaded.records if record.split == role}


@pytest.mark.data
def test_sib200(shared_data: Path) -> None:
    root = shared_data / "sib200"
    languages = sorted(path.name for path in root.iterdir() if path.is_dir())
    assert len(languages) == 41
    targets = [code for code in languages if code != "eng_Latn"]
    loaded = data.load(recipe(f"{root}/{{lang}}/{{split}}.tsv", "eng_Latn", targets))
    assert counts(loaded) == dict.fromkeys(languages, 204)
    assert counts(loaded, "train") == dict.fromkeys(languages, 701)
    assert counts(loaded, "dev") == {"eng_Latn": 99}
    named = {path.read_text().strip() for path in [root / "labels.txt"] if path.is_file()}
    assert not named or set(loaded.labels) == set("\n".join(named).split("\n"))
    assert len(loaded.labels) == 7
    majority = Counter(loaded.tests["yor_Latn"]["label"]).most_common(1)
    assert majority == [("science/technology", 51)]
    ids = {tuple(rows["id"]) for rows in loaded.tests.values()}
    assert len(ids) == 1  # the set is parallel
    text = "\n".join(loaded.train["text"])
    assert '""' not in text
    assert '"' in text


NER = {
    "amh_Ethi": ("amh", 1750, 500), "bam_Latn": ("bam", 4462, 1274),
    "hau_Latn": ("hau", 1429, 1633), "ibo_Latn": ("ibo", 1273, 2181),
    "kin_Latn": ("kin", 1305, 2235), "lug_Latn": ("lug", 1236, 1412),
    "pcm_Latn": ("pcm", 1412, 1613), "swh_Latn": ("swa", 1319, 1883),
    "wol_Latn": ("wol", 4593, 1312), "yor_Latn": ("yor", 1376, 1964),
}  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize("date", [True, False])
def test_masakhaner_and_uner(shared_data: Path, date: bool) -> None:
    loaded = data.load(
        recipe(
            f"{shared_data}/masakhaner/{{lang}}/{{split}}.txt",
            "eng_Latn",
            list(NER),
            "tagging",
            names={code: name for code, (name, _, _) in NER.items()},
            labels={} if date else {"DATE": None},
            unseen_labels="drop" if date else "error",
            source={"files": f"{shared_data}/uner/UNER_English-EWT/en_ewt-ud-{{split}}.iob2"},
        )
    )
    assert loaded.labels == ("O", "B-LOC", "B-ORG", "B-PER", "I-LOC", "I-ORG", "I-PER")
    english = {record.split: record.n for record in loaded.records if record.language == "eng_Latn"}
    assert english == {"train": 3142, "dev": 2001, "test": 2077}
    dated = sum("examples dropped" in warning for warning in loaded.warnings)
    assert dated == (20 if date else 0)
    if not date:
        assert counts(loaded) == {"eng_Latn": 2077, **{c: test for c, (_, _, test) in NER.items()}}
        trains = {code: len(rows) for code, rows in loaded.target_train.items()}
        assert trains == {code: train for code, (_, train, _) in NER.items()}


@pytest.mark.data
@pytest.mark.parametrize(
    ("path", "sentences"),
    [
        ("UNER_Maghrebi_Arabic_French-Arabizi/qaf_arabizi-ud-dev.iob2", 139),
        ("UNER_Maghrebi_Arabic_French-Arabizi/qaf_arabizi-ud-test.iob2", 145),
        ("UNER_Maghrebi_Arabic_French-Arabizi/qaf_arabizi-ud-train.iob2", 1003),
        ("UNER_Tagalog-TRG/tl_trg-ud-test.iob2", 128),
        ("UNER_Tagalog-Ugnayan/tl_ugnayan-ud-test.iob2", 94),
    ],
)
def test_other_uner_files(shared_data: Path, path: str, sentences: int) -> None:
    from lowres import readers

    assert len(readers.read(shared_data / "uner" / path, "auto", "auto").rows) == sentences


@pytest.mark.data
@pytest.mark.parametrize("policy", ["error", "drop", "wrong"])
def test_masakhanews(shared_data: Path, policy: str) -> None:
    asked = recipe(
        f"{shared_data}/masakhanews/{{lang}}/{{split}}.tsv",
        "eng_Latn",
        ["ibo_Latn", "yor_Latn"],
        names={"eng_Latn": "eng", "ibo_Latn": "ibo", "yor_Latn": "yor"},
        columns={"text": "headline+text"},
        unseen_labels=policy,
    )
    if policy == "error":
        with pytest.raises(DataError, match=r"ibo_Latn test: 'religion' .15., first at .*yor_Latn"):
            data.load(asked)
        return
    loaded = data.load(asked)
    english = {record.split: record.n for record in loaded.records if record.language == "eng_Latn"}
    assert english == {"train": 300, "dev": 236}
    assert loaded.splits["eng_Latn"] == "dev"
    dropped = {"ibo_Latn": 15, "yor_Latn": 64} if policy == "drop" else {}
    for code, n in (("ibo_Latn", 390), ("yor_Latn", 411)):
        assert len(loaded.tests[code]) == n - dropped.get(code, 0)
        assert ("religion" in loaded.tests[code]["label"]) == (policy == "wrong")
    assert "religion" not in loaded.labels
    assert any(text.count("\n") > 3 for text in loaded.train["text"])


@pytest.mark.data
def test_masakhanews_trains_whole(shared_data: Path) -> None:
    from lowres import readers

    for name, rows in (("eng", 300), ("ibo", 300), ("yor", 250)):
        path = shared_data / "masakhanews" / name / "train.tsv"
        assert len(readers.read(path, "auto", "auto").rows) == rows


NUSAX = {
    "ace_Latn": "acehnese", "ban_Latn": "balinese", "bjn_Latn": "banjarese",
    "bug_Latn": "buginese", "eng_Latn": "english", "ind_Latn": "indonesian",
    "jav_Latn": "javanese", "mad_Latn": "madurese", "min_Latn": "minangkabau",
    "nij_Latn": "ngaju", "sun_Latn": "sundanese", "bbc_Latn": "toba_batak",
}  # fmt: skip


@pytest.mark.data
def test_nusax(shared_data: Path) -> None:
    targets = [code for code in NUSAX if code != "ind_Latn"]
    loaded = data.load(
        recipe(f"{shared_data}/nusax/{{lang}}/{{split}}.csv", "ind_Latn", targets, names=NUSAX)
    )
    assert counts(loaded) == dict.fromkeys(NUSAX, 400)
    assert counts(loaded, "train") == dict.fromkeys(NUSAX, 500)
    assert counts(loaded, "dev") == {"ind_Latn": 100}
    for rows in loaded.tests.values():
        assert Counter(rows["label"]) == {"positive": 151, "neutral": 96, "negative": 153}
    assert any("\n" in text for text in loaded.tests["bug_Latn"]["text"])


AFRISENTI = {
    "hau_Latn": ("hau", 3543, 5303), "kin_Latn": ("kin", 3302, 1026), "gaz_Latn": ("orm", 0, 2096),
    "swh_Latn": ("swa", 1810, 748), "twi_Latn": ("twi", 3481, 949),
}  # fmt: skip


@pytest.mark.data
@pytest.mark.parametrize("quoting", ["auto", "none"])
def test_afrisenti_with_nusax_english(shared_data: Path, quoting: str) -> None:
    loaded = data.load(
        recipe(
            f"{shared_data}/afrisenti/{{lang}}/{{split}}.tsv",
            "eng_Latn",
            list(AFRISENTI),
            names={code: name for code, (name, _, _) in AFRISENTI.items()},
            quoting=quoting,
            source={"files": f"{shared_data}/nusax/english/{{split}}.csv"},
        )
    )
    assert counts(loaded) == {"eng_Latn": 400, **{c: test for c, (_, _, test) in AFRISENTI.items()}}
    trains = {code: len(rows) for code, rows in loaded.target_train.items()}
    assert trains == {code: train for code, (_, train, _) in AFRISENTI.items() if train}
    assert any(text.startswith('""') for text in loaded.target_train["kin_Latn"]["text"])
    # Against the README, kin/test.tsv is quoted: every quote there is inside a wrapped field,
    # doubled twice. auto gives what the other files hold, one doubling.
    wrapped = [text for text in loaded.tests["kin_Latn"]["text"] if '""""' in text]
    assert bool(wrapped) == (quoting == "none")


AMERICAS = {
    "bzd_Latn": ("bzd", 750), "cni_Latn": ("cni", 750), "gug_Latn": ("gn", 750),
    "hch_Latn": ("hch", 750), "nah_Latn": ("nah", 738), "quy_Latn": ("quy", 750),
    "shp_Latn": ("shp", 750), "tar_Latn": ("tar", 750),
}  # fmt: skip
AMERICAS_DEV = {"cni": 658, "nah": 376}


@pytest.mark.data
def test_americasnli(shared_data: Path, tmp_path: Path) -> None:
    from lowres import readers

    for split in ("train", "dev"):
        labels = ("entailment", "neutral", "contradiction")
        rows = "".join(f"{split} {label}\tb\t{label}\n" for label in labels)
        (tmp_path / f"{split}.tsv").write_text(f"premise\thypothesis\tlabel\n{rows}")
    loaded = data.load(
        recipe(
            f"{shared_data}/americasnli/{{lang}}/{{split}}.tsv",
            "eng_Latn",
            list(AMERICAS),
            "pairs",
            names={code: name for code, (name, _) in AMERICAS.items()},
            source={"files": f"{tmp_path}/{{split}}.tsv"},
        )
    )
    tests = {code: len(rows) for code, rows in loaded.tests.items() if code != "eng_Latn"}
    assert tests == {code: n for code, (_, n) in AMERICAS.items()}
    (nahuatl,) = [record for record in loaded.records if record.language == "nah_Latn"]
    assert "3 examples with a blank text, kept" in nahuatl.notes
    assert any(note.startswith("quoting decided: none") for note in nahuatl.notes)
    for _, (name, _) in AMERICAS.items():
        table = readers.read(shared_data / "americasnli" / name / "dev.tsv", "auto", "auto")
        assert len(table.rows) == AMERICAS_DEV.get(name, 743)


@pytest.mark.data
def test_every_treebank_of_the_readme(shared_data: Path) -> None:
    """Sentences, words, multiword ranges and empty nodes of each file."""
    from lowres import readers

    readme = (shared_data / "README.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (UD_\S+\.conllu) \|.*\| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", readme, re.MULTILINE
    )
    assert len(rows) == 20
    for path, sentences, words, ranges, empty in rows:
        table = readers.read(shared_data / "ud" / path, "auto", "auto")
        tokens = [row[1] for row in table.rows]
        noted = [int(note.split()[0]) for note in table.notes]
        assert (path, len(tokens), sum(map(len, tokens))) == (path, int(sentences), int(words))
        assert noted == [n for n in (int(ranges), int(empty)) if n], path


@pytest.mark.data
def test_treebanks_load(shared_data: Path) -> None:
    names = {
        "eng_Latn": "UD_English-EWT/en_ewt", "kmr_Latn": "UD_Kurmanji-MG/kmr_mg",
        "mar_Deva": "UD_Marathi-UFAL/mr_ufal",
    }  # fmt: skip
    loaded = data.load(
        recipe(
            f"{shared_data}/ud/{{lang}}-ud-{{split}}.conllu",
            "eng_Latn",
            ["kmr_Latn", "mar_Deva"],
            "tagging",
            names=names,
        )
    )
    assert len(loaded.labels) == 17
    assert counts(loaded) == {"eng_Latn": 2077, "kmr_Latn": 734, "mar_Deva": 47}
    words = [word for sentence in loaded.tests["kmr_Latn"]["tokens"] for word in sentence]
    assert words.count("_") == 54
    assert sum(" " in word for word in words) == 101
