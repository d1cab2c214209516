"""Options of the command line as the sections of a recipe that work on raw text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from lowres.errors import DataError, LanguageError, LowresError, reworded
from lowres.languages import canonical
from lowres.recipe import Base
from lowres.recipe_text import Adapt, Extend, Text
from lowres.recipe_types import Section

Kind = TypeVar("Kind", bound=Section)


def text(
    files: Sequence[Path],
    languages: Sequence[str] | None,
    translations: Sequence[Path] | None,
    lexicons: Sequence[Path] | None,
    held_out: int | None,
) -> Text:
    """The `text` section. Raises `LanguageError` for a text whose language nobody says."""
    codes = _codes(files, languages)
    section: dict[str, Any] = {
        "files": dict(zip(codes, map(str, files), strict=True)),
        "languages": codes,
    }
    if held_out is not None:
        section["held_out"] = held_out
    if translations:
        section["translations"] = _each(codes, translations, "--translation")
    if lexicons:
        section["lexicon"] = _each(codes, lexicons, "--lexicon")
    return _section(Text, section, {"held_out": "--held-out"})


def extend(pieces: str, init: str, keep: Sequence[str]) -> Extend:
    """The `tokenizer.extend` section."""
    number = int(pieces) if pieces.isdecimal() else pieces
    given = {"pieces": number, "init": init, "keep": list(keep)}
    return _section(Extend, given, {"pieces": "--pieces", "init": "--init", "keep": "--keep"})


def adapt(**given: Any) -> Adapt:
    """The `adapt` section, from the options that were given."""
    plain = {key: value for key, value in given.items() if value is not None}
    return _section(Adapt, plain, {key: f"--{key.replace('_', '-')}" for key in plain})


def base(name: str, quantization: str) -> Base:
    """The `base` section."""
    given = {"name": name, "quantization": quantization}
    return _section(Base, given, {"name": "--base", "quantization": "--quantization"})


_OPTIONS = (
    (r"\btext\.files\b", "--text"),
    (r"\btext\.translations\b", "--translation"),
    (r"\btext\.languages\b", "--lang"),
    (r"\b(?:text|adapt|tokenizer\.extend)\.([a-z_]+)\b", r"--\1"),
    (r"\bbase\.name\b", "--base"),
    (r"\bbase\.quantization\b", "--quantization"),
)


def named_as_options() -> AbstractContextManager[None]:
    """Errors about keys of a recipe name the options that stand for them here."""
    return reworded(_in_options)


def _in_options(said: str) -> str:
    # `--objective: align` is YAML, `--objective align` an option
    said = re.sub(r"(--[a-z_]+): (?=\w+(?:$|[,;. )]))", r"\1 ", with_options(said))
    return re.sub(r"--[a-z_]+", lambda found: found[0].replace("_", "-"), said)


def with_options(said: str) -> str:
    """What is said of keys of a recipe, with the options that stand for them in their places."""
    for key, option in _OPTIONS:
        said = re.sub(key, option, said)
    return said


def _section(kind: type[Kind], given: Mapping[str, Any], options: Mapping[str, str]) -> Kind:
    try:
        made = kind(**given)
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0])
        said = str(first["ctx"]["error"]) if "error" in first.get("ctx", {}) else first["msg"]
        raise LowresError(f"{options.get(key, key)}: {said[0].lower()}{said[1:]}") from None
    # of several keys together: they are named in what is said
    for fault in made.every_contradiction():
        raise LowresError(_in_options(fault))
    return made


def _codes(files: Sequence[Path], languages: Sequence[str] | None) -> list[str]:
    names = list(languages) if languages else [file.stem for file in files]
    if len(names) != len(files):
        raise LanguageError(
            f"--lang: {len(names)} for {len(files)} texts; give one a --text, in the same order"
        )
    codes = []
    for file, name in zip(files, names, strict=True):
        try:
            codes.append(canonical(name))
        except ValueError as error:
            hint = str(error) if languages else f"the name of {file} is no language code; give it"
            raise LanguageError(f"--lang: {hint}") from None
    if len(set(codes)) != len(codes):
        raise LanguageError(f"--lang: {', '.join(codes)}: one text a language; join the files")
    return codes


def _each(codes: Sequence[str], files: Sequence[Path], option: str) -> dict[str, str]:
    if len(files) not in (1, len(codes)):
        raise DataError(
            f"{option}: {len(files)} for {len(codes)} texts; give one for all, or one a --text"
        )
    chosen = list(files) * len(codes) if len(files) == 1 else list(files)
    return {code: str(file) for code, file in zip(codes, chosen, strict=True)}
