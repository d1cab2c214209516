from __future__ import annotations

import numpy as np
import pytest
from results_factory import make_results
from test_report import Page, render

from lowres import doubts, pipeline, stats, symptoms
from lowres.label_shift import counted, label_shift
from lowres.results import Comparison, Symptom
from lowres.style import Distance
from lowres.symptoms import Answered, Cut

LABELS = ("a", "b", "c")


def far(value: float, low: float, high: float) -> Symptom:
    found = symptoms.domain_shift("swh_Latn", Distance(value, low, high, 500, ("more emoji",)))
    assert found is not None
    return found


def against(b: str, delta: float, p: float, language: str = "swh_Latn") -> Comparison:
    return Comparison(
        a="adapter", b=b, language=language, metric="accuracy",
        delta=delta, low=delta - 0.05, high=delta + 0.05, p=p,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("distance", "verdict"),
    [
        ((0.63, 0.48, 0.79), "no sign"),
        ((0.97, 0.82, 1.1), "possible"),
        # above 1, but not with its whole interval
        ((1.07, 0.94, 1.19), "possible"),
        ((1.31, 1.2, 1.41), "found"),
    ],
)
def test_domain_shift_by_its_interval(distance, verdict):
    found = far(*distance)
    assert found.verdict == verdict
    assert bool(found.advice) == (verdict != "no sign")
    assert ("more emoji" in found.says) == (verdict != "no sign")
    assert symptoms.domain_shift("swh_Latn", None) is None


def test_the_distance_of_vectors_is_said_and_decides_nothing():
    near = Distance(0.3, 0.1, 0.5, 500, ())
    found = symptoms.domain_shift("swh_Latn", near, 1.98)
    assert (found.verdict, found.value, found.pooled) == ("no sign", 0.3, 1.98)
    assert found.says.endswith(
        "; 1.98 on the base's pooled vectors, which tell languages apart too"
    )
    assert symptoms.domain_shift("swh_Latn", near).pooled is None


def test_negative_transfer_names_the_rival_that_is_sure():
    rows = [against("probe", -0.08, 0.3), against("majority", -0.04, 0.01)]
    found = symptoms.negative_transfer("swh_Latn", rows, 40)
    assert (found.verdict, found.figure) == ("found", "accuracy over majority")
    assert found.value == pytest.approx(-0.04)
    assert symptoms.negative_transfer("swh_Latn", rows[:1], 40).verdict == "possible"
    above = [against("probe", 0.08, 0.3), against("majority", 0.2, 0.01)]
    assert symptoms.negative_transfer("swh_Latn", above, 40).verdict == "no sign"
    # a system that saw the target's labels is no rival
    assert symptoms.negative_transfer("swh_Latn", [against("tfidf-target", -0.3, 0.01)], 40) is None


def test_forgetting_is_turned_the_right_way():
    """A comparison says adapter minus other: after adaptation, and before the few examples."""
    rows = [
        against("base-as-is", -0.06, 0.01, "eng_Latn"),
        against("10-shot", 0.07, 0.01, "eng_Latn"),
        against("50-shot", -0.07, 0.01, "eng_Latn"),
        against("probe", -0.5, 0.01, "eng_Latn"),
    ]
    adapted, ten, fifty = symptoms.forgetting("eng_Latn", rows, 40)
    assert (adapted.verdict, adapted.value) == ("found", pytest.approx(-0.06))
    assert (ten.verdict, ten.value) == ("found", pytest.approx(-0.07))
    assert (ten.low, ten.high) == (pytest.approx(-0.12), pytest.approx(-0.02))
    assert (fifty.verdict, fifty.value) == ("no sign", pytest.approx(0.07))
    assert adapted.advice != ten.advice
    assert ten.says == (
        "−7.0 points (95% −12.0 to −2.0) against the zero-shot adapter, after 10-shot training"
    )


def test_the_worst_of_several_targets_stands_for_all_that_trained_apart():
    """A comparison says the zero-shot adapter minus the one that went on."""
    found = {
        "swh_Latn": against("10-shot", 0.02, 0.4, "eng_Latn"),
        "yor_Latn": against("10-shot", 0.09, 0.001, "eng_Latn"),
        "hau_Latn": against("10-shot", -0.04, 0.1, "eng_Latn"),
    }
    worst = symptoms.worst_forgotten(found, 200)
    assert (worst.verdict, worst.language, worst.n) == ("found", "eng_Latn", 200)
    assert worst.value == pytest.approx(-0.09)
    assert worst.says.endswith("after 10-shot training on yor_Latn, the worst of 3 targets")
    gained = {"hau_Latn": found["hau_Latn"]}
    assert symptoms.worst_forgotten(gained, 200).verdict == "no sign"
    assert symptoms.worst_forgotten(found, 9) is None
    assert symptoms.worst_forgotten({}, 200) is None


def test_the_worst_of_many_is_surely_low_only_where_chance_hardly_makes_it_so():
    """An interval just above zero is one of twenty by chance."""
    lost = against("10-shot", 0.055, 0.03, "eng_Latn")
    kept = against("10-shot", 0.0, 1.0, "eng_Latn")
    others = {f"t{number}": kept for number in range(19)}
    assert symptoms.worst_forgotten({"lost": lost}, 200).verdict == "found"
    assert symptoms.worst_forgotten({"lost": lost, **others}, 200).verdict == "possible"


def test_no_difference_has_no_sign_of_a_loss():
    assert symptoms.points(-0.0, -0.0004, 0.0) == "+0.0 points (95% +0.0 to +0.0)"
    assert symptoms.points(-0.089, -0.21, 0.031) == "−8.9 points (95% −21.0 to +3.1)"


def answered(count: int, right: float) -> Answered:
    gold = [LABELS[at % 3] for at in range(count)]
    wrong = [LABELS[(at + 1) % 3] for at in range(count)]
    stop = round(count * right)
    return Answered(gold, [*gold[:stop], *wrong[stop:]])


@pytest.mark.parametrize(
    ("dev", "verdict"), [(0.99, "no sign"), (0.92, "possible"), (0.7, "found")]
)
def test_over_fitting(dev, verdict):
    parts = answered(200, 1.0), answered(200, dev)
    found = symptoms.over_fitting("eng_Latn", "accuracy", *parts, LABELS)
    assert found.verdict == verdict
    assert found.low <= found.value <= found.high
    assert found.value == pytest.approx(1 - dev)
    assert symptoms.over_fitting("eng_Latn", "accuracy", answered(9, 1), parts[1], LABELS) is None


def cut(rate_of_fine: float, count: int = 300, unknown: float = 0.0) -> Cut:
    """Every third item has three pieces and is wrong so often; of the others a tenth is."""
    pieces = np.array([1.0 + at % 3 for at in range(count)])
    wrong = [at // 3 % 50 < 50 * (rate_of_fine if at % 3 == 2 else 0.1) for at in range(count)]
    return Cut(pieces, np.array(wrong, dtype=float), np.arange(count), "a word", unknown)


def test_tokenisation_by_thirds():
    found = symptoms.tokenisation("swh_Latn", cut(0.6), 10)
    assert found.verdict == "found"
    assert found.value > 0.3
    assert symptoms.tokenisation("swh_Latn", cut(0.1), 10).verdict == "no sign"


def test_what_is_sure_for_one_target_is_less_so_among_many():
    verdicts = {
        targets: symptoms.tokenisation("swh_Latn", cut(0.26), targets).verdict
        for targets in (1, 5000)
    }
    assert verdicts == {1: "found", 5000: "possible"}


def test_words_of_a_sentence_are_drawn_together():
    """One sentence with all the errors is no pattern."""
    plain = cut(0.6)
    together = Cut(plain.pieces, plain.wrong, plain.example // 100, "a word", 0.0)
    apart, joined = (symptoms.tokenisation("swh_Latn", each, 1) for each in (plain, together))
    assert apart.value == joined.value
    assert (apart.low, apart.high) != (joined.low, joined.high)


def test_unknown_pieces_are_found_whatever_the_errors():
    found = symptoms.tokenisation("tzm_Tfng", cut(0.1, unknown=0.46), 10)
    assert (found.verdict, found.value) == ("found", 0.46)


def test_items_alike_say_nothing():
    same = cut(0.5)
    flat = Cut(np.ones(300), same.wrong, same.example, "a word", 0.0)
    assert symptoms.tokenisation("swh_Latn", flat, 1) is None
    nothing = np.zeros(0)
    empty = Cut(nothing, nothing, np.zeros(0, dtype=int), "a word", 0.0)
    assert symptoms.tokenisation("swh_Latn", empty, 1) is None


def shifted(shares: tuple[int, int, int], recalls: tuple[float, float, float]) -> Answered:
    """So many gold labels of each; of each so many are right, the others are taken for the next."""
    gold, said = [], []
    for at, (count, recall) in enumerate(zip(shares, recalls, strict=True)):
        right = round(count * recall)
        gold += [LABELS[at]] * count
        said += [LABELS[at]] * right + [LABELS[(at + 1) % 3]] * (count - right)
    return Answered(gold, said)


def test_label_shift_costs_where_the_frequent_label_is_answered_worse():
    source = list(LABELS) * 100
    test = shifted((40, 40, 220), (0.9, 0.9, 0.3))
    found = label_shift("swh_Latn", source, test, "accuracy", LABELS, 10)
    assert found.verdict == "found"
    assert found.value == pytest.approx(0.4, abs=0.01)
    # accuracy 0.46 here, 0.70 at equal shares
    assert "the score would move by +24.0 points" in found.says
    assert "c +40" in found.says
    even = label_shift(
        "swh_Latn", source, shifted((40, 40, 220), (0.8,) * 3), "accuracy", LABELS, 9
    )
    assert even.verdict == "possible"


def test_no_label_shift_between_two_draws():
    found = label_shift("swh_Latn", list(LABELS) * 100, answered(200, 0.5), "macro_f1", LABELS, 1)
    assert found.verdict == "no sign"
    assert found.value < 0.02
    assert not found.advice


def test_the_cost_in_macro_f1_is_that_of_weighed_examples():
    """Each example as often as the source has its label: 10 times label a, 3 times the others."""
    test = shifted((30, 100, 100), (0.5, 0.9, 0.9))
    copies = Answered(
        [g for g in test.gold for _ in range(10 if g == "a" else 3)],
        [
            s
            for g, s in zip(test.gold, test.said, strict=True)
            for _ in range(10 if g == "a" else 3)
        ],
    )

    source = ["a"] * 300 + ["b"] * 300 + ["c"] * 300
    found = label_shift("swh_Latn", source, test, "macro_f1", LABELS, 1)
    own, moved = (stats.value_of("macro_f1", a.gold, a.said, LABELS) for a in (test, copies))
    assert f"{100 * (moved - own):+.1f} points".replace("-", "−") in found.says


def test_labels_of_tags():
    assert counted("a") == ("a",)
    assert counted(["O", "B-PER", "I-PER", "B-LOC"]) == ["PER", "LOC"]
    assert counted(["O", "O"]) == []
    assert counted(["NOUN", "VERB"]) == ["NOUN", "VERB"]


def test_spans_have_a_shift_and_no_cost():
    source, gold = [["O", "B-PER"]] * 100, [["O", "B-LOC"]] * 100
    found = label_shift("swh_Latn", source, Answered(gold, gold), "span_f1", ("O",), 1)
    assert (found.verdict, found.value) == ("possible", 1.0)
    assert "score would" not in found.says


def test_accuracy_of_tags_is_weighed_by_words():
    source = [["NOUN", "VERB"]] * 50
    gold = [["NOUN"] * 9 + ["VERB"]] * 50
    said = [["NOUN"] * 10] * 50
    found = label_shift("swh_Latn", source, Answered(gold, said), "accuracy", ("NOUN", "VERB"), 1)
    # 0.9 here, 0.5 at the source's shares: the shift is no cost, but a gain
    assert "the score would move by −40.0 points" in found.says
    assert found.verdict == "possible"


def test_lines_put_what_is_strongest_first():
    rows = [far(1.3, 1.2, 1.4), far(1.9, 1.8, 1.95).model_copy(update={"language": "kin_Latn"})]
    (line,) = doubts.of([*rows, far(0.9, 0.7, 1.0)])
    assert [s.language for s in line.found] == ["kin_Latn", "swh_Latn"]
    assert (len(line.possible), line.looked_at) == (1, 3)
    assert line.advice
    assert doubts.of([]) == []


def test_what_was_not_looked_for_says_why():
    seen = [far(1.3, 1.2, 1.4)]
    reasons = dict(doubts.not_looked_for(make_results(symptoms=seen)))
    assert list(reasons) == [name for name in symptoms.NAMES if name != "domain shift"]
    assert reasons["forgetting"] == "no control (adapt.controls) and no shots (languages.shots)"
    assert "evaluate.baselines" in reasons["negative transfer"]
    recipe = make_results().recipe
    few = {**recipe, "languages": {**recipe["languages"], "shots": [0, 10]}}
    reasons = dict(doubts.not_looked_for(make_results(symptoms=seen, recipe=few)))
    assert "few_shot.together" in reasons["forgetting"]
    none = [seed.model_copy(update={"status": "nan"}) for seed in make_results().seeds]
    reasons = dict(doubts.not_looked_for(make_results(symptoms=seen, seeds=none)))
    assert reasons["over-fitting"] == reasons["tokenisation"] == "no seed can be trusted"
    # a target's labels are what they are, whatever came out of training
    assert "trusted" not in reasons["label shift"]
    assert doubts.not_looked_for(make_results()) == []


def test_every_symptom_has_its_figure_and_what_was_not_looked_for_its_reason(tmp_path):
    rows = [far(0.31, 0.17, 0.45), far(1.82, 1.75, 1.91)]
    text = " ".join(Page(render(tmp_path, symptoms=rows)).text.split())
    # nothing wrong, and still a figure, its interval, n and what was measured
    table = text.partition("All figures")[2]
    assert "no sign0.31 (95% 0.17 to 0.45) of 2 from the source's training texts" in table
    assert table.index("1.82 (95% 1.75 to 1.91)") < table.index("0.31 (95%")
    assert table.count("(proxy A-distance of how the texts are written)500") == 2
    assert "Not looked for, forgetting: no control (adapt.controls) and no shots" in text
    assert "Not looked for, domain shift" not in text


def test_nothing_is_shown_of_a_run_that_was_not_looked_at():
    assert doubts.table(make_results()) == []


def test_a_symptom_is_no_reason_to_distrust_a_score():
    """Exit status 3 is for what is certain."""
    before = pipeline.untrusted(make_results())
    assert pipeline.untrusted(make_results(symptoms=[far(1.9, 1.8, 1.95)])) == before
