"""Labelled data of sources and targets, from files or the Hub, in one form.

A target's dev split is never read: checkpoints are chosen on source dev. A target's train split
is read only for the yardstick baseline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from lowres import hub_data, locations, readers
from lowres import labels as label_names
from lowres.columns import Part, examples
from lowres.errors import DataError
from lowres.labels import LabelMap
from lowres.locations import Origin
from lowres.readers import Table
from lowres.results import DataRecord

if TYPE_CHECKING:
    from datasets import Dataset

    from lowres.recipe import Recipe
    from lowres.recipe_data import DataSource
    from lowres.tasks import TaskOptions

HOLD_OUT = 10
"""Without a dev split every 10th training example of the source is held out for it."""


@dataclass(frozen=True)
class LabelledData:
    """Everything a run reads. Columns: id, language, the task's fields; labels as names."""

    labels: tuple[str, ...]
    """Sorted, of the source's training data (tagging: O first, BIO tags with their partner)."""
    train: Dataset
    """All sources, in recipe order."""
    dev: Dataset
    """Dev splits of all sources."""
    tests: dict[str, Dataset]
    """Sources first, then targets, in recipe order. A source without a test split is scored on
    its dev split."""
    target_train: dict[str, Dataset]
    """Targets that have training data; only for the yardstick."""
    records: tuple[DataRecord, ...]
    splits: dict[str, str]
    """Language -> the split that `tests` holds."""
    warnings: tuple[str, ...]

    @property
    def target_sizes(self) -> dict[str, int]:
        """Training examples of every target that has any."""
        return {code: len(rows) for code, rows in self.target_train.items()}


def check_files(recipe: Recipe) -> None:
    """Whether every template is sound and every needed file is there; reads none.

    Needed: train of the sources, test of the targets. Raises `DataError` that names every file
    that is missing.
    """
    for spec, key, languages in _specs(recipe):
        if spec.files is not None:
            locations.check_template(spec, key, languages)
        else:
            hub_data.check_config(spec, key, languages)
    needed = [(code, "train") for code in recipe.languages.source]
    needed += [(code, "test") for code in recipe.languages.targets]
    absent = []
    for language, split in needed:
        origin = origin_of(recipe, language)
        if origin.spec.files is not None and locations.find(origin, split) is None:
            absent.append(locations.absent(origin, split))
    if absent:
        more = f"; and {len(absent) - 5} more" if len(absent) > 5 else ""
        raise DataError(
            f"data missing: {'; '.join(absent[:5])}{more} "
            "(check data.files from this folder, data.names and data.splits)"
        )
    _check_distinct(recipe)


def load(recipe: Recipe) -> LabelledData:
    """Read, rename, align.

    Raises `DataError` for what a file or its labels lack, `HubError` for what the Hub does not
    give. Takes a few seconds for 40 languages of local files.
    """
    return _assembled(recipe, *read(recipe))


def read(recipe: Recipe) -> tuple[tuple[str, ...], dict[tuple[str, str], Part], list[str]]:
    """The labels, the parts by language and split, and warnings: all that `load` holds, and
    raises. Imports no heavy library where the data is in files."""
    check_files(recipe)
    reading = _Reading(recipe)
    sources, targets = recipe.languages.source, recipe.languages.targets
    parts: dict[tuple[str, str], Part] = {}
    for language in sources:
        parts |= reading.source(language)
    for language in targets:
        parts |= reading.target(language)
    reading.warn_unmet_keys()
    label_names.check_alike([parts[code, "train"] for code in sources], recipe.data.unseen_labels)
    labels = label_names.label_set([parts[code, "train"] for code in sources])
    if len(labels) < 2:
        raise DataError(
            f"the training data of {', '.join(sources)} shows one label ({', '.join(labels)}); "
            "at least two are needed: check data.columns and data.labels"
        )
    for metric in () if recipe.evaluate.metrics == "auto" else recipe.evaluate.metrics:
        reason = recipe.task.misfit(metric, labels)
        if reason is not None:
            raise DataError(
                f"evaluate.metrics: {metric} cannot score these labels ({', '.join(labels[:8])}): "
                f"{reason}; name another metric, or write auto"
            )
    settled, warnings = label_names.align(list(parts.values()), labels, recipe.data.unseen_labels)
    parts = dict(zip(parts, settled, strict=True))
    for part in settled:
        _check_filled(part, needed=part.split != "train" or part.language in sources)
    return labels, parts, [*reading.warnings, *warnings]


def source_columns(recipe: Recipe, split: str) -> dict[str, list[Any]] | None:
    """The fields of one split of the sources, and nothing else of the study; None where it is on
    the Hub, or there is no dev split. Imports no heavy library. Raises `DataError` as `load`
    does."""
    found: dict[str, list[Any]] = {name: [] for name in recipe.task.fields}
    for language in recipe.languages.source:
        origin = origin_of(recipe, language)
        if origin.spec.files is None:
            return None
        columns = columns_of(recipe, language, split)
        if columns is None and split == "dev":
            return None
        if columns is None:
            raise DataError(f"data missing: {locations.absent(origin, split)}")
        for name in found:
            found[name] += columns[name]
    return found


def columns_of(recipe: Recipe, language: str, split: str) -> dict[str, list[Any]] | None:
    """The fields of one split of one language in files; None where it has none. As light as
    `source_columns`."""
    fields, origin = tuple(recipe.task.fields), origin_of(recipe, language)
    part = _SplitReader(origin, None, fields, LabelMap(origin.spec.labels))(split)
    return None if part is None else {name: part.columns[name] for name in fields}


@dataclass(frozen=True)
class Tests:
    """Labelled examples to score an adapter on, by language, with the adapter's labels."""

    sets: dict[str, Dataset]
    records: tuple[DataRecord, ...]
    warnings: tuple[str, ...]


def load_tests(
    task: TaskOptions,
    spec: DataSource,
    key: str,
    languages: Sequence[str],
    split: str,
    labels: Sequence[str],
    unseen_labels: str,
) -> Tests:
    """One split of some languages, for an adapter that is trained already.

    Args:
        task: of the adapter.
        spec: where the data is.
        key: what messages call that.
        languages: FLORES codes.
        split: train, dev or test.
        labels: that the adapter knows.
        unseen_labels: of `data.unseen_labels`.

    Raises:
        DataError: for what a file or its labels lack.
    """
    if spec.files is not None:
        locations.check_template(spec, key, tuple(languages))
    else:
        hub_data.check_config(spec, key, tuple(languages))
    parts, warnings = [], []
    renames = LabelMap(spec.labels)
    for language in languages:
        origin = Origin(spec, key, language)
        opened = hub_data.open_set(origin) if spec.files is None else None
        warnings += [f"{language}: {note}" for note in (opened.notes if opened else ())]
        part = _SplitReader(origin, opened, tuple(task.fields), renames)(split)
        if part is None:
            raise DataError(f"data missing: {locations.absent(origin, split)}")
        parts.append(part)
    settled, more = label_names.align(parts, tuple(labels), unseen_labels)
    for part in settled:
        _check_filled(part, needed=True)
    return Tests(
        {part.language: _dataset([part], tuple(task.fields)) for part in settled},
        tuple(_record(part) for part in settled),
        (*warnings, *more),
    )


def _specs(recipe: Recipe) -> list[tuple[DataSource, str, tuple[str, ...]]]:
    """Every section that says where data is, and the languages it serves."""
    data, languages = recipe.data, recipe.languages
    if data.source is None:
        return [(data, "data", (*languages.source, *languages.targets))]
    return [(data.source, "data.source", languages.source), (data, "data", languages.targets)]


def origin_of(recipe: Recipe, language: str) -> Origin:
    """Where the recipe has a language's labelled data."""
    if recipe.data.source is not None and language in recipe.languages.source:
        return Origin(recipe.data.source, "data.source", language)
    return Origin(recipe.data, "data", language)


def _check_distinct(recipe: Recipe) -> None:
    """No file may serve twice: a test set seen in training measures nothing."""
    seen: dict[Any, str] = {}
    for language in (*recipe.languages.source, *recipe.languages.targets):
        for split in locations.USUAL_SPLITS:
            origin = origin_of(recipe, language)
            place = locations.find(origin, split)
            if place is None:
                continue
            use = f"{language} {split}"
            other = seen.setdefault(place.path.resolve(), use)
            if other != use:
                raise DataError(
                    f"{place.shown}: would be both {other} and {use}; "
                    f"check {origin.key}.files, {origin.key}.names and {origin.key}.splits"
                )


@dataclass
class _Reading:
    """Reads the splits of a recipe, one language after another; collects warnings."""

    recipe: Recipe
    warnings: list[str] = field(default_factory=list)
    _maps: dict[str, LabelMap] = field(default_factory=dict)

    def source(self, language: str) -> dict[tuple[str, str], Part]:
        """train, dev and, where there is one, test."""
        read = self._reader(language)
        train, dev, test = read("train"), read("dev"), read("test")
        if train is None:
            raise DataError(
                f"{language}: no train split; a source language needs labelled training data "
                "(check data.splits and data.files)"
            )
        _check_filled(train, needed=True)
        if dev is None:
            train, dev = _hold_out(train)
            self.warnings.append(f"{language} dev: {dev.notes[-1]}")
        if test is None:
            dev = dev.noted("no test split: this language is scored on dev")
            self.warnings.append(
                f"{language}: no test split, scored on dev (which also chose the checkpoint)"
            )
        found = {"train": train, "dev": dev, "test": test}
        return {(language, name): part for name, part in found.items() if part is not None}

    def target(self, language: str) -> dict[tuple[str, str], Part]:
        """test and, for the yardstick, train. Never dev."""
        read = self._reader(language)
        train, test = read("train"), read("test")
        if test is None:
            raise DataError(
                f"{language}: no test split; a target is scored on its test split "
                "(check data.splits and data.files)"
            )
        if train is not None and not len(train):
            train = train.noted("no rows: no training data")
        found = {"train": train, "test": test}
        return {(language, name): part for name, part in found.items() if part is not None}

    def _reader(self, language: str) -> _SplitReader:
        origin = origin_of(self.recipe, language)
        opened = hub_data.open_set(origin) if origin.spec.files is None else None
        if opened is not None:
            self.warnings += [f"{language}: {note}" for note in opened.notes]
        renames = self._maps.setdefault(origin.key, LabelMap(origin.spec.labels))
        return _SplitReader(origin, opened, tuple(self.recipe.task.fields), renames)

    def warn_unmet_keys(self) -> None:
        """A key of the label map that no file holds is most likely misspelt."""
        for key, renames in self._maps.items():
            if renames.unmet():
                unmet = ", ".join(renames.unmet())
                self.warnings.append(f"{key}.labels: no file holds {unmet}")


@dataclass(frozen=True)
class _SplitReader:
    origin: Origin
    opened: hub_data.HubSet | None
    fields: tuple[str, ...]
    renames: LabelMap

    def __call__(self, split: str) -> Part | None:
        """One split with its labels renamed, or None where the data set has none."""
        table = self._table(split)
        if table is None:
            return None
        origin = self.origin
        part = examples(table, self.fields, origin.spec.columns, origin.key, origin.language, split)
        return self.renames.apply(part)

    def _table(self, split: str) -> Table | None:
        if self.opened is not None:
            return self.opened.table(self.origin, split)
        place = locations.find(self.origin, split)
        if place is None:
            return None
        spec = self.origin.spec
        table = readers.read(place.path, spec.format, spec.quoting)
        # Records name the path as the recipe does: `lowres:demo/…` means the same everywhere.
        return Table(table.columns, table.rows, table.lines, table.notes, place.shown, table.unit)


def _hold_out(train: Part) -> tuple[Part, Part]:
    held = list(range(HOLD_OUT - 1, len(train), HOLD_OUT)) or [len(train) - 1]
    rest = sorted(set(range(len(train))) - set(held))
    note = f"no dev split: {len(held)} of the {len(train)} training examples held out"
    dev = Part(train.language, "dev", train.columns, train.table, train.rows, train.notes)
    return train.keep(rest).noted(note), dev.keep(held).noted(note)


def _check_filled(part: Part, needed: bool) -> None:
    if needed and not len(part):
        reason = "" if not part.table.rows else " after labels were dropped"
        raise DataError(
            f"{part.table.source}: {part.language} {part.split} has no examples{reason}; "
            "at least one is needed"
        )


def _assembled(
    recipe: Recipe,
    labels: tuple[str, ...],
    parts: Mapping[tuple[str, str], Part],
    warnings: Sequence[str],
) -> LabelledData:
    sources, targets = recipe.languages.source, recipe.languages.targets
    fields = tuple(recipe.task.fields)
    splits = {code: "test" if (code, "test") in parts else "dev" for code in (*sources, *targets)}
    return LabelledData(
        labels=labels,
        train=_dataset([parts[code, "train"] for code in sources], fields),
        dev=_dataset([parts[code, "dev"] for code in sources], fields),
        tests={code: _dataset([parts[code, splits[code]]], fields) for code in splits},
        target_train={
            code: _dataset([parts[code, "train"]], fields)
            for code in targets
            if (code, "train") in parts and len(parts[code, "train"])
        },
        records=tuple(_record(part) for part in parts.values()),
        splits=splits,
        warnings=tuple(warnings),
    )


def _dataset(parts: Sequence[Part], fields: Sequence[str]) -> Dataset:
    """Concatenated, with explicit features: nothing is inferred from the values."""
    from datasets import Dataset, Features, List, Value

    string = Value("string")
    features = {"id": string, "language": string}
    columns: dict[str, list[Any]] = {
        "id": [name for part in parts for name in part.columns["id"]],
        "language": [part.language for part in parts for _ in part.rows],
    }
    for name in fields:
        features[name] = List(string) if name in ("tokens", "tags") else string
        columns[name] = [value for part in parts for value in part.columns[name]]
    return Dataset.from_dict(columns, features=Features(features))


def _record(part: Part) -> DataRecord:
    return DataRecord(
        language=part.language,
        split=part.split,
        n=len(part),
        where=part.table.source,
        notes=list(part.notes),
    )
