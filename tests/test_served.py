from __future__ import annotations

import json

import pytest
from results_factory import STUDY, TARGETS, make_results
from typer.testing import CliRunner

from lowres import served
from lowres.cli import app
from lowres.errors import RunError


def names(found):
    return [group.name for group in found.groups]


@pytest.mark.parametrize("by", served.WAYS)
def test_every_target_is_in_one_group_and_the_best_is_first(by):
    found = served.gaps(make_results(), by)
    inside = [code for group in found.groups for code in group.languages]
    assert sorted(inside) == sorted(TARGETS)
    assert found.groups[0].gap == 0
    assert [g.mean for g in found.groups] == sorted((g.mean for g in found.groups), reverse=True)
    best = found.groups[0].mean
    assert all(g.gap == pytest.approx(g.mean - best) for g in found.groups)


def test_by_script():
    found = {g.name: g for g in served.gaps(make_results(), "script").groups}
    latin = [code for code in TARGETS if code.endswith("Latn")]
    assert found["Latn"].languages == tuple(sorted(latin))
    # the two trusted seeds wobble around the study's figure
    expected = sum(STUDY[code][2] for code in latin) / len(latin)
    assert found["Latn"].mean == pytest.approx(expected, abs=1e-9)
    assert found["Latn"].low < found["Latn"].mean < found["Latn"].high
    assert found["Arab"].low is None, "two languages are no interval"


def test_who_is_served_worst_is_named(tmp_path):
    found = {g.name: g for g in served.gaps(make_results(), "script").groups}
    latin = [code for code in TARGETS if code.endswith("Latn")]
    worst = min(latin, key=lambda code: STUDY[code][2])
    assert (found["Latn"].lowest, found["Latn"].lowest_score) == (
        worst,
        pytest.approx(STUDY[worst][2], abs=1e-9),
    )
    shown = CliRunner().invoke(app, ["compare", run_of(tmp_path / "a"), "--by", "script"])
    assert f"{worst} {STUDY[worst][2]:.3f}" in shown.output


def test_the_interval_is_students():
    from scipy.stats import t

    group = next(g for g in served.gaps(make_results(), "seen").groups if g.name == "seen")
    values = [STUDY[code][2] for code in group.languages]
    mean = sum(values) / len(values)
    error = (sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)) ** 0.5
    low, high = t.interval(0.95, len(values) - 1, loc=mean, scale=error)
    assert (group.low, group.high) == (pytest.approx(low), pytest.approx(high))


def test_by_seen_is_known_of_some_bases_only():
    assert names(served.gaps(make_results(), "seen")) == ["seen", "not seen"]
    base = make_results().base.model_copy(update={"name": "mine", "hub_id": "ada/mine"})
    with pytest.raises(RunError, match=r"--by seen: which languages mine .* take --by script"):
        served.gaps(make_results(base=base), "seen")
    assert "seen" not in [found.by for found in served.every(make_results(base=base))]


def test_by_fertility_puts_unknown_pieces_apart():
    found = {g.name: g.languages for g in served.gaps(make_results(), "fertility").groups}
    assert found["over 5% unknown pieces"] == ("nqo_Nkoo", "tzm_Tfng")
    with pytest.raises(RunError, match="says nothing of the tokenizer"):
        served.gaps(make_results(tokenizer=[]), "fertility")


def test_by_family():
    found = {g.name: g.languages for g in served.gaps(make_results(), "family").groups}
    assert found["Austronesian"] == ("ind_Latn",)
    assert set(found["Afro-Asiatic"]) == {"amh_Ethi", "hau_Latn", "tzm_Tfng"}


def test_a_run_without_a_trusted_seed():
    with pytest.raises(RunError, match="no target of this run has a score"):
        served.gaps(make_results(seeds=[], scores=[]), "script")
    assert served.every(make_results(seeds=[], scores=[])) == []


def run_of(folder):
    folder.mkdir()
    text = make_results().model_dump_json(by_alias=True)
    (folder / "results.json").write_text(text, encoding="utf-8")
    return str(folder)


def test_the_command_takes_one_run(tmp_path):
    run = run_of(tmp_path / "a")
    shown = CliRunner().invoke(app, ["compare", run, "--by", "script"])
    assert shown.exit_code == 0, shown.output
    assert "Nkoo" in shown.output
    as_json = CliRunner().invoke(app, ["compare", run, run, "--by", "seen", "--json"])
    first, second = json.loads(as_json.stdout)
    assert first == second
    assert first["groups"][0]["name"] == "seen"


def test_another_word_for_by_is_refused(tmp_path):
    failed = CliRunner().invoke(app, ["compare", run_of(tmp_path / "a"), "--by", "scripts"])
    assert failed.exit_code == 2
    assert "--by scripts: expected one of script, family, seen, fertility" in failed.output
