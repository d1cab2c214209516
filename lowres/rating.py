"""An adapter on new labelled data: the scores of `lowres evaluate`, in the form of a run's."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from lowres import (
    artifacts,
    data,
    hub_adapters,
    inference,
    plain_peft,
    predict,
    predictions,
    scoring,
    stats,
)
from lowres.errors import DataError, nearest, reworded
from lowres.languages import describe
from lowres.predict import Adapter
from lowres.progress import Progress
from lowres.recipe_data import Columns, DataSource
from lowres.results import (
    BaseRecord,
    LanguageRecord,
    Resources,
    Results,
    Score,
    Stage,
    Verdict,
)

RESAMPLES = 1000
ENDINGS: Final = (
    ".csv",
    ".tsv",
    ".txt",
    ".jsonl",
    ".json",
    ".parquet",
    ".conll",
    ".conllu",
    ".iob2",
)
_OPTIONS: Final[Mapping[str, str]] = {
    "files": "--data",
    "hub": "--data",
    "revision": "--data ID@REVISION",
    "config": "--name",
    "names": "--name",
    "columns": "--column",
    "labels": "--label",
    "unseen_labels": "--unseen-labels",
    "splits": "--split",
    "format": "--format",
    "quoting": "--quoting",
}
"""Key of a recipe's section `data` -> what stands for it on the command line."""
_KEY: Final = re.compile(rf"(?:--)?\bdata\.({'|'.join(sorted(_OPTIONS, key=len)[::-1])})(\.\w+)?")


@dataclass(frozen=True)
class Asked:
    """What to score on. `split`: train, dev or test, under its usual names."""

    spec: DataSource
    languages: tuple[str, ...]
    split: str
    unseen_labels: str


@dataclass(frozen=True)
class _Rated:
    scores: tuple[Score, ...]
    verdict: Verdict


def source(where: str, split: str, **options: Any) -> DataSource:
    """What `--data` and its fellows say, as a recipe would.

    Args:
        where: a path, which may hold `{lang}` and `{split}`, or `namespace/name[@revision]`.
        split: what a path without `{split}` is.
        options: other fields of `DataSource`.

    Raises:
        DataError: for what is none; names the option.
    """
    for name in options.get("columns", ()):
        if name not in Columns.model_fields:
            known = ", ".join(Columns.model_fields)
            raise DataError(
                f"--column {name}=…: expected one of {known} before the ="
                f"{nearest(name, tuple(Columns.model_fields))}"
            )
    place: dict[str, Any]
    if _is_hub_id(where):
        hub, _, revision = where.partition("@")
        place = {"hub": hub, "config": "{lang}", "revision": revision or None}
    else:
        place = {"files": where if "{split}" in where else {split: where}}
    try:
        return DataSource.model_validate({**place, **options})
    except ValidationError as error:
        first = error.errors()[0]
        key = str(first["loc"][0]) if first["loc"] else "files"
        raise DataError(f"{_OPTIONS.get(key, '--data')}: {first['msg']}") from None


def _is_hub_id(where: str) -> bool:
    known = "{" not in where and where.count("/") == 1 and not where.endswith(ENDINGS)
    return known and where[0] not in "./~" and not Path(where).exists()


def rate(
    name: str, revision: str | None, asked: Asked, folder: Path, progress: Progress
) -> Results:
    """Answer every language's examples and score the answers.

    Args:
        name: an adapter's folder, a run's, or `namespace/name` of the Hub.
        revision: of it on the Hub.
        asked: the data.
        folder: where `predictions/adapter/<language>.jsonl` go.
        progress: where to tell how it goes.

    Raises:
        DataError: for what a file or its labels lack; names options, not keys of a recipe.
        RunError, HubError: for an adapter that is none; see `predict.load`.
    """
    start = time.monotonic()
    with artifacts.PeakMemory() as memory:
        adapter = predict.load(name, revision=revision)
        for note in adapter.notes:
            if note != predict.own_note(adapter.languages):
                progress.say(f"note: {note}")
        tests = _tests(adapter, asked)
        rated = []
        with progress.bar("evaluate", sum(map(len, tests.sets.values()))) as advance:
            for language, examples in tests.sets.items():
                own = language in adapter.languages
                its = predict.load(name, language=language, revision=revision) if own else adapter
                rated.append(_rated(its, language, examples, asked.split, folder))
                advance(len(examples))
    used = Stage(
        name="evaluate", seconds=round(time.monotonic() - start, 2), peak_mb=memory.peak_mb
    )
    shown = name if hub_adapters.is_id(name) else Path(name).resolve().name
    return _results(adapter, shown, asked, tests, rated, used)


def _tests(adapter: Adapter, asked: Asked) -> data.Tests:
    def change(message: str) -> str:
        said = in_options(message)
        if "--unseen-labels" in said and adapter.labels[0] == plain_peft.LABEL.format(0):
            said += (
                "; this adapter has no labels.json, so that nothing says what its labels mean: "
                "say it, as --label health=LABEL_0"
            )
        return said

    with reworded(change):
        found = data.load_tests(
            adapter.task,
            asked.spec,
            "--data",
            asked.languages,
            asked.split,
            adapter.labels,
            asked.unseen_labels,
        )
    return replace(found, warnings=tuple(map(in_options, found.warnings)))


def in_options(message: str) -> str:
    """What is said of a recipe's section `data`, of the options of `lowres evaluate`."""
    said = _KEY.sub(lambda key: _OPTIONS[key[1]], message)
    return said.replace("the source's training data", "the adapter").replace(
        "the source never shows", "the adapter does not know"
    )


def _rated(adapter: Adapter, language: str, examples: Any, split: str, folder: Path) -> _Rated:
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
    file = predictions.path_of(folder / "predictions", scoring.ADAPTER, language)
    predictions.write(file, examples, adapter.task.gold_field, answers)
    gold = list(examples[adapter.task.gold_field])
    said = [answer.answer for answer in answers]
    metrics = adapter.task.metrics(adapter.labels)
    own = _scores(language, split, metrics, gold, said, adapter.labels)
    return _Rated(tuple(own), _verdict(language, gold, said, own[0]))


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
    asked: Asked,
    tests: data.Tests,
    rated: Sequence[_Rated],
    used: Stage,
) -> Results:
    assert adapter.base is not None, "loaded from a folder, so that both are known"
    assert adapter.folder is not None
    recipe = {
        "name": name,
        "question": "",
        "task": adapter.task.model_dump(mode="json"),
        "languages": {"source": [], "targets": list(asked.languages)},
        "data": asked.spec.model_dump(mode="json"),
    }
    known = [describe(code) for code in tests.sets]
    scores = [score for one in rated for score in one.scores]
    return Results(
        schema=1,
        recipe=recipe,
        base=BaseRecord(
            name=adapter.base.name,
            hub_id=adapter.base.hub_id,
            revision=adapter.base.revision,
            obtained=adapter.base.obtained,
            quantization=adapter.quantization,
            parameters=int(adapter.network.get_nb_trainable_parameters()[1]),
            trainable_parameters=sum(map(math.prod, plain_peft.shapes(adapter.folder).values())),
        ),
        labels=list(adapter.labels),
        languages=[
            LanguageRecord(code=k.code, name=k.name, direction=k.direction, script=k.script)
            for k in known
        ],
        data=list(tests.records),
        stages=[used],
        seeds=[],
        scores=scores,
        averages=scoring.averages(scores, []),
        comparisons=[],
        verdicts=[one.verdict for one in rated],
        curves=[],
        confusions=[],
        mistakes=[],
        tokenizer=[],
        resources=Resources(
            seconds=used.seconds,
            peak_mb=used.peak_mb,
            device=adapter.hardware.device,
            precision=adapter.hardware.precision,
        ),
        warnings=list(tests.warnings),
        versions=scoring.versions(),
    )
