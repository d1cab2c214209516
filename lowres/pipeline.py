"""The table of contents of a run: its stages in order, what resumes, what is written."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import yaml

from lowres import artifacts, failures, preparation
from lowres.artifacts import RunFolder
from lowres.events import Warned
from lowres.kept import Kept
from lowres.progress import Progress, Silent
from lowres.recipe import Recipe
from lowres.recipe_loading import digest, dump
from lowres.recipe_publish import PUBLISH
from lowres.study import Seen, Study

if TYPE_CHECKING:
    from lowres.bases import LocatedBase
    from lowres.data import LabelledData
    from lowres.hardware import Hardware
    from lowres.job import Outcome
    from lowres.results import Results
    from lowres.variants import Variant

RUNS = Path("runs")
PATIENCE = timedelta(days=7)
"""How long processes wait for one another: the first one alone extends and adapts, which takes
hours, and the libraries' own 10 or 30 minutes would end the run. One that dies ends all at once."""


@dataclass(frozen=True)
class Planned:
    """One stage as it would run: why it is skipped, or whether it is there already."""

    name: str
    state: str


def run_folder(recipe: Recipe, out: Path | None = None) -> Path:
    """Where this recipe's run lives: `out`, or `runs/<name>-<digest>`."""
    return out if out is not None else RUNS / f"{recipe.name}-{digest(recipe)}"


def plan(recipe: Recipe, out: Path | None = None) -> list[Planned]:
    """The stages that `run` would go through; nothing is loaded."""
    folder = RunFolder(run_folder(recipe, out))
    before = preparation.stage_names(recipe)
    stages = []
    if "extend" not in before:
        stages.append(Planned("extend", "skipped: the recipe has no tokenizer.extend"))
    if recipe.adapt is None:
        stages.append(Planned("adapt", "skipped: the recipe has no adapt section"))
    elif recipe.adapt.adapter is not None:
        stages.append(Planned("adapt", f"skipped: {recipe.adapt.adapter} is taken"))
    names = [*before, *preparation.training_names(recipe), "evaluate"]
    for name in names:
        done = folder.manifest(name) is not None
        begun = artifacts.partial_path(folder.path / name).exists()
        state = "done" if done else "resumes" if begun else "to do"
        stages.append(Planned(name, state))
    return [*stages, Planned("publish", "by `lowres publish`")]


def run(
    recipe: Recipe,
    out: Path | None = None,
    progress: Progress | None = None,
    kept: Kept | None = None,
) -> Results:
    """Execute a recipe; goes on from whatever an earlier call finished.

    Args:
        recipe: what to do.
        out: the run folder; by default `runs/<name>-<digest of the resolved recipe>`.
        progress: where to tell how it goes.
        kept: what earlier runs of this process found and read.

    Returns:
        What `results.json` holds.

    Raises:
        LowresError: when the user must change something; the run folder stays whole.
        Interrupted: on Ctrl-C; the same call goes on.
    """
    from lowres import hardware

    progress, kept = progress or Silent(), kept or Kept()
    folder = RunFolder(run_folder(recipe, out), progress.tell)
    machine = hardware.detect(recipe.train.precision)
    team = _Team(machine)
    if not team.is_main:
        _help_training(recipe, folder, machine, team)
    start = time.monotonic()
    folder.check(dump(recipe))
    # whatever the user must change shows here, before a run folder is made
    labelled = kept.data(recipe)
    located = kept.base(recipe.base)
    _check(recipe, labelled, located, machine, progress)
    # late, as the import takes seconds
    from lowres.prefix import FOLDER, Store

    with folder.locked(dump(recipe)):
        progress.say(f"{folder.path}: base {located.name}, {located.obtained}")
        for warning in labelled.warnings:
            progress.tell(Warned(warning))
        _keep_publish(recipe, folder)
        with artifacts.PeakMemory() as memory:
            under = _prepare(recipe, labelled, located, machine, folder, progress, kept)
            located = preparation.small(recipe, located, folder)
            team.wait()
            found = tuple(preparation.variants(recipe, located, folder))
            # of several processes each would write the same file
            store = Store(folder.path / FOLDER, progress.say) if team.size == 1 else None
            known = (recipe, labelled, located, machine, folder, found, under)
            study = Study(*known, kept.shared, store)
            for variant in found:
                for seed in recipe.seeds:
                    _train_seed(study, variant, seed, progress, team)
            team.wait()
            _evaluate(study, progress)
        return _finish(study, time.monotonic() - start, memory, progress)


def _prepare(
    recipe: Recipe,
    labelled: LabelledData,
    located: LocatedBase,
    machine: Hardware,
    folder: RunFolder,
    progress: Progress,
    kept: Kept,
) -> str:
    """The stages before the task; the fingerprint of them."""
    if preparation.stage_names(recipe):
        # the base of a run before this one would lie beside the one that is adapted
        kept.shared.forget()
    return preparation.make(recipe, labelled, located, machine, folder, progress)


def _check(
    recipe: Recipe,
    labelled: LabelledData,
    located: LocatedBase,
    machine: Hardware,
    progress: Progress,
) -> None:
    from lowres import augment, finished, shots, trained, translated

    where = partial(shots.place, recipe)
    shots.check(labelled.target_sizes, recipe.languages.shots, recipe.languages.targets, where)
    augment.check(labelled, recipe)
    translated.check(recipe, labelled)
    finished.check(recipe, located)
    trained.check(recipe, Path(located.path))
    # late, as its import takes seconds: what is wrong with the data is said at once
    from lowres import fitting

    fitting.check(recipe, located, machine, progress)


def _keep_publish(recipe: Recipe, folder: RunFolder) -> None:
    """What `lowres publish` reads later; it changes with the recipe, and the run stays the same."""
    if recipe.publish is not None:
        plain = recipe.publish.model_dump(mode="json")
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)
        artifacts.write_text(folder.path / PUBLISH, text)


class _Team:
    """The processes of `accelerate launch`; one alone when there was none."""

    def __init__(self, machine: Hardware) -> None:
        self.size = int(os.environ.get("WORLD_SIZE", "1"))
        self.is_main = int(os.environ.get("RANK", "0")) == 0
        if self.size > 1:
            from accelerate import PartialState

            # without a GPU it has to be told, or every process would train alone
            PartialState(cpu=machine.device == "cpu", timeout=PATIENCE)

    def wait(self) -> None:
        """Until all processes are here."""
        if self.size > 1:
            from accelerate import PartialState

            PartialState().wait_for_everyone()


def _help_training(recipe: Recipe, folder: RunFolder, machine: Hardware, team: _Team) -> NoReturn:
    """What the other processes of a distributed run do: their share of training, no files.

    Extending and adapting are the first process's alone.
    """
    from lowres import bases, data
    from lowres.shared import Shared

    labelled = data.load(recipe)
    located = bases.locate(recipe.base.name, recipe.base.revision, recipe.base.allow_pickle)
    team.wait()
    under = preparation.fingerprint(recipe, located)
    located = preparation.small(recipe, located, folder)
    found = tuple(preparation.variants(recipe, located, folder))
    study = Study(recipe, labelled, located, machine, folder, found, under, Shared(), None)
    for variant in found:
        for seed in recipe.seeds:
            team.wait()
            name = variant.training(seed)
            if folder.finished(name, study.inputs_of(variant, seed)) is None:
                partial = artifacts.partial_path(folder.path / name)
                _train(study, variant, seed, partial, Silent())
            team.wait()
    team.wait()
    raise SystemExit(0)


def _train_seed(study: Study, variant: Variant, seed: int, progress: Progress, team: _Team) -> None:
    name, inputs = variant.training(seed), study.inputs_of(variant, seed)
    if study.folder.finished(name, inputs) is not None:
        progress.say(f"{name}: done before")
        team.wait()
        team.wait()
        return
    from lowres import hardware

    with (
        hardware.enough_memory(study.recipe, "train"),
        study.folder.stage(name, inputs) as stage,
    ):
        team.wait()
        seen, outcome = _train(study, variant, seed, stage.path, progress)
        stage.notes.update(asdict(outcome))
        if seen.target_examples:
            stage.notes["target_examples"] = seen.target_examples
        if seen.notes:
            stage.notes["augmented"] = list(seen.notes)
        if seen.translations:
            stage.notes["translations"] = [each.model_dump() for each in seen.translations]
    team.wait()
    kept = "mean of epochs" if outcome.best_step is None else f"at step {outcome.best_step}"
    progress.say(f"{name}: source dev {outcome.dev:.3f} {kept}")


def _train(
    study: Study, variant: Variant, seed: int, folder: Path, progress: Progress
) -> tuple[Seen, Outcome]:
    from lowres.train import train

    seen = study.seen(variant, seed)
    if variant is study.own and seed == study.recipe.seeds[0]:
        # the others' are the same but for their draws
        for note in seen.notes:
            progress.say(note)
    recipe, start = study.recipe_of(variant, seen), study.start_of(variant, seed)
    outcome = train(
        recipe,
        seed,
        seen.data,
        variant.located,
        study.machine,
        folder,
        progress,
        shared=study.shared,
        store=study.store,
        start=start,
    )
    return seen, outcome


def _evaluate(study: Study, progress: Progress) -> None:
    from lowres import evaluate, hardware, looking

    recipe, labelled, machine = study.recipe, study.labelled, study.machine
    inputs = study.answered_inputs
    if study.folder.finished("evaluate", inputs) is not None:
        progress.say("evaluate: done before")
        return
    with (
        hardware.enough_memory(recipe, "evaluate"),
        study.folder.stage("evaluate", inputs) as stage,
    ):
        answers = stage.path / "predictions"
        systems = evaluate.predict_baselines(
            recipe, labelled, study.located, machine, answers, progress, study.shared
        )
        for variant in study.variants:
            asked = looking.asked_of(
                variant, study.answered(variant), labelled, recipe.languages.source
            )
            for seed in recipe.seeds:
                evaluate.predict_adapter(
                    recipe,
                    variant.answers(seed),
                    asked,
                    study.located,
                    machine,
                    study.folder.path / variant.training(seed) / "adapter",
                    answers,
                    progress,
                    study.shared,
                    study.store,
                )
        stage.notes["systems"] = systems
        adapters = [study.folder.path / study.own.training(s) / "adapter" for s in recipe.seeds]
        stage.notes["translations"] = evaluate.predict_translations(
            recipe, labelled, study.located, machine, adapters, answers, progress, study.shared,
            study.store,
        )  # fmt: skip
        records = evaluate.tokenizer_records(recipe, labelled, study.own.located, study.shared)
        stage.notes["tokenizer"] = [record.model_dump() for record in records]
        stage.notes["warnings"] = evaluate.mended(recipe, labelled, study.own.located, study.shared)


def _finish(
    study: Study, seconds: float, memory: artifacts.PeakMemory, progress: Progress
) -> Results:
    """Scores, verdicts and the files people read: `results.json`, `report.html`."""
    from lowres import looking, plan, report, scoring

    folder, labelled = study.folder, study.labelled
    if study.store is not None:
        study.store.remove()
    results = scoring.collect(
        study.recipe,
        study.labelled,
        study.located,
        study.machine,
        folder,
        seconds,
        memory.peak_mb,
        study.variants,
        preparation.stage_names(study.recipe),
        plan.stages_of_run(
            study.recipe,
            Path(study.located.path),
            study.machine,
            labelled.train.to_dict(),
            len(labelled.dev),
            micro_batch=_micro_batch(study),
            table_rows=preparation.table_rows(study.located),
            say=progress.say,
        ),
    )
    tokenizer = study.shared.tokenizer(study.own.located)
    seen = looking.look(results, study.recipe, labelled, tokenizer, folder)
    results = results.model_copy(update={"symptoms": seen})
    text = json.dumps(results.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False)
    artifacts.write_text(folder.path / "results.json", text + "\n")
    report.write_report(results, folder.path / "report.html")
    _link_predictions(folder.path, progress)
    return results


def _micro_batch(study: Study) -> int | None:
    """The largest that a seed was trained with; None where a stage is from before it was noted."""
    stages = [study.folder.manifest(study.own.training(seed)) for seed in study.recipe.seeds]
    found = [stage.notes.get("micro_batch") for stage in stages if stage is not None]
    return max((size for size in found if size is not None), default=None)


def _link_predictions(folder: Path, progress: Progress) -> None:
    link = folder / "predictions"
    if link.exists() or link.is_symlink():
        return
    try:
        link.symlink_to(Path("evaluate") / "predictions", target_is_directory=True)
    except OSError:  # a network drive without links
        progress.say(f"predictions: {folder / 'evaluate' / 'predictions'}")


def untrusted(results: Results) -> list[str]:
    """Why a score must not be trusted (exit status 3); empty when all can be."""
    lines = [
        f"seed {seed.seed}: {seed.status} even at half the learning rate; not in the averages"
        for seed in results.seeds
        if seed.status != "ok"
    ]
    lines += [failures.said(failure) for failure in results.failures]
    bad = ("collapsed", "negative transfer")
    lines += [
        f"{v.language}: {v.verdict}: {v.reason}" for v in results.verdicts if v.verdict in bad
    ]
    return lines
