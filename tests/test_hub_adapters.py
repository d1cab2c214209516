"""Adapters by their Hub id, from the Hub of the tests by the real client."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_cases import EXPIRED, READER, contents, hub_in_use
from tiny_adapter import adapter_of, of_peft_alone

import lowres
from lowres import hub_adapters, predict
from lowres.errors import HubError, LowresError, RunError

NAME = "ada/topics"
TEXTS = ["The teacher opened the window.", "", "soko liko wapi"]


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with hub_in_use(monkeypatch, tmp_path) as served:
        yield served


@pytest.fixture
def adapter(tiny_base, tmp_path):
    return adapter_of(tmp_path / "adapter", tiny_base, "classification")


def offline(monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def refused(says: str, kind: type[LowresError] = HubError, **options: str) -> None:
    """In one line."""
    with pytest.raises(kind) as caught:
        predict.load(NAME, **options)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_only_the_adapter_is_fetched_and_the_cache_works_alone(hub, adapter, monkeypatch):
    foreign = {"README.md": b"# x", "training_args.bin": b"pickle", "x.py": b"evil", "a/b.bin": b""}
    commit = hub.add(NAME, contents(adapter) | foreign, kind="models")
    loaded = lowres.load(NAME)
    assert loaded.notes == ()
    said = loaded.predict(TEXTS)
    assert said == list(predict.load(adapter).predict(TEXTS))
    got = {request.rpartition("/")[2] for request in hub.requests if "resolve" in request}
    assert got == {"adapter_config.json", "adapter_model.safetensors", "labels.json"}

    offline(monkeypatch)
    (note,) = (stored := lowres.load(NAME)).notes
    assert f"HF_HUB_OFFLINE is set: took {NAME} from the cache, commit {commit[:12]}" in note
    assert stored.predict(TEXTS) == said


def test_a_hub_that_has_gone_is_as_no_network(hub, adapter):
    hub.add(NAME, contents(adapter), kind="models")
    predict.load(NAME)
    hub.refusal = (503, None)
    assert "answered HTTP 503: took" in predict.load(NAME).notes[0]


def test_without_a_network_and_without_a_copy(hub, monkeypatch, adapter):
    offline(monkeypatch)
    refused("ada/topics: no such folder here; HF_HUB_OFFLINE is set, and no whole copy")
    refused("no whole copy of it at v2 is in the cache", revision="v2")


def test_a_copy_without_its_weights_is_none(hub, monkeypatch, adapter):
    hub.add(NAME, contents(adapter), kind="models")
    found = hub_adapters.fetch(NAME, None, None)
    (found.folder / "adapter_model.safetensors").unlink()
    offline(monkeypatch)
    refused("no whole copy")


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (404, "RepoNotFound", "has no such model, or it is private"),
        (403, "GatedRepo", "the adapter is gated; accept its terms at"),
        (404, "RevisionNotFound", "--revision v1: ada/topics has no such branch"),
        (401, None, "refused access (HTTP 401)"),
        (500, None, "answered HTTP 500, and no whole copy"),
    ],
)
def test_what_the_hub_refuses_is_said_in_one_line(hub, status, code, says):
    hub.refusal = (status, code)
    refused(says, revision="v1")


def test_a_private_one_needs_a_token_that_may_read_it(hub, adapter, monkeypatch):
    hub.add(NAME, contents(adapter), kind="models")
    hub.repositories[NAME].private = True
    refused("or it is private; check the spelling, or run `hf auth login`")
    monkeypatch.setenv("HF_TOKEN", EXPIRED)
    refused("hf auth login")
    monkeypatch.setenv("HF_TOKEN", READER)
    assert predict.load(NAME).labels


def test_a_revision_is_taken_as_it_was(hub, adapter, tiny_base, tmp_path):
    old = hub.add(NAME, contents(adapter), kind="models")
    repository = hub.repositories[NAME]
    pairs = adapter_of(tmp_path / "pairs", tiny_base, "pairs")
    repository.commits["f" * 40] = contents(pairs)
    repository.revisions |= {"main": "f" * 40, "v1": old}
    assert predict.load(NAME).task.name == "pairs"
    for revision in ("v1", old):
        assert predict.load(NAME, revision=revision).task.name == "classification"
    refused("--revision v2", revision="v2")


@pytest.mark.parametrize("kind", ["adapter_model.bin", "adapter_model.pt"])
def test_pickles_are_refused_and_not_fetched(hub, adapter, kind):
    files = contents(adapter)
    files[kind] = files.pop("adapter_model.safetensors")
    hub.add(NAME, files, kind="models")
    refused(f"its weights are pickled ({kind})", RunError)
    assert not [request for request in hub.requests if "resolve" in request]


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"README.md": b""}, "no adapter: there is no adapter_config.json"),
        ({"config.json": b"{}", "model.safetensors": b""}, "a whole model, which transformers"),
        ({"adapter_config.json": b"{}"}, "incomplete: there is no adapter_model.safetensors"),
    ],
)
def test_a_repository_without_an_adapter(hub, files, says):
    hub.add(NAME, files, kind="models")
    refused(says, RunError)


def test_one_language_of_a_published_adapter(hub, adapter, tiny_base, tmp_path):
    own = adapter_of(tmp_path / "own", tiny_base, "pairs")
    files = contents(adapter) | {f"adapters/swh_Latn/{k}": v for k, v in contents(own).items()}
    hub.add(NAME, files, kind="models")
    (note,) = predict.load(NAME).notes
    assert "swh_Latn have adapters of their own" in note
    assert not [r for r in hub.requests if "swh_Latn/adapter_model" in r]
    assert predict.load(NAME, language="swh_Latn").task.name == "pairs"
    assert predict.load(NAME, language="yor_Latn").task.name == "classification"


def test_base_and_adapter_of_another_script_by_id(hub, tiny_base, tmp_path):
    hub.add("ada/base", contents(tiny_base), kind="models")
    folder = of_peft_alone(tmp_path / "a", tiny_base, "SEQ_CLS")
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = "ada/base"
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    hub.add(NAME, contents(folder), kind="models")
    adapter = predict.load(NAME)
    assert "no labels.json" in adapter.notes[0]
    assert len(adapter.predict(TEXTS)) == 3


def test_a_base_revision_that_is_gone(hub, adapter, tiny_base):
    hub.add("ada/base", contents(tiny_base), kind="models")
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    config |= {"base_model_name_or_path": "ada/base", "revision": "0" * 40}
    (adapter / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(HubError, match=r"ada/base has no such branch, tag or commit"):
        predict.load(adapter)


def test_a_folder_that_is_here_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub_adapters.is_id("ada/topics")
    assert not hub_adapters.is_id(Path("ada/topics"))
    assert not hub_adapters.is_id("./ada/topics")
    (tmp_path / "ada" / "topics").mkdir(parents=True)
    assert not hub_adapters.is_id("ada/topics")
    with pytest.raises(RunError, match="no adapter here"):
        predict.load("ada/topics")
