from __future__ import annotations

import pytest
from results_factory import make_results

from lowres import bases, listing, registry
from lowres.errors import LowresError


@pytest.mark.parametrize("what", ["tasks", "metrics", "baselines"])
def test_plugins_say_what_they_are(what):
    rows = listing.rows(what)
    assert [row["name"] for row in rows] == list(registry.names(what))
    assert all(row["about"].endswith(".") for row in rows)


def test_bases_and_recipes():
    rows = {row["name"]: row for row in listing.rows("bases")}
    assert list(rows) == list(bases.ROWS)
    assert rows["e5-small"]["offline"] == "yes"
    assert rows["mmBERT-base"]["offline"] == "no"
    (quickstart,) = [row for row in listing.rows("recipes") if row["name"] == "quickstart"]
    assert quickstart == {
        "name": "quickstart",
        "task": "classification",
        "source": "eng_Latn",
        "targets": 8,
        "base": "e5-small",
    }


def test_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert listing.rows("runs") == []
    for name in ("a-begun", "b-done", "c-broken"):
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "recipe.yaml").touch()
    text = make_results().model_dump_json(by_alias=True)
    (tmp_path / "runs" / "b-done" / "results.json").write_text(text, encoding="utf-8")
    (tmp_path / "runs" / "c-broken" / "results.json").write_text('{"schema": 0}')
    begun, done, broken = listing.rows("runs")
    assert (begun["state"], begun["targets"]) == ("unfinished", "")
    assert done["state"] == "finished"
    assert "macro_f1 0." in done["targets"]
    assert broken["state"] == "results.json unreadable"


def test_runs_of_a_sweep(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("rates", "other"):
        (tmp_path / "runs" / name / "quickstart-1a").mkdir(parents=True)
        (tmp_path / "runs" / name / "quickstart-1a" / "recipe.yaml").touch()
    (tmp_path / "runs" / "rates" / "sweep.json").touch()
    assert [row["run"] for row in listing.rows("runs")] == ["runs/rates/quickstart-1a"]


def test_an_unknown_kind_names_the_nearest():
    with pytest.raises(LowresError, match="did you mean 'bases'"):
        listing.rows("base")
