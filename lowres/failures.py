"""Trainings beside the recipe's own that collapsed, also at half the learning rate: a training on
a few labels may, with one draw of the examples and not with another.

Their scores are shown as they are. No average, curve or comparison stands on them: a mean with
them in it would say that labels do harm, and beside them everything looks like a gain.
"""

from __future__ import annotations

from collections.abc import Sequence

from lowres.artifacts import RunFolder
from lowres.results import Comparison, FailureRecord
from lowres.variants import Variant

MOST_NAMED = 3
"""Targets of one training that a line names."""


def found(
    folder: RunFolder, controls: Sequence[Variant], seeds: Sequence[int]
) -> list[FailureRecord]:
    """A record of each training that failed, by the manifests of the finished stages."""
    failed = []
    for variant in controls:
        for seed in seeds:
            manifest = folder.manifest(variant.training(seed))
            assert manifest is not None, "trained before it is looked at"
            if manifest.notes["status"] != "ok":
                failed.append(
                    FailureRecord(
                        system=variant.system,
                        seed=seed,
                        draw=variant.draw,
                        languages=list(variant.targets or ()),
                        status=manifest.notes["status"],
                    )
                )
    return failed


def said(failure: FailureRecord) -> str:
    """`10-shot of swh_Latn, draw 2, seed 1: collapsed even at half the learning rate; …`."""
    named = failure.languages[:MOST_NAMED]
    more = len(failure.languages) - len(named)
    targets = ", ".join(named) + (f" and {more} more" if more else "")
    draw = "" if failure.draw is None else f", draw {failure.draw}"
    return (
        f"{failure.system}{f' of {targets}' if targets else ''}{draw}, seed {failure.seed}: "
        f"{failure.status} even at half the learning rate; it is in no average and no curve, and "
        "nothing is compared with it, so no gain is claimed against it"
    )


def lost(failures: Sequence[FailureRecord], system: str, target: str, seed: int) -> bool:
    """Whether the training failed that stands for a few-shot system on a target: a seed's first."""
    return any(
        (failure.system, failure.seed) == (system, seed)
        and failure.draw in (None, 1)
        and target in failure.languages
        for failure in failures
    )


def stands(
    comparison: Comparison, failures: Sequence[FailureRecord], targets: Sequence[str], seed: int
) -> bool:
    """Whether a comparison with a system holds, for which the answers of `seed` (and of the first
    draw) were taken. With a control it holds only where all its seeds were trained."""
    for failure in failures:
        elsewhere = set(targets) - set(failure.languages) if failure.languages else ()
        compared = not failure.languages or (failure.seed == seed and failure.draw in (None, 1))
        # a mean over targets has the one that failed in it
        if failure.system == comparison.b and compared and comparison.language not in elsewhere:
            return False
    return True
