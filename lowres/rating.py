"""An adapter on new labelled data: the scores of `lowres evaluate`, in the form of a run's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowres import data, inference, predictions, scoring, stats
from lowres.languages import describe
from lowres.results import (
    BaseRecord,
    LanguageRecord,
    Resources,
    Results,
    Score,
    Stage,
    Verdict,
)

if TYPE_CHECKING:
    from lowres.predict import Adapter
    from lowres.progress import Progress
    from lowres.recipe import DataSource

RESAMPLES = 1000


@dataclass(frozen=True)
class Asked:
    """What to score on. `split`: train, dev or test, under its usual names."""

    spec: DataSource
    languages: tuple[str, ...]
    split: str
    unseen_labels: str


def rate(
    adapter: Adapter,
    name: str,
    base: tuple[str, str],
    asked: Asked,
    folder: Path,
    progress: Progress,
) -> Results:
    """Answer every language's examples and score the answers.

    Args:
        adapter: loaded.
        name: of the adapter, for the table.
        base: name of its base, and how it is quantised.
        asked: the data.
        folder: where `predictions/adapter/<language>.jsonl` go.
        progress: where to tell how it goes.

    Raises:
        DataError: for what a file or its labels lack.
    """
    tests = data.load_tests(
        adapter.task,
        asked.spec,
        "--data",
        asked.languages,
        asked.split,
        adapter.labels,
        asked.unseen_labels,
    )
    metrics = adapter.task.metrics(adapter.labels)
    scores: list[Score] = []
    verdicts: list[Verdict] = []
    with progress.bar("evaluate", sum(map(len, tests.sets.values()))) as advance:
        for language, examples in tests.sets.items():
            answers = inference.predict(
                adapter.network,
                adapter.tokenizer,
                adapter.task,
                adapter.labels,
                examples,
                adapter.hardware,
                adapter.max_tokens,
                adapter.batch_tokens,
            )
            file = predictions.path_of(folder / "predictions", "adapter", language)
            predictions.write(file, examples, adapter.task.gold_field, answers)
            gold = list(examples[adapter.task.gold_field])
            said = [answer.answer for answer in answers]
            own = _scores(language, asked.split, metrics, gold, said, adapter.labels)
            scores += own
            verdicts.append(_verdict(language, gold, said, own[0]))
            advance(len(examples))
    return _results(adapter, name, base, asked, tests, scores, verdicts)


def _scores(
    language: str,
    split: str,
    metrics: Sequence[str],
    gold: Sequence[Any],
    said: Sequence[Any],
    labels: Sequence[str],
) -> list[Score]:
    found = []
    for metric in metrics:
        interval = stats.score(metric, gold, said, labels, RESAMPLES)
        found.append(
            Score(
                system=scoring.ADAPTER,
                language=language,
                role="target",
                split=split,
                metric=metric,
                value=interval.value,
                low=interval.low,
                high=interval.high,
                n=interval.n,
            )
        )
    return found


def _verdict(language: str, gold: Sequence[Any], said: Sequence[Any], score: Score) -> Verdict:
    if stats.collapsed(said, gold):
        return Verdict(language=language, verdict="collapsed", reason="(nearly) one answer to all")
    reason = f"{score.metric} {score.value:.3f}: no baseline was run here to compare with"
    return Verdict(language=language, verdict="not judged", reason=reason)


def _results(
    adapter: Adapter,
    name: str,
    base: tuple[str, str],
    asked: Asked,
    tests: data.Tests,
    scores: list[Score],
    verdicts: list[Verdict],
) -> Results:
    recipe = {
        "name": name,
        "question": "",
        "task": adapter.task.model_dump(mode="json"),
        "languages": {"source": [], "targets": list(asked.languages)},
        "data": asked.spec.model_dump(mode="json"),
    }
    total, trainable = adapter.network.get_nb_trainable_parameters()[::-1]
    known = [describe(code) for code in tests.sets]
    return Results(
        schema=1,
        recipe=recipe,
        base=BaseRecord(
            name=base[0],
            obtained="with the adapter",
            quantization=base[1],
            parameters=int(total),
            trainable_parameters=int(trainable),
        ),
        labels=list(adapter.labels),
        languages=[
            LanguageRecord(code=k.code, name=k.name, direction=k.direction, script=k.script)
            for k in known
        ],
        data=list(tests.records),
        stages=list[Stage](),
        seeds=[],
        scores=scores,
        averages=scoring.averages(scores, []),
        comparisons=[],
        verdicts=verdicts,
        curves=[],
        confusions=[],
        mistakes=[],
        tokenizer=[],
        resources=Resources(
            seconds=0.0,
            peak_mb=0.0,
            device=adapter.hardware.device,
            precision=adapter.hardware.precision,
        ),
        warnings=list(tests.warnings),
        versions=scoring.versions(),
    )
