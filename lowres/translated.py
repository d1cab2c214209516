"""Translate-train and translate-test: what is trained on, and what is answered, in translation.

Labels come from the original of the same id, tags by word alignment (`projection.py`); the files
are read by `aligned.py`. Systems of their own: the zero-shot adapter is trained as without them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import aligned, artifacts, predictions
from lowres.errors import DataError
from lowres.labels import is_bio
from lowres.projection import Aligner, project
from lowres.recipe_translated import USES, Translated, Use
from lowres.results import TranslationRecord
from lowres.tasks import Prediction
from lowres.variants import TRANSLATE_TEST, TRANSLATE_TRAIN, Variant

if TYPE_CHECKING:
    from datasets import Dataset

    from lowres.artifacts import Manifest
    from lowres.bases import LocatedBase
    from lowres.data import LabelledData
    from lowres.recipe import Recipe

RAW = "translations"
"""Folder of the answers to the translations themselves, where they are carried back."""


def languages(recipe: Recipe, use: Use) -> tuple[str, ...]:
    """Targets that have translations for a use."""
    section = recipe.translated
    if section is None:
        return ()
    return tuple(c for c in recipe.languages.targets if section.path(use, c) is not None)


def variants(recipe: Recipe, located: LocatedBase) -> list[Variant]:
    """The trainings on translations: one a target, or one for all of them."""
    every = len(recipe.languages.targets)
    return [
        Variant(TRANSLATE_TRAIN, located, place, targets=group, scores_source=len(group) == every)
        for group, place in _groups(recipe)
    ]


def places(recipe: Recipe) -> list[str]:
    """The folders of these variants, in the same order."""
    return [place for _, place in _groups(recipe)]


def _groups(recipe: Recipe) -> Iterator[tuple[tuple[str, ...], str]]:
    found = languages(recipe, "train")
    if not found:
        return
    if _section(recipe).together or len(found) == 1:
        yield found, f"{TRANSLATE_TRAIN}/"
        return
    for code in found:
        yield (code,), f"{TRANSLATE_TRAIN}/{code}/"


def _section(recipe: Recipe) -> Translated:
    assert recipe.translated is not None, "only asked where there are translations"
    return recipe.translated


def recipe_of(recipe: Recipe, steps: int) -> Recipe:
    """The recipe that translate-train is trained by; `steps` are those of the zero-shot training,
    where that goes by epochs."""
    own = _section(recipe).epochs
    changed: dict[str, Any] = {"steps": recipe.train.steps or steps}
    if own is not None:
        changed = {"epochs": own, "steps": None}
    return recipe.model_copy(update={"train": recipe.train.model_copy(update=changed)})


def digests(recipe: Recipe, use: Use, targets: Sequence[str] | None = None) -> list[str]:
    """Of the files of a use, by default of all targets that have one."""
    codes = languages(recipe, use) if targets is None else targets
    section = recipe.translated
    if section is None:
        return []
    return [artifacts.file_hash(aligned.file_of(section, use, code)) for code in codes]


def check(recipe: Recipe, data: LabelledData) -> None:
    """Whether every example has its translation, in the right language. Raises `DataError`."""
    if recipe.translated is not None:
        tests = {code: rows.to_dict() for code, rows in data.tests.items()}
        _check(recipe, data.labels, data.train.to_dict(), tests)


def check_files(recipe: Recipe) -> None:
    """Whether the translations that the recipe names are there. Raises `DataError`."""
    if recipe.translated is None:
        return
    for use in USES:
        for code in languages(recipe, use):
            aligned.file_of(recipe.translated, use, code)


def check_columns(
    recipe: Recipe,
    labels: Sequence[str],
    train: Mapping[str, list[Any]],
    tests: Mapping[str, Mapping[str, list[Any]]],
) -> None:
    """As `check`, of the columns of the source's training examples and of the targets' tests;
    imports no heavy library."""
    if recipe.translated is not None:
        _check(recipe, labels, train, tests)


def _check(
    recipe: Recipe,
    labels: Sequence[str],
    train: Mapping[str, list[Any]],
    tests: Mapping[str, Mapping[str, list[Any]]],
) -> None:
    if "tags" in recipe.task.fields and not is_bio(labels):
        raise DataError(
            "translated: only BIO tags (entities) can be carried over to a translation; leave the "
            "section out for other tags"
        )
    twice = [name for name, count in Counter(train["id"]).items() if count > 1]
    if twice and languages(recipe, "train"):
        raise DataError(
            f"translated.train: {twice[0]} is the id of an example in several of "
            f"{', '.join(recipe.languages.source)}; a translation is found by its id: make them "
            "different, or name one source"
        )
    # training data and unlabelled test texts; no label of a target is looked at
    source = recipe.languages.source[0]
    known = {source: aligned.of_columns(train)}
    known |= {code: aligned.of_columns(tests[code]) for code in recipe.languages.targets}
    for use in USES:
        for code in languages(recipe, use):
            written_in = code if use == "train" else source
            wanted = train if use == "train" else tests[code]
            rows = aligned.read(_section(recipe), use, code, {**wanted}, written_in)
            where = f"translated.{use}: {aligned.file_of(_section(recipe), use, code)}"
            aligned.check_language(where, rows, written_in, known)
            aligned.check_pairs(where, rows, wanted, written_in, source if use == "train" else code)


@dataclass(frozen=True)
class TrainSet:
    """Data with translations in `train`, and what became of the files."""

    data: LabelledData
    records: tuple[TranslationRecord, ...]


def train_data(
    recipe: Recipe, originals: LabelledData, seen: LabelledData, targets: Sequence[str]
) -> TrainSet:
    """What translate-train learns from. Raises `DataError`.

    Args:
        recipe: the study.
        originals: its data.
        seen: what the zero-shot training learns from: the same, or with augmented copies.
        targets: languages whose translations are taken.
    """
    from datasets import Dataset, concatenate_datasets

    section, rows, records = _section(recipe), originals.train.to_list(), []
    parts = [seen.train] if section.with_source else []
    for code in targets:
        translations = aligned.read(section, "train", code, originals.train.to_dict(), code)
        made = [
            {**original, **new, "language": code, "id": f"{original['id']}+{code}"}
            for original, new in zip(rows, translations, strict=True)
        ]
        repeated = aligned.overlap(translations, aligned.texts(originals.tests[code].to_list()))
        spans = lost = 0
        if "tags" in recipe.task.fields:
            made, spans, lost = _tagged(made, rows, code)
        records.append(
            _record(recipe, "train", code, len(rows)).model_copy(
                update={
                    "left_out": len(rows) - len(made), "spans": spans, "lost": lost,
                    "in_test": repeated,
                }
            )
        )  # fmt: skip
        columns = {name: [row[name] for row in made] for name in originals.train.column_names}
        parts.append(Dataset.from_dict(columns, features=originals.train.features))
    joined: Dataset = concatenate_datasets(parts)
    return TrainSet(replace(seen, train=joined), tuple(records))


def _record(recipe: Recipe, use: Use, language: str, n: int) -> TranslationRecord:
    file = aligned.file_of(_section(recipe), use, language)
    return TranslationRecord(
        language=language, use=use, n=n, where=str(file), sha256=artifacts.file_hash(file)
    )


def _tagged(
    made: Sequence[dict[str, Any]], originals: Sequence[dict[str, Any]], language: str
) -> tuple[list[dict[str, Any]], int, int]:
    """Translations with the tags of their originals; those that lost a span are left out."""
    pairs = [(old["tokens"], new["tokens"]) for old, new in zip(originals, made, strict=True)]
    aligner, kept, spans, lost = Aligner(pairs), [], 0, 0
    for original, row in zip(originals, made, strict=True):
        found = project(original["tags"], aligner.links(original["tokens"], row["tokens"]))
        spans, lost = spans + found.spans, lost + found.lost
        if not found.lost:
            kept.append({**row, "tags": list(found.tags)})
    if spans and lost == spans:
        raise DataError(
            f"translated.train: {language}: no span could be carried over to any of {len(made):,} "
            "translations; are they of the same sentences?"
        )
    return kept, spans, lost


def test_data(recipe: Recipe, data: LabelledData) -> LabelledData:
    """The study with the test sets' translations as its test sets. Raises `DataError`."""
    from datasets import Dataset

    tests, gold = {}, recipe.task.gold_field
    for code in languages(recipe, "test"):
        original, source = data.tests[code], recipe.languages.source[0]
        rows = aligned.read(_section(recipe), "test", code, original.to_dict(), source)
        made = [
            # gold tags have no places in the translation, and are not looked at
            {**old, **new, **({gold: ["O"] * len(new["tokens"])} if gold == "tags" else {})}
            for old, new in zip(original.to_list(), rows, strict=True)
        ]
        columns = {name: [row[name] for row in made] for name in original.column_names}
        tests[code] = Dataset.from_dict(columns, features=original.features)
    return replace(data, tests=tests)


def lines(recipe: Recipe, data: LabelledData) -> Iterator[str]:
    """All text of the translations, and each word of those that are in words."""
    for use in USES:
        for code in languages(recipe, use):
            wanted = (data.train if use == "train" else data.tests[code]).to_dict()
            written_in = code if use == "train" else recipe.languages.source[0]
            for row in aligned.read(_section(recipe), use, code, wanted, written_in):
                yield from aligned.texts([row])
                yield from row.get("tokens", ())


def raw_answers(recipe: Recipe, seed: int) -> str:
    """The folder inside `predictions` for the answers to translations, as they are given."""
    return f"{RAW if 'tags' in recipe.task.fields else TRANSLATE_TEST}/{seed}"


def carry_back(
    recipe: Recipe, data: LabelledData, asked: LabelledData, folder: Path
) -> list[TranslationRecord]:
    """Turn answers to the translations into answers to the originals, in `folder` of all answers.

    Args:
        recipe: the study.
        data: of it.
        asked: what `test_data` gave.
        folder: with the answers of every seed to `asked`, in `raw_answers`.
    """
    records, tagged = [], "tags" in recipe.task.fields
    for code, translation in asked.tests.items():
        record = _record(recipe, "test", code, len(translation))
        if tagged:
            back = _Back(data.tests[code], translation)
            for seed in recipe.seeds:
                raw = predictions.path_of(folder, raw_answers(recipe, seed), code)
                answers = back.answers(predictions.read(raw))
                file = predictions.path_of(folder, f"{TRANSLATE_TEST}/{seed}", code)
                predictions.write(file, data.tests[code], recipe.task.gold_field, answers)
            record = record.model_copy(update={"spans": back.spans, "lost": back.lost})
        records.append(record)
    return records


def records(stages: Sequence[Manifest]) -> list[TranslationRecord]:
    """Of all finished stages; seeds have the same."""
    found = [plain for stage in stages for plain in stage.notes.get("translations", [])]
    return list({(r["use"], r["language"]): TranslationRecord(**r) for r in found}.values())


class _Back:
    """The way from the words of a translation to those of its original."""

    def __init__(self, original: Dataset, translation: Dataset) -> None:
        self._pairs = list(zip(translation["tokens"], original["tokens"], strict=True))
        aligner = Aligner(self._pairs)
        self._links = [aligner.links(*pair) for pair in self._pairs]
        self.spans = self.lost = 0
        """Of all answers that were carried back."""

    def answers(self, answers: Sequence[Prediction]) -> list[Prediction]:
        """Tags of the originals' words; a word that is of none in the translation is O, with no
        probability."""
        made = []
        for links, answer in zip(self._links, answers, strict=True):
            found = project(answer.answer, links)
            self.spans, self.lost = self.spans + found.spans, self.lost + found.lost
            sure = answer.probability if isinstance(answer.probability, list) else []
            each = [0.0 if at is None else sure[at] for at in links]
            made.append(Prediction(list(found.tags), each))
        return made
