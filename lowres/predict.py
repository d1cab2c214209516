"""Use an adapter: lines of text in, one answer a line out, in order and in flat memory."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from lowres import (
    adapter_files,
    answers,
    bases,
    few_shapes,
    hub_adapters,
    input_lines,
    model,
    plain_peft,
    quiet,
    registry,
    stacking,
)
from lowres import rows as new_rows
from lowres import trimmed as trimming
from lowres.answers import Answer
from lowres.artifacts import MANIFEST
from lowres.errors import DataError, LowresError, RunError
from lowres.hardware import Hardware, detect
from lowres.recipe import Base
from lowres.tasks import TaskOptions

if TYPE_CHECKING:
    from datasets import Dataset

Shares = npt.NDArray[np.float64]
CHUNK: Final = 1024
"""Lines answered at a time: enough to sort by length, little enough to hold."""
BATCH_TOKENS: Final = {"cpu": 1024, "cuda": 4096}
"""By device: on a CPU what a batch makes should fit its cache, measured with benchmarks/predict.py
(4096 there: a fifth fewer sentences a second)."""
MOST_WORDS: Final = 10_000
"""Of a line to be tagged: where windows end takes a second then, and grows with the square."""
_WINDOW: Final = 512
"""Sub-words of a window where the adapter does not say how long its texts were."""
_FEATURES: Final = "FEATURE_EXTRACTION"
"""peft's word for an encoder without a head."""
KEPT = Path("trim") / trimming.FILE


@dataclass(frozen=True)
class Adapter:
    """A loaded adapter with its base, ready to answer."""

    network: Any
    tokenizer: Any
    task: TaskOptions
    labels: tuple[str, ...]
    max_tokens: int
    hardware: Hardware
    batch_tokens: int = BATCH_TOKENS["cuda"]
    notes: tuple[str, ...] = ()
    """What whoever reads the answers should know."""
    folder: Path | None = None
    base: bases.LocatedBase | None = None
    """Under it, as it was found here."""
    quantization: str = "none"
    """Of the base, as it was loaded here."""
    languages: tuple[str, ...] = ()
    """That have an adapter of their own beside this common one."""
    unread: trimming.Unread | None = None
    """What the texts held that a trimmed table has no row for, over all calls."""

    def predict(self, texts: Iterable[str], every: bool = False) -> list[Answer]:
        """One answer a text, in order, also for an empty one: `stream` as a list."""
        return list(self.stream(texts, every))

    def stream(
        self, lines: Iterable[str], every: bool = False, source: str = "texts"
    ) -> Iterator[Answer]:
        """Answers as they come, in flat memory; reads ahead `CHUNK` lines at most.

        Args:
            lines: each is a text; for pairs two texts with a tab between; for tagging words with
                spaces between.
            every: give the probabilities of all labels; not for tagging.
            source: what errors call the lines.

        Raises:
            DataError: for one text in place of several; later, for a line that is no text, too
                long, or no pair, after the answers to those before it.
            RunError: the adapter gives numbers that are not finite.
        """
        if isinstance(lines, str):
            raise DataError("this takes several texts: give [text] for one")
        if every and self._tags():
            raise LowresError(
                "--all (every): for tasks with one label a text; this adapter answers words"
            )
        return self._answered(lines, every, source)

    def _tags(self) -> bool:
        return self.task.model_class == "TokenClassification"

    def predict_proba(self, texts: Iterable[str]) -> Shares | list[Shares]:
        """Probabilities of all labels, in the order of `labels`.

        [texts, labels]; for tagging a list, [words, labels] a text. Lines are those of `stream`,
        and so are the errors.
        """
        if isinstance(texts, str):
            raise DataError("this takes several texts: give [text] for one")
        found: list[Shares] = []
        for chunk in input_lines.chunks(texts, CHUNK, "texts", self._read):
            found += self.shares(_columns(chunk))
        return found if self._tags() else np.array(found).reshape(-1, len(self.labels))

    def shares(self, columns: Mapping[str, Sequence[Any]]) -> list[Shares]:
        """As `predict_proba`, of examples in columns: `text`, `text_pair`, `tokens`."""
        found: list[Shares] = []
        first = next(iter(columns))
        for start in range(0, len(columns[first]), CHUNK):
            part = {name: list(rows[start : start + CHUNK]) for name, rows in columns.items()}
            _, windows, values = self._computed(part)
            if self._tags():
                sizes = [len(tokens) for tokens in part["tokens"]]
                found += answers.word_shares(windows, values, sizes)
            else:
                found += [*answers.every_share(windows, values, len(part[first]))]
        return found

    def _computed(self, columns: Mapping[str, list[Any]]) -> tuple[Dataset, Dataset, list[Any]]:
        """Examples, their windows and the logits of those."""
        from datasets import Dataset

        examples = Dataset.from_dict(columns)
        windows = self.task.encode(examples, self.tokenizer, self.labels, self.max_tokens)
        if self.unread is not None:
            self.unread.add(windows["input_ids"])
        pad_id = int(self.tokenizer.pad_token_id or 0)
        values = few_shapes.logits(self.network, windows, pad_id, self.hardware, self.batch_tokens)
        if not all(np.isfinite(value).all() for value in values):
            raise RunError("the adapter gives numbers that are not finite; train it again")
        return examples, windows, values

    def _answered(self, lines: Iterable[str], every: bool, source: str) -> Iterator[Answer]:
        bio = answers.is_bio(self.labels)
        for chunk in input_lines.chunks(lines, CHUNK, source, self._read):
            columns = _columns(chunk)
            examples, windows, values = self._computed(columns)
            found = self.task.decode(examples, windows, values, self.labels)
            shares = answers.every_share(windows, values, len(chunk)) if every else None
            for at, predicted in enumerate(found):
                if self._tags():
                    yield answers.of_words(predicted, columns["tokens"][at], chunk[at][0], bio)
                else:
                    own = None if shares is None else shares[at]
                    yield answers.of_label(predicted, own, self.labels)

    def columns(self, every: bool = False) -> tuple[str, ...]:
        """Names of an answer's columns in CSV, also where nothing is answered."""
        return answers.columns(self.labels, self._tags(), every)

    def _read(self, line: str, where: str) -> tuple[str, dict[str, Any]]:
        """A line, and what the task makes of it."""
        said = line
        if not line.strip() and "text_pair" in self.task.fields:
            # nothing is answered as two empty texts, as one is in other tasks
            said = "\t"
        try:
            fields = self.task.read_text(said)
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        words = len(fields.get("tokens", ()))
        if words > MOST_WORDS:
            raise DataError(
                f"{where}: {words:,} words; expected one sentence a line, at most {MOST_WORDS:,} "
                "words: split it"
            )
        return line, fields


def _columns(chunk: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, list[Any]]:
    return {name: [row[name] for _, row in chunk] for name in chunk[0][1]}


def find(path: Path) -> Path:
    """The adapter folder in `path`: itself, or that of a run's best seed on source dev.

    Raises `RunError` when there is none, or none that can be trusted.
    """
    if (path / "adapter_config.json").is_file():
        return path
    best: tuple[float, Path] | None = None
    failed = []
    for manifest in sorted((path / "train").glob(f"*/{MANIFEST}")):
        notes = json.loads(manifest.read_text(encoding="utf-8"))["notes"]
        folder = manifest.parent / "adapter"
        if notes["status"] != "ok":
            failed.append(f"{folder} ({notes['status']})")
        elif best is None or notes["dev"] > best[0]:
            best = (notes["dev"], folder)
    if best is not None:
        return best[1]
    if failed:
        raise RunError(
            f"{path}: no seed of this run can be trusted; to use one all the same, name its "
            f"folder: {', '.join(failed)}"
        )
    if (path / "adapter" / "adapter_config.json").is_file():
        return find(path / "adapter")
    raise RunError(
        f"{path}: no adapter here: expected adapter_config.json, or a finished run's folder "
        "(see `lowres ls runs`)"
    )


def locate(name: str, folder: Path, allow_pickle: bool = False) -> bases.LocatedBase:
    """The base an adapter was trained on: by the recipe's short name, else as peft wrote it (the
    recipe's own words may be a path relative to where it ran)."""
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    known = name if name in bases.ROWS else config["base_model_name_or_path"]
    return bases.locate(known, config.get("revision"), allow_pickle)


def task_of(meta: dict[str, Any]) -> TaskOptions:
    """The task that `labels.json` names. Raises `RunError` for none that is known."""
    try:
        name = meta["task"]["name"]
        task: TaskOptions = registry.module("tasks", name).Options(**meta["task"])
    except (KeyError, TypeError, ValidationError) as error:
        raise RunError(
            f"{adapter_files.LABELS_FILE}: task {meta['task']}: not known to this lowres (tasks: "
            f"{', '.join(registry.names('tasks'))}); was it made by a newer one?"
        ) from error
    return task


def load(
    name: str | Path,
    quantization: str | None = None,
    allow_pickle: bool = False,
    language: str | None = None,
    trimmed: bool = False,
    revision: str | None = None,
) -> Adapter:
    """Load an adapter from its folder, from a run's, or by its Hub id.

    Args:
        name: a folder, or `namespace/name` of the Hub where no folder is called so.
        language: take the adapter of this FLORES code where the run made one a language.
        trimmed: over the table that the run's `tokenizer.trim` has chosen; pieces that the study
            did not need read as unknown.
        quantization: `8bit`, `4bit`, `none`; by default what it was trained with.
        allow_pickle: load a base whose weights are pickled (such files can run code). The adapter's
            own never may be.
        revision: branch, tag or commit on the Hub.

    Raises:
        RunError: when there is no adapter, or one of another base or tokenizer.
        HubError: when the Hub has none, may not give it, or is out of reach and the cache has none.
    """
    place = hub_adapters.place(name, revision, language)
    common = find(place.folder)
    folder = common if language is None else adapter_files.of(common, language)
    own = () if language is not None else tuple(adapter_files.of_languages(common))
    notes = [*([place.note] if place.note else []), *([own_note(own)] if own else [])]
    hardware = detect()
    with quiet.loading():
        if not (folder / adapter_files.LABELS_FILE).is_file():
            found = _of_peft(folder, hardware, quantization, allow_pickle)
        else:
            found = _of_lowres(folder, hardware, quantization, allow_pickle, trimmed)
    tokens = BATCH_TOKENS[hardware.device]
    return replace(
        found, batch_tokens=tokens, notes=(*notes, *found.notes), folder=folder, languages=own
    )


def _of_lowres(
    folder: Path,
    hardware: Hardware,
    quantization: str | None,
    allow_pickle: bool,
    trimmed: bool,
) -> Adapter:
    meta = adapter_files.read_meta(folder)
    task = task_of(meta)
    try:
        options = Base(
            name=meta["base"],
            quantization=quantization or meta["quantization"],
            allow_pickle=allow_pickle,
        )
    except ValidationError as error:
        wanted = quantization or meta["quantization"]
        raise RunError(f"{folder}: quantization {wanted}: expected 8bit, 4bit or none") from error
    located = locate(options.name, folder, allow_pickle)
    adapter_files.check(folder, meta, located)
    hub_adapters.check_weights(str(folder), _names(folder))
    if trimmed:
        located = replace(located, kept=str(_kept_file(folder)))
    base = model.load_base(located, options, task, meta["labels"], hardware)
    try:
        network = adapter_files.load_adapter(base, folder)
    except RuntimeError as error:  # torch's, for weights of other shapes
        reason = " ".join(str(error).split())[:200]
        raise RunError(
            f"{folder}: its weights do not fit {located.name} with {len(meta['labels'])} labels "
            f"({reason}); copy the adapter again"
        ) from error
    tokenizer = adapter_files.tokenizer_of(folder, located)
    return Adapter(
        network,
        tokenizer,
        task,
        tuple(meta["labels"]),
        meta["max_tokens"],
        hardware,
        notes=_other_copy(meta, located),
        base=located,
        quantization=options.quantization,
        unread=_unread(network, tokenizer),
    )


def _unread(network: Any, tokenizer: Any) -> trimming.Unread | None:
    table, rows = trimming.find(network), new_rows.find(network)
    if table is None:
        return None
    first_new = None if rows is None else rows.first_id
    return trimming.Unread(table, first_new, tokenizer.all_special_ids)


def _of_peft(
    folder: Path, hardware: Hardware, quantization: str | None, allow_pickle: bool
) -> Adapter:
    """An adapter that another script made."""
    config = stacking.read_config(folder)
    if config.get("task_type") == _FEATURES:
        raise RunError(
            f"{folder}: a language adapter, without a task: train one on it (a recipe with "
            "adapt), or load it with peft for its vectors"
        )
    found = plain_peft.load(folder, hardware, quantization or "none", allow_pickle, verb="used")
    room = plain_peft.longest(found, _WINDOW)
    return Adapter(
        found.network,
        found.tokenizer,
        found.task,
        found.labels,
        room,
        hardware,
        notes=(f"{found.note}; read in windows of {room} sub-words",),
        base=found.located,
        quantization=quantization or "none",
    )


def _names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir() if entry.is_file())


def _kept_file(folder: Path) -> Path:
    """Of the run that an adapter lies in."""
    places = [above / KEPT for above in folder.resolve().parents]
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise RunError(
            f"--trimmed: {folder} lies in no run with a trimmed table; add tokenizer.trim to its "
            "recipe and run it again, or leave --trimmed out"
        )
    return found


def own_note(languages: Iterable[str]) -> str:
    """What is said of a common adapter where some languages have their own."""
    return f"{', '.join(languages)} have adapters of their own, which --lang CODE takes"


def _other_copy(meta: dict[str, Any], located: bases.LocatedBase) -> tuple[str, ...]:
    then, now = str(meta.get("base_obtained", located.obtained)), located.obtained
    if then.startswith("rebuilt") == now.startswith("rebuilt"):
        return ()
    return (
        f"trained over a copy of {located.name} that was had as: {then}; this one: {now}; "
        "probabilities differ a little",
    )
