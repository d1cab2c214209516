"""What `symptoms.py` needs, gathered from a finished run: texts, answers, the tokenizer's pieces.

Nothing is trained for it. What is asked beside the test sets, in passing while an adapter is loaded
to answer them: the recipe's own answers a sample of the source's training and dev examples, one
that was trained on a few labels of one target alone a sample of the source's test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from lowres import comparing, corpus, evenly, failures, few_shot, pooled, style, symptoms, variants
from lowres.label_shift import label_shift
from lowres.predictions import Answers
from lowres.symptoms import Answered, Cut

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

    from lowres.artifacts import RunFolder
    from lowres.data import LabelledData
    from lowres.recipe import Recipe
    from lowres.results import Results, Symptom
    from lowres.variants import Variant

TRAIN: Final = "source-train"
DEV: Final = "source-dev"
"""In the place of a language among the answers: samples of the source's own examples."""
SAMPLE: Final = 200
"""Examples of each."""


def with_samples(data: LabelledData) -> LabelledData:
    """The data with samples of the source's training and dev examples among the test sets."""
    samples = {TRAIN: _sample(data.train), DEV: _sample(data.dev)}
    return replace(data, tests={**data.tests, **samples})


def asked_of(
    variant: Variant, answered: LabelledData, labelled: LabelledData, sources: Sequence[str]
) -> LabelledData:
    """The data with all test sets that a variant answers, these samples among them.

    Args:
        variant: whose adapter is asked.
        answered: the data with the test sets that are scored.
        labelled: the data of the study.
        sources: its source languages.
    """
    if not variant.folder:
        return with_samples(answered)
    # draws are alike in what they make an adapter forget, and comparisons use the first one
    if variant.shots is None or variant.scores_source or variant.draw not in (None, 1):
        return answered
    samples = {
        _after(code, target): _sample(labelled.tests[code])
        for target in variant.targets or ()
        for code in sources
    }
    return replace(answered, tests={**answered.tests, **samples})


def _after(source: str, target: str) -> str:
    """In the place of a language: the source's test set, answered by a target's own adapter."""
    return f"{source}-after-{target}"


def _sample(examples: Dataset) -> Dataset:
    """Evenly over the set, which may be sorted by label or language."""
    return examples.select(evenly.places(len(examples), SAMPLE))


@dataclass(frozen=True)
class _Run:
    """What is looked at."""

    recipe: Recipe
    data: LabelledData
    results: Results
    answers: Answers
    seed: int | None
    """Whose answers are looked at; None where no seed can be trusted."""
    pooled: dict[str, float]
    """Of each language, how far it is from the source in the base's vectors."""

    @property
    def targets(self) -> tuple[str, ...]:
        return self.recipe.languages.targets

    @property
    def metric(self) -> str:
        return self.results.scores[0].metric

    def answered(self, language: str, gold: Sequence[Any]) -> Answered:
        """Answers are empty where nothing can be trusted, or nothing was asked."""
        if self.seed is None or not self.answers.has(str(self.seed), language):
            return Answered(gold, ())
        return Answered(gold, self.answers.labels(str(self.seed), language))


def look(
    results: Results,
    recipe: Recipe,
    data: LabelledData,
    tokenizer: PreTrainedTokenizerBase,
    folder: RunFolder,
) -> list[Symptom]:
    """Every symptom that can be looked for, in the order of `symptoms.NAMES`.

    Args:
        results: of the run.
        recipe: the study.
        data: all that it read.
        tokenizer: of the recipe's own training.
        folder: of the run, with the answers.
    """
    gold = {code: list(test[recipe.task.gold_field]) for code, test in data.tests.items()}
    where = folder.path / "evaluate" / "predictions"
    answers = Answers(where, gold)
    run = _Run(recipe, data, results, answers, _seed(results), pooled.read(where))
    found = [
        *_domain_shift(run),
        *_compared(run),
        *_over_fitting(run),
        *_tokenisation(run, tokenizer),
        *_label_shift(run),
    ]
    return sorted(found, key=lambda s: symptoms.NAMES.index(s.name))


def _seed(results: Results) -> int | None:
    """The one that comparisons use, if it can be trusted."""
    trusted = [s.seed for s in results.seeds if s.status == "ok"]
    named = results.comparisons[0].seed if results.comparisons else None
    return named if named in trusted else next(iter(trusted), None)


def texts(task: Any, examples: Dataset) -> list[str]:
    """What is read of every example: its text, both texts of a pair, or its words."""
    columns = [examples[field] for field in task.fields if field != task.gold_field]
    return [
        " ".join(" ".join(part) if isinstance(part, list) else part for part in parts)
        for parts in zip(*columns, strict=True)
    ]


def script_of(code: str) -> str:
    """ISO 15924 code."""
    return code[-4:]


def _domain_shift(run: _Run) -> list[Symptom]:
    """The sources' own test sets too: how far two parts of one data set are from each other."""
    task, data = run.recipe.task, run.data
    source = style.read(texts(task, data.train), data.train["language"][:])
    found = []
    for code, test in data.tests.items():
        target = style.read(texts(task, test), [code] * len(test))
        if source is not None and target is not None:
            shift = style.distance(source, target)
            found.append(symptoms.domain_shift(code, shift, run.pooled.get(code)))
    return [symptom for symptom in found if symptom is not None]


def _compared(run: _Run) -> list[Symptom]:
    if run.seed is None:
        return []
    rows = run.results.comparisons
    found = [
        symptom
        for code in run.targets
        if (symptom := symptoms.negative_transfer(code, rows, len(run.data.tests[code])))
    ]
    for code in run.recipe.languages.source:
        found += symptoms.forgetting(code, rows, len(run.data.tests[code]))
        found += _forgotten_apart(run, code, run.seed)
    return found


def _forgotten_apart(run: _Run, source: str, seed: int) -> list[Symptom]:
    """A line a number of shots, of which every target has a training of its own."""
    gold, test = run.recipe.task.gold_field, run.data.tests[source]
    rows = evenly.places(len(test), SAMPLE)
    golds = list(test.select(rows)[gold])
    said = run.answers.labels(str(seed), source)
    before = [said[row] for row in rows]
    found = []
    for shots in few_shot.asked(run.recipe):
        system = variants.few_shot(shots)
        where = f"{system}/{seed}"
        losses = {}
        for target in run.targets:
            lost = failures.lost(run.results.failures, system, target, seed)
            # a run from before they were asked has no answers
            if lost or not run.answers.has(where, _after(source, target)):
                continue
            both = before, run.answers.labels(where, _after(source, target))
            losses[target] = comparing.on_examples(
                run.recipe, run.data, golds, both, system, source, run.metric, seed
            )
        found.append(symptoms.worst_forgotten(losses, len(rows)))
    return [symptom for symptom in found if symptom is not None]


def _over_fitting(run: _Run) -> list[Symptom]:
    """One line a source language that has enough examples in the samples."""
    field = run.recipe.task.gold_field
    parts = {TRAIN: _sample(run.data.train), DEV: _sample(run.data.dev)}
    answered = {name: run.answered(name, list(part[field])) for name, part in parts.items()}
    if any(len(each.said) != len(each.gold) for each in answered.values()):
        # a run from before there were samples
        return []
    found = []
    for code in run.recipe.languages.source:
        its = []
        for name, part in parts.items():
            rows = [at for at, language in enumerate(part["language"]) if language == code]
            gold, said = answered[name].gold, answered[name].said
            its.append(Answered([gold[at] for at in rows], [said[at] for at in rows]))
        found.append(symptoms.over_fitting(code, run.metric, its[0], its[1], run.data.labels))
    return [symptom for symptom in found if symptom is not None]


def _tokenisation(run: _Run, tokenizer: PreTrainedTokenizerBase) -> list[Symptom]:
    if run.seed is None:
        return []
    unknown = {row.language: row.unknown_share for row in run.results.tokenizer}
    found = []
    for code in run.targets:
        test = run.data.tests[code]
        answered = run.answered(code, list(test[run.recipe.task.gold_field]))
        cut = _cut(run.recipe.task, test, answered, tokenizer, code, unknown.get(code, 0.0))
        found.append(symptoms.tokenisation(code, cut, len(run.targets)))
    return [symptom for symptom in found if symptom is not None]


def _cut(
    task: Any, test: Dataset, answered: Answered, tokenizer: Any, code: str, unknown: float
) -> Cut:
    if task.gold_field == "tags":
        return _cut_words(test, answered, tokenizer, unknown)
    spaced = script_of(code) not in corpus.SPACELESS
    read = texts(task, test)
    sizes = [len(text.split()) if spaced else len("".join(text.split())) for text in read]
    pieces = np.array(_pieces(tokenizer, read), dtype=float) / np.maximum(sizes, 1)
    wrong = [gold != said for gold, said in zip(answered.gold, answered.said, strict=True)]
    unit = "a word" if spaced else "a character"
    return Cut(pieces, np.array(wrong, dtype=float), np.arange(len(read)), unit, unknown)


def _cut_words(test: Dataset, answered: Answered, tokenizer: Any, unknown: float) -> Cut:
    """Words; where tags are spans, those in a span of the gold or of the answer alone, as nearly
    all others are right whatever they are cut into."""
    words = [
        (word, gold != said, at)
        for at, (tokens, golds, saids) in enumerate(
            zip(test["tokens"], answered.gold, answered.said, strict=True)
        )
        for word, gold, said in zip(tokens, golds, saids, strict=True)
        if (gold, said) != ("O", "O")
    ]
    forms = list(dict.fromkeys(word for word, _, _ in words))
    cut = dict(zip(forms, _pieces(tokenizer, forms), strict=True)) if forms else {}
    return Cut(
        np.array([cut[word] for word, _, _ in words], dtype=float),
        np.array([wrong for _, wrong, _ in words], dtype=float),
        np.array([at for _, _, at in words], dtype=np.int64),
        "a word",
        unknown,
    )


def _pieces(tokenizer: Any, lines: list[str]) -> list[int]:
    rows = tokenizer(lines, add_special_tokens=False, verbose=False)["input_ids"]
    return [len(row) for row in rows]


def _label_shift(run: _Run) -> list[Symptom]:
    field = run.recipe.task.gold_field
    source = list(run.data.train[field])
    found = []
    for code in run.targets:
        answered = run.answered(code, list(run.data.tests[code][field]))
        found.append(
            label_shift(code, source, answered, run.metric, run.data.labels, len(run.targets))
        )
    return [symptom for symptom in found if symptom is not None]
