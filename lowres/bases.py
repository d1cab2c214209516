"""Known encoders, one row each, and how any encoder is found and checked.

Importing this costs nothing: huggingface_hub and transformers are imported where they are used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from lowres import snapshots
from lowres.architectures import ARCHITECTURES
from lowres.architectures import head_modules as head_modules
from lowres.architectures import lora_targets as lora_targets
from lowres.architectures import masked_lm_head as masked_lm_head
from lowres.embedded import EMBEDDED, rebuild
from lowres.errors import BaseModelError, HubError, nearest

Pooling = Literal["mean", "cls"]
Pretraining = Literal["xlm-r", "xlm-r and more", "english", "not known"]


@dataclass(frozen=True)
class BaseRow:
    """A base by its short name."""

    name: str
    hub_id: str
    architecture: str
    pooling: Pooling
    """How its authors make one vector of a text."""
    licence: str
    note: str
    pretraining: Pretraining = "not known"
    """Which languages its text had, as far as a list of them is here: XLM-R's hundred, those and
    others, English alone. `pretraining.seen` reads it."""

    @property
    def multilingual(self) -> bool:
        """Whether it was pretrained on more than English."""
        return self.pretraining != "english"

    @property
    def lora_targets(self) -> tuple[str, ...]:
        """See `lora_targets`."""
        return lora_targets(self.architecture)

    @property
    def xlmr_pieces(self) -> bool:
        """Whether its vocabulary is XLM-R's, so that pieces made for that fit."""
        return self.pretraining == "xlm-r" and self.architecture != "deberta-v2"

    @property
    def offline(self) -> bool:
        """Whether it can be rebuilt without a network."""
        return self.name in EMBEDDED


@dataclass(frozen=True)
class LocatedBase:
    """A base on this machine's disk."""

    name: str
    """As the recipe names it."""
    path: str
    """A folder that transformers loads without a network."""
    hub_id: str | None
    revision: str | None
    """The commit, where the Hub gave one."""
    obtained: str
    """As in `results.BaseRecord`."""
    extension: str | None = None
    """Folder of a tokenizer extension, see `extension.py`."""
    language: str | None = None
    """Folder of a language adapter, see `stacking.py`."""
    per_language: tuple[tuple[str, str], ...] = ()
    """Language adapters that take the place of `language` when their language is scored."""
    kept: str | None = None
    """File of the rows that a trimmed table keeps, see `trimmed.py`."""

    def plain(self) -> LocatedBase:
        """The base alone, trimmed or not."""
        return replace(self, extension=None, language=None, per_language=())


_SEE_CARD: Final = "see its card"
_ROWS: Final = (
    BaseRow(
        "e5-small",
        "intfloat/multilingual-e5-small",
        "bert",
        "mean",
        EMBEDDED["e5-small"].licence,
        "12 x 384, about 100 languages; sentence vectors; XLM-R's vocabulary",
        "xlm-r",
    ),
    BaseRow(
        "e5-base",
        "intfloat/multilingual-e5-base",
        "xlm-roberta",
        "mean",
        "mit",
        "12 x 768, about 100 languages; sentence vectors",
        "xlm-r",
    ),
    BaseRow(
        "minilm-en",
        "sentence-transformers/all-MiniLM-L6-v2",
        "bert",
        "mean",
        EMBEDDED["minilm-en"].licence,
        "6 x 384, English only, WordPiece, lower-cased",
        "english",
    ),
    BaseRow(
        "xlm-roberta-base",
        "FacebookAI/xlm-roberta-base",
        "xlm-roberta",
        "mean",
        "mit",
        "12 x 768, 100 languages (arXiv:1911.02116)",
        "xlm-r",
    ),
    BaseRow(
        "xlm-roberta-large",
        "FacebookAI/xlm-roberta-large",
        "xlm-roberta",
        "mean",
        "mit",
        "24 x 1024, 100 languages; the one that collapses most often in fine-tuning",
        "xlm-r",
    ),
    BaseRow(
        "bert-base-multilingual-cased",
        "google-bert/bert-base-multilingual-cased",
        "bert",
        "mean",
        "apache-2.0",
        "mBERT: 12 x 768, 104 languages of Wikipedia, WordPiece",
    ),
    BaseRow(
        "distilbert-base-multilingual-cased",
        "distilbert/distilbert-base-multilingual-cased",
        "distilbert",
        "mean",
        "apache-2.0",
        "6 x 768, distilled from mBERT",
    ),
    BaseRow(
        "mdeberta-v3-base",
        "microsoft/mdeberta-v3-base",
        "deberta-v2",
        "mean",
        "mit",
        "12 x 768, 100 languages; unstable in fp16; may need base.allow_pickle",
        "xlm-r",
    ),
    BaseRow(
        "mmBERT-base",
        "jhu-clsp/mmBERT-base",
        "modernbert",
        "mean",
        "mit",
        "22 x 768, over 1,800 languages (arXiv:2509.06888)",
    ),
    BaseRow(
        "mmBERT-small",
        "jhu-clsp/mmBERT-small",
        "modernbert",
        "mean",
        "mit",
        "22 x 384, over 1,800 languages (arXiv:2509.06888)",
    ),
    BaseRow(
        "afro-xlmr-base",
        "Davlan/afro-xlmr-base",
        "xlm-roberta",
        "mean",
        _SEE_CARD,
        "XLM-R base adapted to 17 African languages (Alabi et al. 2022)",
        "xlm-r and more",
    ),
    BaseRow(
        "glot500-base",
        "cis-lmu/glot500-base",
        "xlm-roberta",
        "mean",
        _SEE_CARD,
        "XLM-R base adapted to 511 languages (arXiv:2305.12182), larger vocabulary",
        "xlm-r and more",
    ),
    BaseRow(
        "LaBSE",
        "sentence-transformers/LaBSE",
        "bert",
        "cls",
        "apache-2.0",
        "12 x 768, 109 languages; sentence vectors (arXiv:2007.01852)",
    ),
)
ROWS: Final[Mapping[str, BaseRow]] = {row.name: row for row in _ROWS}

_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")
_TOKENIZER_FILES: Final = ("vocab.txt", "vocab.json", "*.model")


def locate(name: str, revision: str | None = None, allow_pickle: bool = False) -> LocatedBase:
    """A base on disk: a folder; else from the Hub where it answers, else from the Hub client's
    cache, else (e5-small, minilm-en) rebuilt from data packages.

    Args:
        name: a short name (`ROWS`), a Hub id, or a folder.
        revision: branch, tag or commit on the Hub; `main` by default.
        allow_pickle: take pytorch_model.bin where there is no model.safetensors.

    Raises:
        BaseModelError: no such base or folder; no encoder; no fast tokenizer; pickled weights.
        HubError: the Hub has no such model or revision, it is gated, or nothing is at hand
            without a network.
    """
    row = row_of(name)
    if row is None:
        folder = _folder(name)
        if folder is not None:
            if revision is not None:
                raise BaseModelError(f"base.revision {revision}: {name} is a folder; remove it")
            check_folder(folder, name, allow_pickle)
            return LocatedBase(name, str(folder), None, None, "folder")
    hub_id = row.hub_id if row else name
    reason = snapshots.why_out_of_reach()
    if reason is None:
        try:
            path = snapshots.download(hub_id, revision, allow_pickle)
        except snapshots.OutOfReachError as error:
            reason = str(error)
        else:
            check_folder(path, name, allow_pickle)
            return LocatedBase(name, str(path), hub_id, path.name, "hub")
    stored = snapshots.cached(hub_id, revision, allow_pickle)
    if stored is not None:
        check_folder(stored, name, allow_pickle)
        return LocatedBase(name, str(stored), hub_id, stored.name, "cache")
    if row is not None and row.offline and revision is None:
        return LocatedBase(name, str(rebuild(row.name)), hub_id, None, EMBEDDED[row.name].obtained)
    elsewhere = (
        "leave base.revision out: the copy rebuilt without a network has none"
        if row is not None and row.offline
        else "take base.name=e5-small, which needs no network"
    )
    raise HubError(
        f"base.name {name}: {reason}, and no whole copy of {hub_id}"
        f"{f' at {revision}' if revision else ''} is in the cache; wanted: config.json, "
        "tokenizer.json, model.safetensors. Run once with a network, set base.name to a folder "
        f"that holds them, or {elsewhere}"
    )


def at_hand(row: BaseRow) -> LocatedBase | None:
    """A known base where it needs no network: in the Hub client's cache, or out of the packages
    that carry it; None where it is in neither. Its weights may be pickled: nothing loads them."""
    stored = snapshots.cached(row.hub_id, None, allow_pickle=True)
    if stored is not None:
        return LocatedBase(row.name, str(stored), row.hub_id, stored.name, "cache")
    if row.offline and EMBEDDED[row.name].installed:
        return LocatedBase(
            row.name, str(rebuild(row.name)), row.hub_id, None, EMBEDDED[row.name].obtained
        )
    return None


def is_hub_id(name: object) -> bool:
    """Whether it is written as an id of the Hub, and is no folder here."""
    return isinstance(name, str) and bool(_HUB_ID.fullmatch(name)) and not Path(name).is_dir()


def check_name(name: str) -> None:
    """Raise `BaseModelError` for what is neither a known name, nor a folder, nor a Hub id.

    Looks at the name only; whether the Hub has it, `locate` finds out.
    """
    if row_of(name) is None:
        _folder(name)


def check_folder(folder: Path, name: str, allow_pickle: bool) -> None:
    """Raise `BaseModelError` unless a folder holds a known encoder with weights and a tokenizer."""
    config = _config(folder, name)
    model_type = str(config.get("model_type"))
    classes = ", ".join(config.get("architectures") or ())
    # a BERT may be one half of a seq2seq model, or a decoder
    decodes = config.get("is_decoder") or config.get("is_encoder_decoder")
    if decodes or re.search(r"ForCausalLM|LMHeadModel|ForConditionalGeneration", classes):
        raise BaseModelError(
            f"base.name {name}: {classes or model_type} generates text; lowres adapts encoders "
            f"({', '.join(ARCHITECTURES)})"
        )
    if model_type not in ARCHITECTURES:
        raise BaseModelError(
            f"base.name {name}: model_type {model_type!r} is no encoder that lowres knows "
            f"(known: {', '.join(ARCHITECTURES)})"
        )
    if not _has(folder, snapshots.SAFE_WEIGHTS):
        if not _has(folder, snapshots.PICKLED_WEIGHTS):
            raise BaseModelError(f"base.name {name}: no model.safetensors in {folder}")
        if not allow_pickle:
            raise BaseModelError(snapshots.refusal(name))
    if not (folder / "tokenizer.json").is_file():
        _check_convertible(folder, name)


def row_of(name: str) -> BaseRow | None:
    """The row of a base by its short name or Hub id; None for a folder, and for one unknown."""
    by_hub_id = {row.hub_id: row for row in _ROWS}
    if name in ROWS:
        return ROWS[name]
    return None if Path(name).is_dir() else by_hub_id.get(name)


def _folder(name: str) -> Path | None:
    """The folder meant, None for a Hub id. Raises `BaseModelError` for what can be neither."""
    path = Path(name).expanduser()
    if path.is_dir():
        return path.resolve()
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name:
        what = "is a file, not a folder" if path.exists() else "no such folder"
        raise BaseModelError(
            f"base.name {name}: {what}; give the folder that holds config.json, a Hub id, or a "
            "name of `lowres ls bases`"
        )
    if not _HUB_ID.fullmatch(name):
        raise BaseModelError(
            f"base.name: unknown base {name!r}{nearest(name, list(ROWS))}; see `lowres ls bases`, "
            "or give a Hub id (namespace/name) or a folder"
        )
    return None


def _config(folder: Path, name: str) -> dict[str, Any]:
    file = folder / "config.json"
    if not file.is_file():
        if (folder / "adapter_config.json").is_file():
            raise BaseModelError(
                f"base.name {name}: an adapter, not a base; name the base it is of"
            )
        raise BaseModelError(
            f"base.name {name}: no config.json in {folder}; a base is a folder such as "
            "save_pretrained of transformers writes"
        )
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BaseModelError(
            f"base.name {name}: {file} is not JSON ({error}); copy or download the base again"
        ) from error
    if not isinstance(config, dict):
        raise BaseModelError(
            f"base.name {name}: {file} is no JSON object; copy or download the base again"
        )
    return config


def _has(folder: Path, patterns: tuple[str, ...]) -> bool:
    return any(file for pattern in patterns for file in folder.glob(pattern))


def _check_convertible(folder: Path, name: str) -> None:
    """Without tokenizer.json a fast tokenizer must be made of the vocabulary, or can't be."""
    reason = "no tokenizer.json and no vocabulary"
    if _has(folder, _TOKENIZER_FILES):
        from transformers import AutoTokenizer

        try:
            if AutoTokenizer.from_pretrained(folder, local_files_only=True).is_fast:
                return
            reason = "only a slow one"
        except Exception as error:  # of any kind: the loaders of transformers check little
            reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
    raise BaseModelError(
        f"base.name {name}: has no fast tokenizer ({reason}); lowres needs one to follow words to "
        "their pieces"
    )
