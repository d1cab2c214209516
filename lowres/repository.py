"""The folder that is published: an adapter, what it was made of, its card, and nothing private.

Built and checked here before anything is sent.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import yaml

from lowres import (
    adapter_files,
    bases,
    card,
    embedded,
    leaks,
    learning_plot,
    licences,
    predict,
    probe,
    stacking,
    transfer_plot,
)
from lowres import gate as reloading
from lowres.artifacts import RunFolder
from lowres.errors import BaseModelError, RunError
from lowres.hardware import Hardware
from lowres.recipe_publish import Publish
from lowres.results import Results

ON_CPU: Final = Hardware("cpu", "fp32")
"""Where the gate answers too."""
README: Final = "README.md"
RECIPE: Final = "recipe.yaml"
RESULTS: Final = "results.json"
FROM_THE_HUB: Final = ("hub", "cache")
"""Ways to have a base that give what everybody has."""


@dataclass(frozen=True)
class Built:
    """A checked folder, and what the gate needs.

    `base`: what others load the adapter over; `probed`: what it was trained and probed over, where
    that was a copy rebuilt here. `notes`: what the user should know.
    """

    folder: Path
    repo_id: str
    seed: int
    base: bases.LocatedBase
    notes: tuple[str, ...]
    probed: bases.LocatedBase | None = None


def build(run: Path, repo_id: str, wanted: str, options: Publish, out: Path) -> Built:
    """Make the repository of one seed of a run in `out`, whole or not at all.

    Args:
        run: a finished run's folder.
        repo_id: `namespace/name`.
        wanted: `median` or `best-dev` of the seeds that can be trusted, by source dev, or a number.
        options: the recipe's section `publish`.
        out: the folder to make; replaced where it is there.

    Raises:
        RunError: no finished run, a changed adapter, a missing licence or one that the data forbid,
            something private in a file.
    """
    results = read_results(run)
    seed = choose_seed(results, wanted)
    adapter, manifest = _whole_adapter(run, seed)
    meta = json.loads((adapter / adapter_files.LABELS_FILE).read_text(encoding="utf-8"))
    data = _data(results, options)
    license_ = _licence(options, data)
    base_id = _base_id(results)
    meta["study"] = str(results.recipe["name"])
    located = predict.locate(meta["base"], adapter)
    probed = _as_trained(results, located)
    recipe = _recipe(run)
    texts, unread = leaks.sentences(run, results)
    with tempfile.TemporaryDirectory(dir=_parent(out), prefix=".building-") as work:
        folder = Path(work) / "repository"
        left_out = _copy(adapter, folder, manifest)
        tolerance = _write_probes(folder, meta, located, probed, _over(base_id, located, probed))
        _pin(folder, located)
        shown = _shown(results)
        _write_records(folder, recipe, shown, options)
        facts = card.Facts(
            repo_id=repo_id,
            seed=seed,
            license=license_,
            base_id=base_id,
            authors=options.authors,
            intended_use=options.intended_use,
            data=data,
            datasets=tuple(one.name for one in data if one.hub),
            extended=len(probe.new_pieces(folder)),
            megabytes=sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6,
            per_language=tuple(sorted(p.name for p in folder.glob(f"{stacking.ADAPTERS}/*"))),
            rebuilt_tolerance=tolerance,
            command=f"lowres run recipe.yaml seeds={seed}",
            year=datetime.now(UTC).year,
            base_revision=located.revision,
        )
        (folder / README).write_text(card.render(shown, facts), encoding="utf-8")
        recorded = leaks.recorded_paths(recipe, results.model_dump(mode="json"))
        leaks.check(folder, texts, recorded)
        shutil.rmtree(out, ignore_errors=True)
        folder.rename(out)
    notes = (*licences.remarks(data, license_), *left_out, *([unread] if unread else []))
    return Built(out, repo_id, seed, located, notes, probed)


def read_results(run: Path) -> Results:
    """`results.json` of a run. Raises `RunError` where it is not finished."""
    file = run / RESULTS
    try:
        return Results.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(
            f"{run}: no finished run ({RESULTS}: {type(error).__name__}); finish it with "
            "`lowres run`, or name another (see `lowres ls runs`)"
        ) from error


def choose_seed(results: Results, wanted: str) -> int:
    """The seed to publish. Raises `RunError` for one that is not there or cannot be trusted."""
    trusted = sorted((s.dev, s.seed) for s in results.seeds if s.status == "ok")
    if wanted.isdecimal():
        record = next((s for s in results.seeds if s.seed == int(wanted)), None)
        if record is None:
            known = ", ".join(str(s.seed) for s in results.seeds)
            raise RunError(f"--seed {wanted}: the run has the seeds {known}")
        if record.status != "ok":
            raise RunError(f"--seed {wanted}: cannot be trusted ({record.status}); take another")
        return record.seed
    if wanted not in ("median", "best-dev"):
        raise RunError(f"--seed {wanted}: expected median, best-dev or a seed's number")
    if not trusted:
        raise RunError("no seed of this run can be trusted, so that nothing is published")
    at = len(trusted) - 1 if wanted == "best-dev" else (len(trusted) - 1) // 2
    return trusted[at][1]


def _whole_adapter(run: Path, seed: int) -> tuple[Path, set[str]]:
    """Its folder, and the files that training wrote, as `adapter/labels.json`."""
    name = f"train/{seed}"
    folder = RunFolder(run)
    manifest = folder.manifest(name)
    if manifest is None or folder.finished(name, manifest.inputs) is None:
        raise RunError(
            f"{run / name}: incomplete, or changed after training (its manifest has other hashes); "
            "run the recipe again"
        )
    return run / name / "adapter", set(manifest.outputs)


def _base_id(results: Results) -> str:
    if results.base.hub_id is None:
        raise BaseModelError(
            f"base.name {results.base.name}: a folder of this machine, which nobody else can load; "
            "publish the base first and name its Hub id in the recipe"
        )
    return results.base.hub_id


def _data(results: Results, options: Publish) -> tuple[licences.DataLicence, ...]:
    return licences.of_recipe(results.recipe, options.data_licenses, leaks.public)


def _licence(options: Publish, data: Sequence[licences.DataLicence]) -> str:
    if options.license is None:
        raise RunError(
            "publish.license is missing: under which licence is the adapter given away? Add it to "
            "the recipe (publish: {license: cc-by-4.0}), or give --license"
        )
    reasons = [why for one in data if (why := licences.forbids(one, options.license))]
    if reasons:
        raise RunError(
            f"publish.license {options.license}: {'; '.join(reasons)}. Take a licence that says "
            "the same, such as cc-by-nc-4.0; where your copy has other terms, say so in "
            "publish.data_licenses"
        )
    return options.license


def _parent(out: Path) -> Path:
    out.parent.mkdir(parents=True, exist_ok=True)
    return out.parent


def _copy(adapter: Path, folder: Path, written: set[str]) -> list[str]:
    """The adapter, and those of single languages under `adapters/`: what training wrote, and of
    that what belongs to an adapter. Notes say what else lies there."""
    stage, left_out = adapter.parent, []
    beside = adapter_files.of_language(adapter, "x").parent
    for file in sorted(f for part in (adapter, beside) for f in part.rglob("*") if not f.is_dir()):
        name = file.relative_to(stage).as_posix()
        target = name.removeprefix(f"{adapter.name}/")
        if name not in written or not leaks.belongs(target):
            left_out.append(name)
            continue
        (folder / target).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / target)
    if not left_out:
        return []
    more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
    return [f"not of the adapter, left out: {', '.join(left_out[:3])}{more} (in {stage})"]


def _as_trained(results: Results, located: bases.LocatedBase) -> bases.LocatedBase | None:
    """The copy of the base that training had, where it was rebuilt here and the Hub's is at hand.

    Raises `RunError` where the copy cannot be had again.
    """
    then = results.base.obtained
    if then in (*FROM_THE_HUB, "folder") or located.obtained not in FROM_THE_HUB:
        return None
    made = (b for b in embedded.EMBEDDED.values() if b.hub_id == results.base.hub_id)
    row = next(made, None)
    if row is None or row.obtained != then:
        raise RunError(
            f"trained over a copy of {results.base.name} had as: {then}; this lowres makes "
            f"{row.obtained if row is not None else 'none'}: publish with the lowres that trained "
            "it, or run the recipe again"
        )
    path = str(embedded.rebuild(row.name))
    return bases.LocatedBase(results.base.name, path, row.hub_id, None, then)


def _over(
    base_id: str, located: bases.LocatedBase, probed: bases.LocatedBase | None
) -> dict[str, Any]:
    """What `probe.json` says of the base: the Hub's, and how the one of the logits was had."""
    return {
        "id": base_id,
        "revision": located.revision,
        "obtained": (probed or located).obtained,
        "same_base_tolerance": reloading.TOLERANCE,
    }


def _write_probes(
    folder: Path,
    meta: dict[str, Any],
    located: bases.LocatedBase,
    probed: bases.LocatedBase | None,
    over: dict[str, Any],
) -> float | None:
    """`probe.json` of each adapter. The largest tolerance over the Hub's base that one of them
    states, or None where logits must be the same."""
    under = probed or located
    task, tolerances = predict.task_of(meta), []
    adapter = {"study": meta["study"], "task": task.name, "labels": meta["labels"]}
    for its in (folder, *sorted(folder.glob(f"{stacking.ADAPTERS}/*"))):
        leaks.check_weights(its)
        answered = probe.make(its, under, task, meta["labels"], ON_CPU)
        tolerance = reloading.TOLERANCE
        if under.obtained.startswith("rebuilt"):
            tolerance = reloading.rebuilt_tolerance([one.logits for one in answered])
            tolerances.append(tolerance)
        probe.write(its / probe.FILE, answered, {**over, "tolerance": tolerance}, adapter)
    return max(tolerances, default=None)


def _pin(folder: Path, located: bases.LocatedBase) -> None:
    """Name the base's commit also where training had a copy without one: peft and lowres load
    what the gate has seen, whatever becomes of the branch."""
    if located.obtained not in FROM_THE_HUB:
        return
    for file in (
        folder / stacking.CONFIG,
        *folder.glob(f"{stacking.ADAPTERS}/*/{stacking.CONFIG}"),
    ):
        config = json.loads(file.read_text(encoding="utf-8"))
        if config.get("revision") is None:
            config["revision"] = located.revision
            file.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def _recipe(run: Path) -> dict[str, Any]:
    """The run's `recipe.yaml`. Raises `RunError` for none."""
    file = run / RECIPE
    try:
        recipe = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        recipe = type(error).__name__
    if not isinstance(recipe, dict):
        raise RunError(
            f"{file}: expected the recipe that the run was made of ({recipe or 'empty'}); copy the "
            "whole run folder again"
        )
    return recipe


def _write_records(folder: Path, recipe: dict[str, Any], shown: Results, options: Publish) -> None:
    """`recipe.yaml`, `results.json` and the pictures of it."""
    told = leaks.without_paths({**recipe, "publish": options.model_dump(mode="json")})
    text = yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=100)
    (folder / RECIPE).write_text(text, encoding="utf-8")
    plain = shown.model_dump(mode="json", by_alias=True)
    written = json.dumps(plain, ensure_ascii=False, indent=1)
    (folder / RESULTS).write_text(written + "\n", encoding="utf-8")
    (folder / card.PLOT).write_text(transfer_plot.draw(shown), encoding="utf-8")
    curves = learning_plot.draw(shown)
    if curves is not None:
        (folder / card.CURVES).write_text(curves, encoding="utf-8")


def _shown(results: Results) -> Results:
    """The results without paths of this machine and sentences of the data."""
    plain = results.model_dump(mode="json", by_alias=True) | {"mistakes": []}
    return Results(**leaks.without_paths(plain))
