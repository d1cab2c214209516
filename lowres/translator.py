"""Sequence-to-sequence models of the Hub that translate: found, loaded, told their languages."""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from lowres import languages, quiet, snapshots
from lowres.errors import BaseModelError, HubError
from lowres.hardware import Hardware

KNOWN: Final = ("marian", "m2m_100", "mbart")
"""`model_type` of models that are told their languages in a way that is known here."""
FLORES: Final = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")


@dataclass(frozen=True)
class Settings:
    """What a translation depends on, beside the text."""

    model: str
    revision: str | None
    """Commit on the Hub; None for a folder."""
    beams: int
    max_tokens: int
    """Pieces of a translation at most, and of a text where the model takes as many."""


@dataclass(frozen=True)
class Direction:
    """How a model is told from which language it translates into which."""

    source: str | None
    """The tokenizer's code; None for a model of one pair."""
    first: int | None
    """Id that a translation begins with."""
    before: str = ""
    """What stands before a text."""


def locate(name: str, revision: str | None, allow_pickle: bool) -> tuple[Path, str | None]:
    """The folder of a model, and its commit where it is of the Hub.

    Raises:
        BaseModelError: no such folder, no translation model that is known, pickled weights alone.
        HubError: the Hub has no such model, or nothing is at hand without a network.
    """
    folder, commit = Path(name).expanduser(), None
    if not folder.is_dir():
        reason = snapshots.why_out_of_reach()
        found: Path | None = None
        if reason is None:
            try:
                found = snapshots.download(name, revision, allow_pickle)
            except snapshots.OutOfReachError as error:
                reason = str(error)
        found = found or snapshots.cached(name, revision, allow_pickle)
        if found is None:
            raise HubError(
                f"base.name {name}: no folder here, {reason}, and no whole copy is in the cache; "
                "run once with a network, or give a folder"
            )
        folder, commit = found, found.name
    file = folder / "config.json"
    kind = json.loads(file.read_text(encoding="utf-8")).get("model_type") if file.is_file() else ""
    if kind not in KNOWN:
        raise BaseModelError(
            f"base.name {name}: model_type {kind!r} is no translation model that lowres can tell "
            f"its languages; expected one of {', '.join(KNOWN)} (opus-mt, M2M-100, NLLB-200, "
            "mBART-50)"
        )
    return folder, commit


class Translator:
    """A model with its tokenizer, ready to translate."""

    def __init__(self, folder: Path, settings: Settings, hardware: Hardware) -> None:
        """Raises `BaseModelError` for a folder that transformers cannot load."""
        import torch
        from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

        try:
            with quiet.loading(), warnings.catch_warnings():
                # Marian's tokenizer recommends sacremoses, which evens out punctuation
                warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
                self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
                model: Any = AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32)
        except (OSError, ValueError, ImportError, KeyError) as error:
            reason = (str(error).strip().splitlines() or [""])[0]
            raise BaseModelError(
                f"base.name {settings.model}: cannot be loaded: {reason}"
            ) from error
        self.settings, self.hardware = settings, hardware
        self.model = model.to(hardware.device).eval()
        # it has a length of its own, beside which `max_tokens` would be a second one
        self.model.generation_config.max_length = None
        most = getattr(model.config, "max_position_embeddings", settings.max_tokens)
        self.longest = min(settings.max_tokens, most, self.tokenizer.model_max_length)

    def direction(self, source: str, target: str, codes: Mapping[str, str]) -> Direction:
        """How this model is told to translate. Raises `BaseModelError` for a language it lacks.

        Args:
            source: FLORES code.
            target: FLORES code.
            codes: what the model calls a language, where it has another name for it.
        """
        tags = getattr(self.tokenizer, "supported_language_codes", None)
        if tags is not None:
            if not tags:
                return Direction(None, None)
            known = {tag.strip("<>"): tag for tag in tags}
            return Direction(None, None, f"{known[self._code(target, codes, known)]} ")
        known = _codes(self.tokenizer)
        begins = known[self._code(target, codes, known)]
        first = int(self.tokenizer.convert_tokens_to_ids(begins))
        return Direction(self._code(source, codes, known), first)

    def _code(self, language: str, codes: Mapping[str, str], known: Mapping[str, str]) -> str:
        """The model's own name of a language."""
        given = codes.get(language)
        short = languages.describe(language).bcp47.split("-")[0]
        broad = _macro(language)
        wanted = (given,) if given else (language, language[:3], short, broad)
        found = [name for name in wanted if name in known]
        # mBART-50 has the country behind the language
        found += [
            name for name in known if not given and name.startswith((f"{short}_", f"{broad}_"))
        ]
        if not found:
            shown = ", ".join(sorted(known)[:8])
            raise BaseModelError(
                f"base.name {self.settings.model}: knows no {given or language} (it has "
                f"{len(known)} languages: {shown}, …); name it as the model does: --code "
                f"{language}=…"
            )
        return found[0]

    def translate(self, texts: Sequence[str], direction: Direction) -> list[tuple[str, bool, bool]]:
        """The translation of each text, whether the text was cut, and whether there was no end."""
        import torch

        if direction.source is not None:
            self.tokenizer.src_lang = direction.source
        asked = [direction.before + text for text in texts]
        full = [len(ids) for ids in self.tokenizer(asked, verbose=False)["input_ids"]]
        batch = self.tokenizer(
            asked, return_tensors="pt", padding=True, truncation=True, max_length=self.longest
        ).to(self.hardware.device)
        with torch.inference_mode(), self.hardware.autocast():
            made = self.model.generate(**batch, generation_config=self._generation(direction))
        ends = (made[:, 1:] == self.tokenizer.eos_token_id).any(dim=1).tolist()
        # the language that a translation begins with is no text, whatever its piece is taken for
        begun = 1 + (direction.first is not None)
        said = self.tokenizer.batch_decode(made[:, begun:], skip_special_tokens=True)
        return [
            (" ".join(text.split()), length > self.longest, not end)
            for text, length, end in zip(said, full, ends, strict=True)
        ]

    def _generation(self, direction: Direction) -> Any:
        """The model's own way to generate, by beam search without chance."""
        options = copy.deepcopy(self.model.generation_config)
        options.max_new_tokens = self.longest
        options.num_beams, options.do_sample = self.settings.beams, False
        if direction.first is not None:
            options.forced_bos_token_id = direction.first
        return options


def _codes(tokenizer: Any) -> dict[str, str]:
    """The languages of a tokenizer by name, with the piece that stands for each."""
    if hasattr(tokenizer, "lang_code_to_token"):  # M2M-100
        return dict(tokenizer.lang_code_to_token)
    if hasattr(tokenizer, "lang_code_to_id"):  # mBART-50
        return {name: name for name in tokenizer.lang_code_to_id}
    return {piece: piece for piece in tokenizer.get_vocab() if FLORES.fullmatch(piece)}


def _macro(language: str) -> str:
    """The shortest code of a language or of the macrolanguage above it: `sw` for `swh_Latn`."""
    import langcodes

    return langcodes.standardize_tag(language[:3], macro=True)
