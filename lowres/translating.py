"""Files of translations by a sequence-to-sequence model of the Hub: what `lowres translate` writes.

Marian (opus-mt), M2M-100, NLLB-200 and mBART-50, by transformers alone. A translation is kept as
soon as it is there, so a killed call goes on; the file appears when it is whole. What the model
could not do (texts that were cut, translations without an end, empty ones) is counted.
"""

from __future__ import annotations

import copy
import json
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lowres import aligned, artifacts, corpus, languages, projection, quiet, snapshots
from lowres.errors import BaseModelError, DataError, HubError, RunError
from lowres.hardware import Hardware
from lowres.recipe_translated import Use

if TYPE_CHECKING:
    from lowres.progress import Progress
    from lowres.recipe import Recipe

KNOWN: Final = ("marian", "m2m_100", "mbart")
"""`model_type` of models that are told their languages in a way that is known here."""
FLORES: Final = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
Columns = Mapping[str, list[Any]]


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


@dataclass(frozen=True)
class Made:
    """A file that was written. `cut`, `endless`, `empty`: ids of the examples."""

    path: Path
    n: int
    cut: tuple[str, ...]
    """Longer than the model reads."""
    endless: tuple[str, ...]
    """The translation has no end within `max_tokens`."""
    empty: tuple[str, ...]

    @property
    def notes(self) -> list[str]:
        """What is wrong with it, a sentence each."""
        said = (
            ("texts are longer than the model reads, and were cut", self.cut),
            ("translations did not end and were cut (--max-tokens)", self.endless),
            ("translations are empty, which `lowres validate` refuses: mend them", self.empty),
        )
        return [f"{len(ids):,} {what} (ids {_named(ids)})" for what, ids in said if ids]


def _named(ids: Sequence[str]) -> str:
    return ", ".join(ids[: aligned.SHOWN]) + (", …" if len(ids) > aligned.SHOWN else "")


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


def write(
    recipe: Recipe,
    use: Use,
    language: str,
    wanted: Columns,
    translator: Translator,
    codes: Mapping[str, str],
    batch: int,
    progress: Progress,
) -> Made:
    """Translate every example of `wanted` to the file that the recipe names for a target.

    Args:
        recipe: with the section `translated`.
        use: train (into the target) or test (into the first source).
        language: the target.
        wanted: columns of the originals: id, language and the task's fields.
        translator: the model.
        codes: as `Translator.direction` takes them.
        batch: texts at once.
        progress: where to tell how it goes.

    Raises:
        DataError: for a path that is no JSON lines, and for words of a script without spaces.
        RunError: where another call with other settings has begun, or the disk is full.
    """
    section = recipe.translated
    assert section is not None, "the command's own check"
    path = Path(section.path(use, language) or "").expanduser()
    if path.suffix != ".jsonl":
        raise DataError(f"translated.{use}: {path}: JSON lines are written; expected FILE.jsonl")
    into = language if use == "train" else recipe.languages.source[0]
    if "tokens" in wanted and into.split("_")[1] in corpus.SPACELESS:
        raise DataError(
            f"translated.{use}: {into} sets no spaces between words, and tags are of words; "
            "translate and part the words by a program of that language"
        )
    rows = [dict(zip(wanted, values, strict=True)) for values in zip(*wanted.values(), strict=True)]
    kept = _Kept(path, {**asdict(translator.settings), "use": use, "into": into, **codes})
    missing = [row for row in rows if kept.of(row) is None]
    with progress.bar(f"translate, {use}, {language}", len(missing)) as advance:
        for origin, some in _batches(missing, batch, translator.tokenizer):
            way = translator.direction(origin, into, codes)
            kept.add(some, _translated(some, partial(translator.translate, direction=way)))
            advance(len(some))
    found = [kept.of(row) for row in rows]
    names = section.columns
    lines = [
        json.dumps(
            {
                names.id or "id": row["id"],
                **{getattr(names, field) or field: _value(field, told["made"][field])
                   for field in _fields(row)},
            },
            ensure_ascii=False,
        )
        for row, told in zip(rows, found, strict=True) if told is not None
    ]  # fmt: skip
    artifacts.write_text(path, "\n".join([*lines, ""]))
    kept.finish(len(rows))
    ids = {
        name: tuple(row["id"] for row, told in zip(rows, found, strict=True) if told and told[name])
        for name in ("cut", "endless", "empty")
    }
    return Made(path, len(rows), **ids)


def _fields(row: Mapping[str, Any]) -> list[str]:
    return [name for name in row if name not in ("id", "language", *aligned.GOLD)]


def _plain(value: str | list[str]) -> str:
    return value if isinstance(value, str) else " ".join(value)


def _value(field: str, text: str) -> str | list[str]:
    return projection.split(text) if field == "tokens" else text


def _batches(
    rows: Sequence[dict[str, Any]], size: int, tokenizer: Any
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Rows of one language, alike in length: padding costs time."""
    by_language: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_language.setdefault(row["language"], []).append(row)
    for language, its in by_language.items():
        its.sort(key=lambda row: sum(len(_plain(row[field])) for field in _fields(row)))
        for at in range(0, len(its), size):
            yield language, its[at : at + size]


def _translated(
    rows: Sequence[dict[str, Any]],
    translate: Callable[[list[str]], list[tuple[str, bool, bool]]],
) -> list[dict[str, Any]]:
    """What is kept of each row: its translation, field by field, and what was wrong with it."""
    asked = [(at, field) for at, row in enumerate(rows) for field in _fields(row)]
    texts = [_plain(rows[at][field]) for at, field in asked]
    filled = [text for text in texts if text.strip()]
    answers = iter(translate(filled) if filled else [])
    found: list[dict[str, Any]] = [
        {"made": {}, "cut": False, "endless": False, "empty": False} for _ in rows
    ]
    for (at, field), text in zip(asked, texts, strict=True):
        made, cut, endless = next(answers) if text.strip() else ("", False, False)
        told = found[at]
        told["made"][field] = made
        told["cut"] |= cut
        told["endless"] |= endless
        told["empty"] |= bool(text.strip()) and not made
    return found


class _Kept:
    """What is translated already, beside the file that is to be: a line an example."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Raises `RunError` where a call with other settings has begun."""
        self._path, self._settings = path, settings
        self._file = path.with_name(f".{path.name}.partial")
        self._rows: dict[str, dict[str, Any]] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if self._file.is_file():
            self._read()
        else:
            self._append([settings])

    def _read(self) -> None:
        text = self._file.read_text(encoding="utf-8", errors="replace")
        # a kill may have left half a line at the end
        whole = text[: text.rfind("\n") + 1].split("\n")[:-1]
        begun = json.loads(whole[0]) if whole else None
        if begun != self._settings:
            raise RunError(
                f"{self._file}: translations that were begun with other settings ({begun}); remove "
                "it to begin anew, or give the same options"
            )
        self._rows = {row["key"]: row for row in map(json.loads, whole[1:])}
        artifacts.write_text(self._file, "".join(f"{line}\n" for line in whole))

    def _append(self, rows: Sequence[dict[str, Any]]) -> None:
        try:
            with self._file.open("a", encoding="utf-8", newline="\n") as file:
                file.writelines(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
        except OSError as error:
            raise artifacts.disk_error(error, self._file) from error

    @staticmethod
    def _key(row: Mapping[str, Any]) -> str:
        # a text that was changed meanwhile is another one
        return artifacts.fingerprint([row["id"], [row[field] for field in _fields(row)]])

    def of(self, row: Mapping[str, Any]) -> dict[str, Any] | None:
        """What is kept of an example; None before it is translated."""
        return self._rows.get(self._key(row))

    def add(self, rows: Sequence[Mapping[str, Any]], found: Sequence[dict[str, Any]]) -> None:
        """Keep translations."""
        new = [{"key": self._key(r), **told} for r, told in zip(rows, found, strict=True)]
        self._append(new)
        self._rows |= {row["key"]: row for row in new}

    def finish(self, n: int) -> None:
        """Write beside the whole file how it was made, and forget the parts."""
        told = json.dumps({**self._settings, "n": n}, indent=1, ensure_ascii=False)
        artifacts.write_text(self._path.with_name(f"{self._path.name}.made.json"), told + "\n")
        self._file.unlink()
