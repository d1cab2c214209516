"""The sections of a recipe that say where labelled data is and how it is written."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import Field, field_validator

from lowres.recipe_types import Language, Section


class Columns(Section):
    """What the data set calls each field; a field left out is found by its usual names."""

    id: str | None = None
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    tokens: str | None = None
    tags: str | None = None


class DataSource(Section):
    """Where labelled data is and how it is written."""

    hub: str | None = None
    """Hub data set id, always `namespace/name`."""
    config: str | None = None
    """Hub configuration, may hold `{lang}`."""
    revision: str | None = None
    """Hub revision; resolved to a commit at the first load and recorded."""
    files: str | dict[Literal["train", "dev", "test"], str] | None = None
    """Path template with `{lang}` and `{split}` (or one path a split), from the current folder;
    `lowres:` at the front means inside the package; `*` is any part of a name where exactly one
    file matches. Wins over `hub`."""
    format: Literal["auto", "csv", "tsv", "jsonl", "parquet", "conll", "conllu", "iob2"] = "auto"
    """auto: by the file's extension."""
    quoting: Literal["auto", "csv", "none"] = "auto"
    """CSV/TSV: `csv` = fields may be wrapped in double quotes; `none` = a quote is a letter;
    auto: decided on the whole file (quotes that balance and wrap whole fields), and reported."""
    columns: Columns = Columns()
    names: dict[Language, str] = Field(default_factory=dict)
    """Language code -> what this data set calls the language."""
    splits: dict[Literal["train", "dev", "test"], str] = Field(default_factory=dict)
    """Split -> its name there. By default dev is found as dev, validation or valid."""
    labels: dict[str, str | None] = Field(default_factory=dict)
    """Label there -> label here; null drops the example (tagging: the tag becomes O)."""

    @field_validator("hub")
    @classmethod
    def _namespaced(cls, value: str | None) -> str | None:
        if value is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", value):
            raise ValueError(
                f"{value!r} is no Hub data set id: write it as namespace/name "
                "(bare ids such as 'xnli' are refused by the Hub since 2025)"
            )
        return value


class Data(DataSource):
    """Labelled data of sources and targets; `data.source` says otherwise for the sources."""

    source: DataSource | None = None
    """Where the source language's data is, when it is in another set than the targets'."""
    unseen_labels: Literal["error", "drop", "wrong"] = "error"
    """A target label that the source never showed: error, drop those examples, or keep them
    and count them as wrong."""

    def _contradictions(self) -> Iterator[str]:
        for where, part in (("data", self), ("data.source", self.source)):
            if part is not None and part.hub is None and part.files is None:
                yield f"{where} names no data: give {where}.hub or {where}.files"
