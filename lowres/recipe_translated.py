"""The section `translated`: translations of labelled examples, and what they are used for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from lowres.recipe_data import Columns
from lowres.recipe_types import Language, Number, Section

Use = Literal["train", "test"]
USES: tuple[Use, ...] = ("train", "test")


class Translated(Section):
    """Translations of labelled examples, aligned by id: translate-train and translate-test.

    Each is a system of its own beside the zero-shot adapter (Conneau et al. 2018, XNLI,
    aclanthology.org/D18-1269). Labels are those of the same id; tags are carried over by word
    alignment. Source dev alone chooses checkpoints.
    """

    train: str | dict[Language, str] | None = None
    """The source's training examples in the targets: a path with `{lang}`, or one path a target.
    The task is then trained on them too, as `translate-train`."""
    test: str | dict[Language, str] | None = None
    """The targets' test examples in the source language: a path with `{lang}`, or one path a
    target. The zero-shot adapter answers them, as `translate-test`."""
    with_source: bool = True
    """translate-train: on the source's own examples as well."""
    together: bool = False
    """translate-train: one training on the translations into all targets, not one a target."""
    epochs: Number | None = Field(None, gt=0, le=10_000)
    """translate-train: passes over all its examples; null: as many steps as the zero-shot training
    has, whatever the number of examples."""
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "conll", "conllu", "iob2"] = "auto"
    """As in `data`."""
    quoting: Literal["auto", "csv", "none"] = "auto"
    columns: Columns = Columns()
    """What the files call id, text, text_pair or tokens; labels in them are not looked at."""
    names: dict[Language, str] = Field(default_factory=dict)
    """Language code -> what stands for it in the paths."""

    def _contradictions(self) -> Iterator[str]:
        if self.train is None and self.test is None:
            yield "translated says nothing: give translated.train or translated.test"

    def path(self, use: Use, language: str) -> str | None:
        """The file of a target; None where the recipe names none."""
        found: str | dict[str, str] | None = getattr(self, use)
        if found is None or isinstance(found, dict):
            return None if found is None else found.get(language)
        return found.replace("{lang}", self.names.get(language, language))


def translation_faults(
    translated: Translated | None, targets: tuple[str, ...], per_language: bool
) -> Iterator[str]:
    """What the section says that cannot be, in words."""
    if translated is None:
        return
    for use in USES:
        given = getattr(translated, use)
        others = [code for code in given if code not in targets] if isinstance(given, dict) else []
        if others:
            yield (
                f"translated.{use}: names {', '.join(others)}, expected targets "
                f"({', '.join(targets)})"
            )
        if use == "train" and isinstance(given, str) and "{lang}" not in given and len(targets) > 1:
            yield (
                f"translated.train: {given!r} has no {{lang}}: {', '.join(targets)} would all be "
                "in one file; give a path with {lang}, or one path a target"
            )
    if translated.train is None:
        for key in ("with_source", "together", "epochs"):
            if getattr(translated, key) != type(translated).model_fields[key].default:
                yield f"translated.{key}: is of translate-train, and translated.train is not given"
    if per_language:
        yield "translated: needs one adapter for all languages; set adapt.per_language: false"
