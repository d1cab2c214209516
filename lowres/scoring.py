"""Predictions to `results.json`: scores with intervals, comparisons, verdicts, averages."""

from __future__ import annotations

import platform
import statistics
from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, Literal

from pydantic import BaseModel

from lowres import __version__, comparing, failures, few_shot, learning, mistakes, stats, translated
from lowres.artifacts import Manifest, RunFolder
from lowres.bases import LocatedBase
from lowres.data import LabelledData
from lowres.hardware import Hardware
from lowres.languages import describe
from lowres.predictions import Answers
from lowres.recipe import Recipe
from lowres.results import (
    AdaptationRecord,
    Average,
    BaseRecord,
    Comparison,
    CurvePoint,
    ExtensionRecord,
    LanguageRecord,
    Resources,
    Results,
    Score,
    SeedRecord,
    Stage,
    TokenizerRecord,
    Verdict,
)
from lowres.variants import TRANSLATE_TEST, TRANSLATE_TRAIN, Variant

ADAPTER = "adapter"
LIBRARIES = (
    "torch", "transformers", "peft", "datasets", "accelerate", "bitsandbytes", "tokenizers",
    "scikit-learn",
)  # fmt: skip


def collect(
    recipe: Recipe,
    data: LabelledData,
    located: LocatedBase,
    hardware: Hardware,
    folder: RunFolder,
    seconds: float,
    peak_mb: float,
    variants: Sequence[Variant] = (),
    prepared: Sequence[str] = (),
    planned: Mapping[str, float] | None = None,
) -> Results:
    """Everything that `results.json` holds, from the run folder's finished stages."""
    controls = [v for v in variants if v.folder]
    trained = [_whole(folder, f"train/{seed}") for seed in recipe.seeds]
    before = [_whole(folder, name) for name in prepared]
    beside = [_whole(folder, v.training(seed)) for v in controls for seed in recipe.seeds]
    evaluated = _whole(folder, "evaluate")
    answers = _answers(recipe, data, folder)
    systems: list[str] = evaluated.notes["systems"]
    metrics = metric_names(recipe, data.labels)
    seeds = [seed_record(m) for m in trained]
    scores = _scores(recipe, data, answers, systems, metrics, controls)
    kept = [s.seed for s in seeds if s.status == "ok"]
    middle = median_seed(scores, metrics[0], kept or recipe.seeds)
    failed = failures.found(folder, controls, recipe.seeds)
    sound = [s for s in scores if not any(failure.has(s) for failure in failed)]
    rivals = _rivals(controls, middle)
    comparisons = comparing.of_run(
        recipe, data, answers, systems, rivals, metrics[0], middle, failed
    )
    stages = [*before, *trained, *beside, evaluated]
    noted: list[str] = evaluated.notes.get("warnings", [])
    return Results(
        schema=1,
        recipe=recipe.model_dump(mode="json", exclude={"publish"}),
        base=_base(recipe, located, trained[0]),
        labels=list(data.labels),
        languages=[_language(code) for code in data.tests],
        data=list(data.records),
        stages=_merged([_stage(m, planned or {}) for m in stages]),
        seeds=seeds,
        scores=scores,
        averages=averages(sound, kept),
        comparisons=comparisons,
        verdicts=_verdicts(recipe, answers, scores, comparisons, middle),
        curves=_curves(trained),
        confusions=mistakes.confusions(data, answers, middle),
        mistakes=mistakes.surest(data, answers, middle),
        tokenizer=[TokenizerRecord(**row) for row in evaluated.notes["tokenizer"]],
        learning=learning.of_run(recipe, data, sound, metrics[0], kept),
        draws=few_shot.drawn(folder, controls, recipe.seeds),
        failures=failed,
        translations=translated.records([*beside, evaluated]),
        extension=_extension(before),
        adaptations=_adaptations(before),
        resources=_resources(stages, hardware, peak_mb),
        warnings=[*map(failures.said, failed), *data.warnings, *noted],
        versions=versions(),
    )


def _answers(recipe: Recipe, data: LabelledData, folder: RunFolder) -> Answers:
    gold = {language: list(test[recipe.task.gold_field]) for language, test in data.tests.items()}
    return Answers(folder.path / "evaluate" / "predictions", gold)


def _stage(manifest: Manifest, planned: Mapping[str, float]) -> Stage:
    """A stage's peak beside what was planned for its kind: `controls/base-as-is/train/1` trains."""
    kind = next((part for part in manifest.name.split("/") if part in planned), None)
    return Stage(
        name=manifest.name,
        seconds=manifest.seconds,
        peak_mb=manifest.peak_mb,
        gpu_mb=manifest.gpu_mb,
        planned_mb=None if kind is None else planned[kind],
    )


def _merged(stages: Sequence[Stage]) -> list[Stage]:
    """One row for all trainings with the same number of shots, and for those on translations:
    there may be hundreds."""
    groups: dict[str, list[Stage]] = {}
    for stage in stages:
        parts = stage.name.split("/")
        kept = {"shots": 2, TRANSLATE_TRAIN: 1}.get(parts[0], len(parts))
        groups.setdefault("/".join(parts[:kept]), []).append(stage)
    return [
        found[0]
        if len(found) == 1
        else Stage(
            name=f"{name}: {len(found)} trainings",
            seconds=round(sum(s.seconds for s in found), 2),
            peak_mb=max(s.peak_mb for s in found),
            gpu_mb=max((s.gpu_mb for s in found if s.gpu_mb is not None), default=None),
            planned_mb=found[0].planned_mb,
        )
        for name, found in groups.items()
    ]


def _rivals(controls: Sequence[Variant], seed: int) -> list[tuple[str, str]]:
    """(system, folder of its answers). Of several draws, and of targets that are trained on apart,
    the first stands for the system."""
    firsts = [v for v in controls if v.draw in (None, 1)]
    found = [(v.system, v.answers(seed)) for v in firsts]
    return list(dict.fromkeys([*found, (TRANSLATE_TEST, f"{TRANSLATE_TEST}/{seed}")]))


def _curves(trained: Sequence[Manifest]) -> list[CurvePoint]:
    return [
        CurvePoint(seed=m.notes["seed"], step=step, epoch=epoch, name=name, value=value)
        for m in trained
        for step, epoch, name, value in m.notes["curves"]
    ]


def _resources(stages: Sequence[Manifest], hardware: Hardware, peak_mb: float) -> Resources:
    return Resources(
        seconds=round(sum(m.seconds for m in stages), 1),
        peak_mb=max(peak_mb, *(m.peak_mb for m in stages)),
        device=hardware.device,
        precision=hardware.precision,
        energy_kwh=total_energy(stages),
    )


def _extension(prepared: Sequence[Manifest]) -> ExtensionRecord | None:
    found = [m for m in prepared if m.name == "extend"]
    return ExtensionRecord(**_fields(ExtensionRecord, found[0])) if found else None


def _adaptations(prepared: Sequence[Manifest]) -> list[AdaptationRecord]:
    """A record of each language adapter, the controls' too."""
    return [
        AdaptationRecord(stage=m.name, **_fields(AdaptationRecord, m))
        for m in prepared
        if m.name not in ("extend", "trim")
    ]


def _fields(record: type[BaseModel], manifest: Manifest) -> dict[str, Any]:
    """The notes of a stage that a record keeps; others (energy) stand elsewhere."""
    return {key: value for key, value in manifest.notes.items() if key in record.model_fields}


def _base(recipe: Recipe, located: LocatedBase, trained: Manifest) -> BaseRecord:
    return BaseRecord(
        name=located.name,
        hub_id=located.hub_id,
        revision=located.revision,
        obtained=located.obtained,
        quantization=recipe.base.quantization,
        parameters=trained.notes["parameters"],
        trainable_parameters=trained.notes["trainable_parameters"],
    )


def _whole(folder: RunFolder, name: str) -> Manifest:
    manifest = folder.manifest(name)
    assert manifest is not None, f"stage {name} has run before its scores are collected"
    return manifest


def metric_names(recipe: Recipe, labels: Sequence[str]) -> tuple[str, ...]:
    """The recipe's metrics, or the task's own."""
    asked = recipe.evaluate.metrics
    return recipe.task.metrics(labels) if asked == "auto" else asked


def seed_record(manifest: Manifest) -> SeedRecord:
    """What became of one seed, from the notes of its stage."""
    notes = manifest.notes
    return SeedRecord(**{key: notes[key] for key in SeedRecord.model_fields if key in notes})


def total_energy(stages: Sequence[Manifest]) -> float | None:
    """kWh over all stages; None unless every stage was metered."""
    measured = [float(m.notes["energy_kwh"]) for m in stages if "energy_kwh" in m.notes]
    return sum(measured) if len(measured) == len(stages) else None


def versions() -> dict[str, str]:
    """Of lowres, Python and the libraries that results depend on."""
    found = {"lowres": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = metadata.version(library)
        except metadata.PackageNotFoundError:  # bitsandbytes is not made for macOS
            found[library] = "not installed"
    return found


def _language(code: str) -> LanguageRecord:
    known = describe(code)
    return LanguageRecord(
        code=code, name=known.name, direction=known.direction, script=known.script
    )


def _role(recipe: Recipe, language: str) -> Literal["source", "target"]:
    return "source" if language in recipe.languages.source else "target"


def _scores(
    recipe: Recipe,
    data: LabelledData,
    answers: Answers,
    systems: Sequence[str],
    metrics: Sequence[str],
    controls: Sequence[Variant],
) -> list[Score]:
    runs: list[tuple[str, int | None, int | None, str]] = [
        *((ADAPTER, seed, None, str(seed)) for seed in recipe.seeds),
        *((v.system, seed, v.draw, v.answers(seed)) for v in controls for seed in recipe.seeds),
        *((TRANSLATE_TEST, seed, None, f"{TRANSLATE_TEST}/{seed}") for seed in recipe.seeds),
        *((system, None, None, system) for system in systems),
    ]
    scores = []
    for language in data.tests:
        # targets that are trained on apart answer in one folder
        for system, seed, draw, where in dict.fromkeys(runs):
            if not answers.has(where, language):
                continue
            for metric in metrics:
                found = stats.score(
                    metric,
                    answers.gold(language),
                    answers.labels(where, language),
                    data.labels,
                    recipe.evaluate.bootstrap,
                )
                scores.append(
                    Score(
                        system=system,
                        seed=seed,
                        draw=draw,
                        language=language,
                        role=_role(recipe, language),
                        split=data.splits[language],
                        metric=metric,
                        value=found.value,
                        low=found.low,
                        high=found.high,
                        n=found.n,
                    )
                )
    return scores


def median_seed(scores: Sequence[Score], metric: str, seeds: Sequence[int]) -> int:
    """The seed whose mean over targets is the (lower) median: comparisons and examples use it."""
    means = {}
    for seed in seeds:
        values = [
            s.value
            for s in scores
            if (s.system, s.seed, s.metric, s.role) == (ADAPTER, seed, metric, "target")
        ]
        means[seed] = statistics.fmean(values) if values else 0.0
    ordered = sorted(means, key=lambda seed: (means[seed], seed))
    return ordered[(len(ordered) - 1) // 2]


def averages(scores: Sequence[Score], kept: Sequence[int]) -> list[Average]:
    """Macro averages over languages; a system is averaged only over languages it has all of."""
    found = []
    groups: list[tuple[Literal["targets", "source", "source and targets"], set[str]]] = [
        ("targets", {"target"}),
        ("source", {"source"}),
        ("source and targets", {"source", "target"}),
    ]
    for over, roles in groups:
        inside = [s for s in scores if s.role in roles]
        languages = {s.language for s in inside}
        for system, metric in dict.fromkeys((s.system, s.metric) for s in inside):
            per_seed = []
            its = [s for s in inside if (s.system, s.metric) == (system, metric)]
            for seed, draw in dict.fromkeys((s.seed, s.draw) for s in its):
                if seed is not None and seed not in kept:
                    continue
                values = {s.language: s.value for s in its if (s.seed, s.draw) == (seed, draw)}
                if set(values) == languages:
                    per_seed.append(statistics.fmean(values.values()))
            if per_seed:
                found.append(
                    Average(
                        system=system,
                        metric=metric,
                        over=over,
                        mean=statistics.fmean(per_seed),
                        sd=statistics.stdev(per_seed) if len(per_seed) > 1 else None,
                        median=statistics.median(per_seed),
                        seeds=len(per_seed),
                        languages=len(languages),
                    )
                )
    return found


def _verdicts(
    recipe: Recipe,
    answers: Answers,
    scores: Sequence[Score],
    comparisons: Sequence[Comparison],
    seed: int,
) -> list[Verdict]:
    """One a target, from the seed that comparisons use."""
    return [
        stats.judge(
            language,
            answers.gold(language),
            answers.labels(str(seed), language),
            [c for c in comparisons if c.language == language],
            [s for s in scores if s.language == language],
            seed,
        )
        for language in recipe.languages.targets
    ]
