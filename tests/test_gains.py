from __future__ import annotations

import io
from typing import Any

import pytest
from results_factory import METRIC, TEST_EXAMPLES, make_results
from rich.console import Console

from lowres import gains
from lowres.report import summary_table, write_report
from lowres.results import Comparison, LearningPoint, Results, Score

TARGETS = ("nqo_Nkoo", "tzm_Tfng", "swh_Latn")
# system -> score on each target
SCORES = {
    "base-as-is": (0.10, 0.10, 0.77),
    "adapted-old-vocabulary": (0.20, 0.30, 0.78),
    "extended-only": (0.15, 0.27, 0.75),
    "adapter": (0.50, 0.50, 0.74),
}
GAIN, LEVEL, LOSS = (0.3, 0.2, 0.4), (0.01, -0.05, 0.07), (-0.1, -0.2, -0.01)
"""Delta, low, high."""


def score(system: str, language: str, value: float, seed: int = 1, metric: str = METRIC) -> Score:
    return Score(
        system=system,
        seed=seed,
        language=language,
        role="target",
        split="test",
        metric=metric,
        value=value,
        low=value - 0.05,
        high=value + 0.05,
        n=TEST_EXAMPLES,
    )


def comparison(b: str, language: str, found: tuple[float, float, float]) -> Comparison:
    delta, low, high = found
    return Comparison(
        a="adapter", b=b, language=language, metric=METRIC, delta=delta, low=low, high=high, p=0.01
    )


def study(
    over_old: tuple[tuple[float, float, float], ...] = (),
    over_base: tuple[tuple[float, float, float], ...] = (),
    systems: tuple[str, ...] = tuple(SCORES),
    targets: tuple[str, ...] = TARGETS,
    **changes: Any,
) -> Results:
    """Results of these systems; a fourth comparison is the mean of the targets'."""
    places = (*targets, "targets")
    compared = [
        comparison(b, language, found)
        for b, deltas in (("adapted-old-vocabulary", over_old), ("base-as-is", over_base))
        for language, found in zip(places, deltas, strict=False)
    ]
    scores = [
        score(system, language, value, seed)
        for system in systems
        for language, value in zip(targets, SCORES.get(system, (0.6,) * 3), strict=False)
        for seed in (1, 2)
    ]
    return make_results(**{"scores": scores, "comparisons": compared, **changes})


def claim(results: Results) -> str:
    found = gains.of(results, METRIC)
    assert found is not None
    return found.claim


def test_a_gain_none_and_a_loss_are_claimed_against_the_old_vocabulary() -> None:
    results = study((GAIN, LEVEL, LOSS, (0.07, 0.02, 0.12)), over_base=(GAIN, GAIN, GAIN, GAIN))
    assert claim(results) == (
        "Against the same training on the old vocabulary: a gain on nqo_Nkoo; no gain that the "
        "test set could show on tzm_Tfng; a loss on swh_Latn. Mean of the targets: +7.0 points "
        "(95% +2.0 to +12.0)."
    )


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (GAIN, "a gain on"),
        (LEVEL, "no gain that the test set could show on"),
        ((0.1, 0.0, 0.2), "no gain that the test set could show on"),
        ((-0.1, -0.2, 0.0), "no gain that the test set could show on"),
        (LOSS, "a loss on"),
    ],
)
def test_only_a_whole_interval_beside_zero_is_a_gain_or_a_loss(
    found: tuple[float, float, float], says: str
) -> None:
    only = ("tzm_Tfng",)
    said = claim(study((found,), targets=only))
    assert said == f"Against the same training on the old vocabulary: {says} tzm_Tfng."


def test_without_an_old_vocabulary_it_is_against_the_base() -> None:
    results = study(
        over_base=(GAIN, LEVEL, LEVEL, (-0.02, -0.05, 0.01)), systems=("base-as-is", "adapter")
    )
    assert claim(results) == (
        "Against the base as it is: a gain on nqo_Nkoo; no gain that the test set could show on "
        "tzm_Tfng, swh_Latn. Mean of the targets: −2.0 points (95% −5.0 to +1.0)."
    )


def test_a_difference_to_the_base_alone_is_no_claim() -> None:
    """Where the old vocabulary was adapted too, its comparison is what counts."""
    assert claim(study(over_base=(GAIN, GAIN, GAIN, GAIN))) == (
        "Against the same training on the old vocabulary: not measured."
    )


def test_another_metric_is_not_measured() -> None:
    results = study((GAIN, GAIN, GAIN))
    scores = [score(s.system, s.language, s.value, metric="accuracy") for s in results.scores]
    found = gains.of(study((GAIN, GAIN, GAIN), scores=scores), "accuracy")
    assert found is not None
    assert found.claim == "Against the same training on the old vocabulary: not measured."


def test_rows_are_targets_and_their_mean_in_the_order_of_the_controls() -> None:
    found = gains.of(study((GAIN, LEVEL, LOSS, GAIN), (GAIN, GAIN, GAIN, GAIN)), METRIC)
    assert found is not None
    assert found.systems == ("base-as-is", "adapted-old-vocabulary", "extended-only", "adapter")
    assert [row.language for row in found.rows] == [*TARGETS, "targets"]
    assert [row.n for row in found.rows] == [TEST_EXAMPLES] * 3 + [None]
    first, mean = found.rows[0], found.rows[-1]
    assert first.values == pytest.approx({name: row[0] for name, row in SCORES.items()})
    assert mean.values["adapter"] == pytest.approx(sum(SCORES["adapter"]) / 3)
    assert first.over_old is not None
    assert first.over_base is not None
    assert (first.over_old.b, first.over_base.b) == ("adapted-old-vocabulary", "base-as-is")
    assert mean.over_old is not None
    assert mean.over_old.language == "targets"


def test_one_target_has_no_mean() -> None:
    found = gains.of(study((GAIN,), targets=("tzm_Tfng",)), METRIC)
    assert found is not None
    assert [row.language for row in found.rows] == ["tzm_Tfng"]
    assert "Mean" not in found.claim


def test_a_seed_that_collapsed_is_in_no_mean() -> None:
    """Seed 3 of `make_results` did."""
    results = study((GAIN,), targets=("tzm_Tfng",))
    worse = [*results.scores, score("adapter", "tzm_Tfng", 0.01, seed=3)]
    found = gains.of(study((GAIN,), targets=("tzm_Tfng",), scores=worse), METRIC)
    assert found is not None
    assert found.rows[0].values["adapter"] == pytest.approx(SCORES["adapter"][0])


def test_few_shot_systems_that_have_curves_are_not_in_this_table_too() -> None:
    point = LearningPoint(
        language="tzm_Tfng",
        shots="10",
        examples=10,
        metric=METRIC,
        mean=0.5,
        low=None,
        high=None,
        n=1,
    )
    found = gains.of(study((GAIN,), systems=(*SCORES, "10-shot"), learning=[point]), METRIC)
    assert found is not None
    assert found.systems[-1] == "adapter"
    assert gains.of(study(systems=("adapter", "10-shot"), learning=[point]), METRIC) is None


def test_few_shot_systems_are_columns_behind_the_adapter_and_claim_nothing() -> None:
    found = gains.of(study((GAIN,), systems=(*SCORES, "10-shot", "all-shot")), METRIC)
    assert found is not None
    assert found.systems[-3:] == ("adapter", "10-shot", "all-shot")
    assert "shot" not in found.claim
    alone = gains.of(study(systems=("adapter", "10-shot")), METRIC)
    assert alone is not None
    assert (alone.systems, alone.claim) == (("adapter", "10-shot"), "")


def test_a_run_without_controls_has_no_gains() -> None:
    assert gains.of(make_results(), METRIC) is None


def test_the_table_and_the_page_say_what_it_is_due_to(tmp_path: Any) -> None:
    results = study((GAIN, LEVEL, LOSS, GAIN), (GAIN, GAIN, GAIN, GAIN))
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(summary_table(results))
    assert isinstance(console.file, io.StringIO)
    shown = " ".join(console.file.getvalue().split())
    write_report(results, tmp_path / "report.html")
    page = " ".join((tmp_path / "report.html").read_text(encoding="utf-8").split())
    for text in (shown, page):
        assert "What it is due to" in text
        assert claim(results) in text
        assert "+30.0 (+20.0 to +40.0)" in text
    assert "mean" in shown
