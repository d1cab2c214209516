"""The folder that is published: what is in it, and what is never in it."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import tiny_run
from hub_cases import contents, hub_in_use
from results_factory import make_results
from test_learning import points, study

from lowres import leaks, predict, repository
from lowres.errors import BaseModelError, HubError, LowresError, RunError
from lowres.licences import DataLicence
from lowres.recipe_publish import Publish
from lowres.results import BaseRecord

NAME = "ada/topics"
UNREAD = (
    "the run's data cannot be read here: files were searched for the sentences of the report "
    "alone, not for those of the data"
)
SENTENCES = [
    ("the market by the river is closed on Mondays", "a"),
    ("nobody has seen the ferry since the storm", "b"),
] * 6
SHARED = Publish(license="cc-by-sa-4.0")


@pytest.fixture
def hub(monkeypatch, tmp_path, tiny_unigram_base):
    with hub_in_use(monkeypatch, tmp_path) as served:
        served.add(tiny_run.BASE_ID, contents(tiny_unigram_base), kind="models")
        yield served


@pytest.fixture
def run(tmp_path, tiny_unigram_base):
    return tiny_run.finished(tmp_path / "run", tiny_unigram_base)


def build(run: Path, section: Publish = SHARED, seed: str = "median") -> repository.Built:
    return repository.build(run, NAME, seed, section, run.parent / "out")


def refused(run: Path, says: str, kind: type[LowresError] = RunError, **options) -> None:
    """In one line, and without a folder that could be sent."""
    with pytest.raises(kind, match=re.escape(says)) as caught:
        build(run, **options)
    assert "\n" not in str(caught.value)
    assert not (run.parent / "out").exists()
    assert not list(run.parent.glob(".building-*"))


def test_all_that_belongs_to_an_adapter(hub, run):
    built = build(run)
    assert {p.name for p in built.folder.iterdir()} == {
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "labels.json"),
        *("probe.json", "recipe.yaml", "results.json", "transfer.svg"),
    }
    assert (built.seed, built.notes) == (2, (UNREAD,))
    stored = json.loads((built.folder / "probe.json").read_text(encoding="utf-8"))
    assert stored["base"] == {
        **{"id": tiny_run.BASE_ID, "revision": built.base.revision},
        **{"obtained": "hub", "tolerance": 1e-5, "same_base_tolerance": 1e-5},
    }
    assert stored["schema"] == 1
    assert stored["adapter"] == {
        **{"study": make_results().recipe["name"], "task": "classification"},
        "labels": ["a", "b", "c"],
    }
    assert len(stored["probes"]) == 16
    assert len(predict.load(built.folder).labels) == 3
    # the same again, byte for byte, over what was there
    (built.folder / "stray.txt").write_text("x")
    before = contents(built.folder)
    before.pop("stray.txt")
    assert contents(build(run).folder) == before


def test_sentences_of_the_data_stay_here(hub, run):
    folder = build(run).folder
    texts = {m.text for m in repository.read_results(run).mistakes}
    assert texts
    for name, content in contents(folder).items():
        assert not [text for text in texts if text.encode() in content], name
    assert json.loads((folder / "results.json").read_text(encoding="utf-8"))["mistakes"] == []


def test_each_language_has_its_probes(hub, tmp_path, tiny_unigram_base):
    run = tiny_run.finished(tmp_path / "run", tiny_unigram_base, languages=["swh_Latn"])
    built = build(run)
    its = built.folder / "adapters" / "swh_Latn"
    one, other = (json.loads((p / "probe.json").read_text()) for p in (built.folder, its))
    assert one["probes"][0]["input_ids"] == other["probes"][0]["input_ids"]
    assert one["probes"][0]["logits"] != other["probes"][0]["logits"]
    assert "`swh_Latn`" in (built.folder / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("wanted", "seed"), [("median", 2), ("best-dev", 1), ("1", 1), ("2", 2), ("02", 2)]
)
def test_which_seed(wanted, seed):
    assert repository.choose_seed(make_results(), wanted) == seed


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("3", "--seed 3: cannot be trusted (collapsed)"),
        ("7", "--seed 7: the run has the seeds 1, 2, 3"),
        ("best", "--seed best: expected median, best-dev or a seed's number"),
    ],
)
def test_a_seed_that_cannot_be(wanted, says):
    with pytest.raises(RunError, match=re.escape(says)):
        repository.choose_seed(make_results(), wanted)


def test_no_seed_can_be_trusted():
    collapsed = [s.model_copy(update={"status": "nan"}) for s in make_results().seeds]
    with pytest.raises(RunError, match="no seed of this run can be trusted"):
        repository.choose_seed(make_results(seeds=collapsed), "median")


def test_a_run_that_is_not_finished(tmp_path):
    refused(tmp_path / "run", "no finished run (results.json: FileNotFoundError)")


def test_an_adapter_that_changed_after_training(hub, run):
    weights = run / "train/2/adapter/adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    refused(run, "train/2: incomplete, or changed after training")
    assert build(run, seed="1").seed == 1


def test_an_adapter_with_a_file_less(hub, run):
    (run / "train/2/adapter/labels.json").unlink()
    refused(run, "train/2: incomplete, or changed after training")


def test_a_base_of_this_machine(hub, tmp_path, tiny_unigram_base):
    base = BaseRecord(
        name="/home/me/base",
        obtained="folder",
        quantization="none",
        parameters=1,
        trainable_parameters=1,
    )
    run = tiny_run.finished(tmp_path / "run", tiny_unigram_base, base=base)
    refused(run, "a folder of this machine, which nobody else can load", BaseModelError)


def test_a_base_whose_revision_is_gone(hub, run):
    config = run / "train/2/adapter/adapter_config.json"
    changed = json.loads(config.read_text(encoding="utf-8")) | {"revision": "0" * 40}
    config.write_text(json.dumps(changed), encoding="utf-8")
    manifest = run / "train/2/manifest.json"
    plain = json.loads(manifest.read_text(encoding="utf-8"))
    plain["outputs"]["adapter/adapter_config.json"] = tiny_run.hashes(config.parent)[config.name]
    manifest.write_text(json.dumps(plain), encoding="utf-8")
    refused(run, "has no such branch, tag or commit", HubError)


def test_a_licence_must_be_given_and_fit_the_data(hub, run):
    refused(run, "publish.license is missing", section=Publish())
    given = Publish(license="mit", data_licenses={"Davlan/sib200": "cc-by-nc-4.0"})
    refused(run, "Davlan/sib200 is cc-by-nc-4.0: not for commercial use", section=given)
    given = Publish(license="cc-by-4.0", data_licenses={"Davlan/sib200": "cc-by-nd-4.0"})
    refused(run, "nothing derived from it may be shared", section=given)
    given = Publish(license="cc-by-nc-4.0", data_licenses={"Davlan/sib200": "cc-by-nc-4.0"})
    assert build(run, given).notes == (UNREAD,)


def test_a_licence_that_nobody_knows_is_said(hub, tmp_path, tiny_unigram_base):
    recipe = make_results().recipe | {"data": {"files": "/home/me/my data/{lang}/{split}.tsv"}}
    run = tiny_run.finished(tmp_path / "run", tiny_unigram_base, recipe=recipe)
    note, unread = build(run).notes
    assert unread == UNREAD
    assert note.startswith("the licence of my data/{lang}/{split}.tsv is not known")


def test_where_this_machine_keeps_things_is_not_told(hub, tmp_path, tiny_unigram_base, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    recipe = make_results().recipe | {
        "data": {"files": "/home/me/data/sib/{lang}/{split}.tsv"},
        "text": {"files": "../raw/{lang}.txt"},
    }
    said = ["/home/me/data/sib/yor_Latn/test.tsv: 3 rows twice"]
    run = tiny_run.finished(tmp_path / "run", tiny_unigram_base, recipe=recipe, warnings=said)
    folder = build(run).folder
    for name, content in contents(folder).items():
        assert b"/home/me" not in content, name
    text = (folder / "recipe.yaml").read_text(encoding="utf-8")
    assert "files: sib/{lang}/{split}.tsv" in text
    assert "files: ../raw/{lang}.txt" not in text
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert r"data/sib/yor\_Latn/test.tsv: 3 rows twice" in card


def test_data_sets_are_named_once():
    recipe = make_results().recipe
    recipe["data"] = {"hub": "a/b", "source": {"hub": "a/b", "files": None}}
    recipe["text"] = {"files": {"yor_Latn": "/x/y/z/w/a.txt"}, "lexicon": "c/d"}
    found = repository._data(make_results(recipe=recipe), Publish(data_licenses={"c/d": "mit"}))
    assert found == (
        DataLicence("a/b", None),
        DataLicence("z/w/a.txt", None),
        DataLicence("c/d", "mit", "as the recipe says"),
    )


def test_learning_curves_are_a_picture_of_their_own(hub, run):
    results = repository.read_results(run).model_copy(update={"learning": points(study())})
    text = results.model_dump_json(by_alias=True)
    (run / "results.json").write_text(text, encoding="utf-8")
    built = build(run)
    picture = (built.folder / "learning.svg").read_text(encoding="utf-8")
    assert picture.startswith("<svg")
    assert "](learning.svg)" in (built.folder / "README.md").read_text(encoding="utf-8")
    # the gate lets it through, and a picture of another name not
    assert leaks.belongs("learning.svg")
    assert not leaks.belongs("labels.svg")


def test_only_what_training_wrote_is_published(hub, run):
    """Notes, code, links and git's own folder lie beside the adapter, and stay there."""
    adapter = run / "train/2/adapter"
    (adapter / "notes.txt").write_text("ask Eve")
    (adapter / "modeling.py").write_text("import os")
    (adapter / "link.json").symlink_to("/etc/hostname")
    (adapter / ".git").mkdir()
    (adapter / ".git/config").write_text("[user]")
    (adapter.with_name("adapters") / "yor_Latn").mkdir(parents=True)
    (adapter.with_name("adapters") / "yor_Latn/labels.json").write_text("{}")
    built = build(run)
    assert set(contents(built.folder)) == {
        *("README.md", "adapter_config.json", "adapter_model.safetensors", "labels.json"),
        *("probe.json", "recipe.yaml", "results.json", "transfer.svg"),
    }
    (note,) = [one for one in built.notes if one != UNREAD]
    assert note.startswith(
        "not of the adapter, left out: adapter/.git/config, adapter/link.json, adapter/modeling.py "
        "and 2 more (in "
    )


def test_what_a_manifest_names_is_published_only_if_an_adapter_has_such_files(hub, run):
    (run / "train/2/adapter/notes.txt").write_text("ask Eve")
    manifest = run / "train/2/manifest.json"
    plain = json.loads(manifest.read_text(encoding="utf-8"))
    plain["outputs"]["adapter/notes.txt"] = tiny_run.hashes(run / "train/2/adapter")["notes.txt"]
    manifest.write_text(json.dumps(plain), encoding="utf-8")
    built = build(run)
    assert "notes.txt" not in contents(built.folder)
    assert any("left out: adapter/notes.txt (in " in note for note in built.notes)


@pytest.mark.parametrize("text", [None, "", "[1]", "a: [", "\0"])
def test_a_run_without_its_recipe(hub, run, text):
    if text is None:
        (run / "recipe.yaml").unlink()
    else:
        (run / "recipe.yaml").write_text(text)
    refused(run, "recipe.yaml: expected the recipe that the run was made of")


def test_a_sentence_that_was_trained_on_stays_here(hub, tmp_path, tiny_unigram_base):
    """Not only those of the report: one stands in the question of the study."""
    data = tmp_path / "data"
    rows = ["text\tlabel", *(f"{text}\t{label}" for text, label in SENTENCES)]
    for language in ("eng_Latn", "yor_Latn"):
        (data / language).mkdir(parents=True)
        for split in ("train", "dev", "test"):
            (data / language / f"{split}.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    recipe = {
        "question": "",
        **{"name": "topics", "languages": {"source": ["eng_Latn"], "targets": ["yor_Latn"]}},
        **{"task": {"name": "classification"}, "base": {"name": tiny_run.BASE_ID}},
        "data": {"files": f"{data}/{{lang}}/{{split}}.tsv"},
    }
    run = tiny_run.finished(tmp_path / "run", tiny_unigram_base, recipe=recipe)
    assert UNREAD not in build(run).notes
    shutil.rmtree(tmp_path / "out")
    recipe["question"] = f"Is it so that {SENTENCES[0][0]}?"
    again = tiny_run.finished(tmp_path / "again", tiny_unigram_base, recipe=recipe)
    with pytest.raises(RunError, match=r"holds a sentence of the data"):
        build(again)
