"""Sections of a recipe that work on raw text, and their defaults: `text`, `tokenizer`, `adapt`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator

from lowres import registry
from lowres.recipe_types import Language, LanguageList, Number, Section, Whole, distinct, listed

TextKind = Literal["files", "translations", "lexicon"]
Paths = Annotated[tuple[str, ...], BeforeValidator(listed), AfterValidator(distinct)]
"""One path, or a list."""


class Text(Section):
    """Raw text of the languages to extend for and to adapt to, one sentence a line."""

    files: str | dict[Language, str]
    """Path template with `{lang}`, or one path a language; from the current folder."""
    translations: str | dict[Language, str] | None = None
    """Files that say line by line the same in a language the base reads (may hold `{lang}`)."""
    lexicon: str | dict[Language, str] | None = None
    """Word lists: translation, tab, word in the language (as GATITOS has them)."""
    languages: Literal["targets"] | LanguageList = "targets"
    """Whose text is read; by default every target's."""
    held_out: Whole = Field(300, ge=20, le=100_000)
    """Lines at the end of each file that nothing is learnt from: all figures are of them."""

    @field_validator("languages")
    @classmethod
    def _some(cls, value: Any) -> Any:
        if not value:
            raise ValueError("is empty; name at least one, or write targets")
        return value if value == "targets" else distinct(value)

    def path(self, kind: TextKind, language: str) -> str | None:
        """The file of a language; None where the recipe names none."""
        found = getattr(self, kind)
        if isinstance(found, dict):
            return found.get(language)
        return None if found is None else str(found).replace("{lang}", language)


class Extend(Section):
    """New pieces in the tokenizer's own model, and a row of the embeddings for each."""

    pieces: Whole | Literal["auto"] = "auto"
    """How many in all; auto: the knee of the fertility curve."""
    prebuilt: Paths = ()
    """Extensions of `lowres tokenizer ls`, or folders that `lowres tokenizer extend` wrote, to take
    instead of learning from `text`. Their pieces are taken; rows start anew."""
    keep: Paths = ()
    """Text files of other languages whose segmentation must stay; demo sentences in nine
    languages are always kept."""
    init: str = "auto"
    """How rows start, a name in `lowres/embedding_inits`; auto: align with translations, lexicon
    with a word list only, mean with raw text only."""

    @field_validator("pieces", mode="before")
    @classmethod
    def _number(cls, value: Any) -> Any:
        number = isinstance(value, int) and not isinstance(value, bool)
        if value != "auto" and not (number and 0 < value <= 100_000):
            raise ValueError(f"expected auto, or a whole number from 1 to 100000, not {value!r}")
        return value

    def _contradictions(self) -> Iterator[str]:
        idle = [key for key in ("pieces", "keep") if self.prebuilt and _is_given(self, key)]
        if idle:
            yield (
                "tokenizer.extend.prebuilt brings pieces that are chosen already: it leaves no "
                f"use for {_keys('tokenizer.extend', idle)}; leave one of the two out"
            )

    @field_validator("init")
    @classmethod
    def _known_init(cls, value: str) -> str:
        return _one_of("initialisation", value, ("auto", *registry.names("embedding_inits")))


class Trim(Section):
    """Only the pieces that are needed: a smaller table while training and serving."""

    keep_text: Paths = ()
    """Text files; their pieces stay, with those of the recipe's data, raw text, translations and
    word lists, and all special ones."""


class Tokenizer(Section):
    """What becomes of the base's vocabulary."""

    extend: Extend | None = None
    trim: Trim | None = None

    def _contradictions(self) -> Iterator[str]:
        if self.extend is None and self.trim is None:
            yield "tokenizer says nothing: give tokenizer.extend or tokenizer.trim"


OF_OBJECTIVES: dict[str, tuple[str, ...]] = {
    "contrast": ("align", "both"),
    "temperature": ("align", "both"),
    "mask_share": ("mlm", "both"),
    "whole_words": ("mlm", "both"),
    "mlm_share": ("both",),
}
"""Keys of `adapt` that only some objectives use."""


class Adapt(Section):
    """A language adapter: LoRA and the new rows, trained on `text` before any task."""

    adapter: str | None = None
    """A folder that `lowres adapt` has finished, taken with its tokenizer; nothing is adapted then.
    With `per_language` it holds `{lang}`."""
    objective: str = "align"
    """A name in `lowres/objectives`: align (parallel text, any base), mlm (raw text, a base with
    a masked-LM head), both."""
    per_language: bool = False
    """One adapter a language (MAD-X, Pfeiffer et al. 2020): the task is trained on the base itself,
    and each language of `text.languages` is scored with its own adapter under the task's."""
    epochs: Number = Field(3, gt=0, le=10_000)
    steps: Whole | None = Field(None, ge=1, le=10**9)
    """Optimiser steps; overrides epochs."""
    batch: Whole = Field(32, ge=2, le=65_536)
    """Lines an optimiser step."""
    learning_rate: Number = Field(5e-4, gt=0)
    """Peak rate of the LoRA weights."""
    rows_learning_rate: Number = Field(5e-3, gt=0)
    """Peak rate of the new rows."""
    warmup: Number = Field(0.1, ge=0, lt=1)
    weight_decay: Number = Field(0.01, ge=0, le=10)
    rank: Whole = Field(16, ge=1, le=1024)
    alpha: Number = Field(32, gt=0, le=1e6)
    max_tokens: Whole = Field(128, ge=8)
    """Longer lines are cut for adaptation, and their number is reported."""
    contrast: Number = Field(1.0, ge=0, le=100)
    """align: weight of telling a line's translation from the others of its batch."""
    temperature: Number = Field(0.1, gt=0, le=10)
    """align: of that contrast."""
    mask_share: Number = Field(0.15, gt=0, lt=1)
    """mlm: share of the tokens that are to be guessed."""
    whole_words: bool = False
    """mlm: mask all pieces of a word together."""
    mlm_share: Number = Field(0.5, gt=0, lt=1)
    """both: share of the steps that are mlm."""
    controls: bool = True
    """Also train the task on: the base as it is; the same adaptation of the old vocabulary; the
    extension without adaptation. A gain is claimed against the second only."""

    def _contradictions(self) -> Iterator[str]:
        if self.adapter is not None:
            yield from self._of_finished(self.adapter)
            return
        users = {key: who for key, who in OF_OBJECTIVES.items() if _is_given(self, key)}
        idle = [key for key, who in users.items() if self.objective not in who]
        if idle:
            fit = [n for n in registry.names("objectives") if all(n in users[key] for key in idle)]
            yield (
                f"adapt.objective {self.objective} has no use for {_keys('adapt', idle)}; leave "
                f"that out, or set adapt.objective: {' or '.join(fit)}"
            )

    def _of_finished(self, adapter: str) -> Iterator[str]:
        for key in type(self).model_fields:
            if key not in ("adapter", "per_language", "controls") and _is_given(self, key):
                yield f"adapt.adapter is finished: it leaves no use for adapt.{key}"
        if self.per_language != ("{lang}" in adapter):
            yield (
                "adapt.adapter holds {lang} exactly where adapt.per_language is true: one adapter "
                "a language"
            )

    @field_validator("objective")
    @classmethod
    def _known_objective(cls, value: str) -> str:
        return _one_of("objective", value, registry.names("objectives"))


def _is_given(section: Section, key: str) -> bool:
    """Whether a key says anything else than its default."""
    return bool(getattr(section, key) != type(section).model_fields[key].default)


def _keys(section: str, keys: list[str]) -> str:
    return " and ".join(f"{section}.{key}" for key in keys)


def _one_of(what: str, value: str, known: tuple[str, ...]) -> str:
    from lowres.errors import nearest

    if value not in known:
        raise ValueError(
            f"unknown {what} {value!r}{nearest(value, known)} (known: {', '.join(known)})"
        )
    return value


def text_faults(
    text: Text | None,
    tokenizer: Tokenizer | None,
    adapt: Adapt | None,
    targets: tuple[str, ...],
) -> Iterator[str]:
    """What the sections say that cannot be together, in words."""
    extend = tokenizer.extend if tokenizer else None
    if adapt is not None and adapt.adapter is not None:
        if extend is not None:
            yield (
                "tokenizer.extend: adapt.adapter brings the tokenizer that it was made with; leave "
                "one of the two out"
            )
        adapt = None
    if text is None:
        if adapt is not None:
            yield "adapt needs raw text: give text.files"
        if extend is not None and not extend.prebuilt:
            yield "tokenizer.extend needs raw text to learn from: give text.files, or name prebuilt"
    objective = None if adapt is None else adapt.objective
    if objective in ("align", "both") and text is not None and text.translations is None:
        yield (
            f"adapt.objective: {objective} learns from parallel text: give text.translations, or "
            "set adapt.objective: mlm (a base with a masked-LM head)"
        )
    elif objective in ("align", "both") and text is not None:
        languages = targets if text.languages == "targets" else text.languages
        without = [code for code in languages if text.path("translations", code) is None]
        if without:
            yield (
                f"adapt.objective: {objective} learns from parallel text, and text.translations "
                f"names none for {', '.join(without)}; add it, or list the others in text.languages"
            )
    if extend is not None:
        needs: dict[str, tuple[str, ...]] = {"align": ("translations",), "lexicon": ("lexicon",)}
        for key in needs.get(extend.init, ()):
            if text is None or getattr(text, key) is None:
                yield (
                    f"tokenizer.extend.init: {extend.init} needs text.{key}; add it, or write auto"
                )
