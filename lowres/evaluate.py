"""Answers of the adapters and of every baseline on every test set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lowres import adapter_files, inference, pooled, predictions, prefix, registry, translated
from lowres.baselines import BaselineContext
from lowres.bases import LocatedBase
from lowres.data import LabelledData
from lowres.hardware import Hardware, trim_heap
from lowres.prefix import Store
from lowres.progress import Progress
from lowres.recipe import Recipe
from lowres.results import TokenizerRecord
from lowres.shared import Shared

A_PASS = 4_096
"""Examples after which a pass over the targets ends: a kill loses one pass."""


def predict_adapter(
    recipe: Recipe,
    system: str,
    data: LabelledData,
    located: LocatedBase,
    hardware: Hardware,
    adapter: Path,
    folder: Path,
    progress: Progress,
    shared: Shared,
    store: Store | None,
) -> None:
    """Answers of one seed's adapter, to `folder/<system>/<language>.jsonl`; goes on where it was.

    The adapter holds all it stands on, so the base is the plain one. Where a language has an
    adapter of its own, that one answers.

    Args:
        recipe: the study.
        system: the seed, or `<control>/<seed>`.
        data: with the test sets.
        located: the base.
        hardware: where to compute.
        adapter: the folder that training left.
        folder: of all answers.
        progress: where to tell how it goes.
        shared: what this process has loaded.
        store: where states of frozen layers are kept.
    """
    files = {language: predictions.path_of(folder, system, language) for language in data.tests}
    missing = [language for language, file in files.items() if not file.is_file()]
    total = sum(len(data.tests[language]) for language in missing)
    loaded, quantization = None, recipe.base.quantization
    with progress.bar(f"evaluate, {_said(system)}", total) as advance:
        for its, languages in _passes(adapter, missing, data):
            if its != loaded:
                base = shared.base(located, recipe.base, recipe.task, data.labels, hardware)
                network = adapter_files.load_adapter(base, its)
                tokenizer = shared.tokenizer(located, its)
                frozen = prefix.of(network, located, quantization, hardware, store)
                loaded = its
            found = inference.predict_all(
                network,
                tokenizer,
                recipe.task,
                data.labels,
                [data.tests[language] for language in languages],
                hardware,
                recipe.train.max_tokens,
                recipe.evaluate.batch_tokens,
                encode=shared.windows,
                frozen=frozen,
            )
            for language, answers in zip(languages, found, strict=True):
                examples = data.tests[language]
                predictions.write(files[language], examples, recipe.task.gold_field, answers)
                advance(len(examples))


def predict_translations(
    recipe: Recipe,
    data: LabelledData,
    located: LocatedBase,
    hardware: Hardware,
    adapters: Sequence[Path],
    folder: Path,
    progress: Progress,
    shared: Shared,
    store: Store | None,
) -> list[dict[str, Any]]:
    """translate-test: answers to translated test sets, as answers to the originals; returns plain
    records of the files of translations, none without any.

    `adapters` are the zero-shot ones, in the order of the seeds; the rest is as in
    `predict_adapter`.
    """
    asked = translated.test_data(recipe, data)
    for seed, adapter in zip(recipe.seeds, adapters, strict=True) if asked.tests else ():
        system = translated.raw_answers(recipe, seed)
        predict_adapter(
            recipe, system, asked, located, hardware, adapter, folder, progress, shared, store
        )
    records = translated.carry_back(recipe, data, asked, folder)
    return [record.model_dump() for record in records]


def _passes(
    adapter: Path, languages: Sequence[str], data: LabelledData
) -> Iterator[tuple[Path, list[str]]]:
    """Languages that are answered in one pass, and the adapter that answers: sentences of many
    languages sort into batches of one length, and what is answered is written after the pass."""
    by_adapter: dict[Path, list[str]] = {}
    for language in languages:
        by_adapter.setdefault(adapter_files.of(adapter, language), []).append(language)
    for its, all_of_it in by_adapter.items():
        together: list[str] = []
        for language in all_of_it:
            if together and sum(len(data.tests[one]) for one in together) > A_PASS:
                yield its, together
                together = []
            together.append(language)
        yield its, together


def _said(system: str) -> str:
    control, _, seed = system.rpartition("/")
    return f"{control}, seed {seed}" if control else f"seed {seed}"


def baseline_names(recipe: Recipe) -> tuple[str, ...]:
    """Plug-ins in `lowres/baselines` that this recipe asks for, in the order of the table."""
    if recipe.evaluate.baselines != "auto":
        return recipe.evaluate.baselines
    lexical = recipe.task.lexical_baselines
    yardsticks = tuple(
        f"{name}_target" for name in lexical if f"{name}_target" in registry.names("baselines")
    )
    return (*lexical, "probe", *yardsticks)


def predict_baselines(
    recipe: Recipe,
    data: LabelledData,
    located: LocatedBase,
    hardware: Hardware,
    folder: Path,
    progress: Progress,
    shared: Shared,
) -> list[str]:
    """Answers of every baseline, to `folder/<system>/<language>.jsonl`; returns the systems."""
    systems = []
    embedder = pooled.Sampling(_Embedder(recipe, located, data, hardware, shared))
    names = baseline_names(recipe)
    with progress.bar("baselines", len(names)) as advance:
        for name in names:
            plugin = registry.module("baselines", name)
            systems.append(plugin.SYSTEM)
            done = folder / plugin.SYSTEM / ".whole"
            if not done.is_file():
                context = BaselineContext(data=data, task=recipe.task, embed=embedder)
                for language, answers in plugin.predict(context).items():
                    file = predictions.path_of(folder, plugin.SYSTEM, language)
                    predictions.write(file, data.tests[language], recipe.task.gold_field, answers)
                # before the baseline counts as whole: a run that goes on does not embed again
                embedder.write(data, folder)
                done.parent.mkdir(parents=True, exist_ok=True)
                done.touch()
            advance(1)
    return systems


class _Embedder:
    """The frozen base's features, loaded when a baseline first asks."""

    def __init__(
        self,
        recipe: Recipe,
        located: LocatedBase,
        data: LabelledData,
        hardware: Hardware,
        shared: Shared,
    ) -> None:
        self._recipe = recipe
        self._located = located
        self._labels = data.labels
        self._hardware = hardware
        self._shared = shared
        self._loaded: tuple[Any, Any] | None = None

    def __call__(self, examples: Any) -> Any:
        recipe = self._recipe
        if self._loaded is None:
            base = self._shared.base(
                self._located, recipe.base, recipe.task, self._labels, self._hardware
            )
            self._loaded = base.base_model, self._shared.tokenizer(self._located)
        encoder, tokenizer = self._loaded
        found = inference.embed(
            encoder,
            tokenizer,
            recipe.task,
            examples,
            self._hardware,
            recipe.train.max_tokens,
            recipe.evaluate.batch_tokens,
            encode=self._shared.windows,
        )
        trim_heap()
        return found


def mended(recipe: Recipe, data: LabelledData, located: LocatedBase, shared: Shared) -> list[str]:
    """What the task had to mend in the examples (cut words, words without a piece), in words."""
    tokenizer = shared.tokenizer(located)
    parts = {"train": data.train, "dev": data.dev, **data.tests}
    return [
        f"{name}: {note}"
        for name, examples in parts.items()
        for note in recipe.task.notes(examples, tokenizer, recipe.train.max_tokens)
    ]


def tokenizer_records(
    recipe: Recipe, data: LabelledData, located: LocatedBase, shared: Shared
) -> list[TokenizerRecord]:
    """Fertility and unknown share of the tokenizer on every test set, before any extension too."""
    tokenizer = shared.tokenizer(located)
    base = shared.tokenizer(located.plain()) if located.extension else None
    records = []
    for language, examples in data.tests.items():
        windows = shared.windows(recipe.task, examples, tokenizer, (), recipe.train.max_tokens)
        fields = [f for f in recipe.task.fields if f != recipe.task.gold_field]
        texts = [
            " ".join(row[f]) if isinstance(row[f], list) else row[f]
            for row in examples
            for f in fields
        ]
        pieces, unknown = _pieces(tokenizer, texts)
        before, unknown_before = _pieces(base, texts) if base else (None, None)
        words = max(1, sum(len(text.split()) for text in texts))
        records.append(
            TokenizerRecord(
                language=language,
                fertility=round(pieces / words, 3),
                unknown_share=round(unknown / max(1, pieces), 4),
                fertility_before=None if before is None else round(before / words, 3),
                unknown_share_before=(
                    None if before is None else round((unknown_before or 0) / max(1, before), 4)
                ),
                windows=sum(n > 1 for n in Counter(windows["example"]).values()),
            )
        )
    return records


def _pieces(tokenizer: Any, texts: list[str]) -> tuple[int, int]:
    """All pieces of the texts, and the unknown ones among them."""
    ids = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
    return sum(map(len, ids)), sum(row.count(tokenizer.unk_token_id) for row in ids)
