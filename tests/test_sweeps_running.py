"""What runs, what is left alone, what is tried again, and what the table says of it."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import tiny_sweep
from fake_stages import Fakes
from filelock import FileLock

from lowres import pipeline, side_by_side, train
from lowres.errors import DataError, Interrupted, RunError
from lowres.progress import Silent
from lowres.results import Results
from lowres.sweeps import loading, running, table
from lowres.sweeps.attempts import Here, Outcome
from lowres.train import Outcome as Trained


@pytest.fixture
def fakes(monkeypatch):
    return Fakes(monkeypatch)


@pytest.fixture
def go(tiny_base, tmp_path, monkeypatch):
    """`go(**keys of the sweep)` runs it in this process."""
    monkeypatch.chdir(tmp_path)

    def run(**keys):
        plan = loading.load(tiny_sweep.written(tmp_path, tiny_base, **keys))
        out = running.folder(plan, None)
        return running.run(plan, out, lambda most, cells: pool(out), Silent())

    return run


def pool(out):
    return Here(lambda cell: out / cell.name, Silent())


OUT = Path("runs/tiny")


def test_a_table_a_row_a_cell(go, fakes):
    found = go()
    assert [row.settings for row in found.cells] == [{"lora.rank": 2}, {"lora.rank": 4}]
    for row in found.cells:
        results = Results.model_validate_json((OUT / row.cell / "results.json").read_text())
        kind = ("adapter", "targets", "macro_f1")
        (own,) = [a for a in results.averages if (a.system, a.over, a.metric) == kind]
        assert (row.state, row.tries, row.targets, row.n, row.seeds) == ("done", 1, 2, 84, 1)
        assert row.mean == pytest.approx(own.mean)
        assert row.low < row.mean < row.high
        assert row.dev == 0.6
        assert row.baselines["majority"] == pytest.approx(0.048, abs=0.001)
        assert row.error is None
    assert found.chosen is None
    assert table.read(OUT) == found
    with (OUT / table.CSV).open(encoding="utf-8", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["lora.rank"] for line in lines] == ["2", "4"]
    assert lines[0]["mean"] == str(found.cells[0].mean)


def test_cells_are_ordinary_runs(go, fakes):
    found = go()
    sides = side_by_side.compare([OUT / row.cell for row in found.cells])
    assert {line.language for line in sides.lines} == {
        "eng_Latn", "swh_Latn", "amh_Ethi", "targets",
    }  # fmt: skip
    recipe = Results.model_validate_json((OUT / found.cells[0].cell / "results.json").read_text())
    assert recipe.recipe["lora"]["rank"] == 2


def test_what_is_done_is_not_run_again(go, fakes):
    first = go()
    calls = list(fakes.calls)
    again = go()
    assert fakes.calls == calls
    assert [row.tries for row in again.cells] == [0, 0]
    assert [row.mean for row in again.cells] == [row.mean for row in first.cells]
    wider = go(grid={"lora.rank": [4, 8]})
    assert [(row.settings["lora.rank"], row.tries) for row in wider.cells] == [(4, 0), (8, 1)]
    assert fakes.calls == [*calls, *calls[: len(calls) // 2]]


def test_no_pool_is_opened_where_nothing_is_to_do(go, fakes, monkeypatch):
    go()
    monkeypatch.setattr("test_sweeps_running.pool", None)
    assert go().cells[1].state == "done"


def test_a_failed_cell_is_tried_again(go, fakes):
    fakes.at["train 1"] = RuntimeError("CUDA error: an illegal memory access")
    found = go()
    assert [(row.state, row.tries) for row in found.cells] == [("done", 2), ("done", 1)]
    assert not list((OUT / running.FAILURES).iterdir())


def test_one_that_keeps_failing_is_shown_and_the_others_go_on(go, fakes, monkeypatch):
    real = fakes.train

    def broken(recipe, *given, **known):
        if recipe.lora.rank == 2:
            raise RuntimeError("no luck\nat all")
        return real(recipe, *given, **known)

    monkeypatch.setattr(train, "train", broken)
    found = go(retries=2)
    failed, done = found.cells
    assert (failed.state, failed.tries, done.state) == ("failed", 3, "done")
    assert failed.error == "RuntimeError: no luck"
    trace = (OUT / running.FAILURES / f"{failed.cell}.txt").read_text(encoding="utf-8")
    assert "in broken" in trace
    assert json.loads((OUT / table.FILE).read_text())["cells"][0]["state"] == "failed"
    monkeypatch.setattr(train, "train", real)
    mended = go()
    assert [(row.state, row.tries) for row in mended.cells] == [("done", 1), ("done", 0)]


def test_a_fault_of_the_data_is_not_tried_again(go, fakes):
    fakes.at["train 1"] = DataError("line 3: no label")
    found = go(retries=5)
    assert (found.cells[0].state, found.cells[0].tries) == ("failed", 1)
    assert found.cells[0].error == "line 3: no label"


def test_ctrl_c_keeps_what_there_is(go, fakes):
    fakes.at["train 1"] = Interrupted("interrupted at step 3 of 9")
    with pytest.raises(Interrupted):
        go()
    fakes.calls.clear()
    found = go()
    assert [row.state for row in found.cells] == ["done", "done"]


def test_a_worker_that_was_interrupted_ends_the_sweep(tiny_base, tmp_path):
    class Stopped(Here):
        closed = None

        def next(self):
            return self._waiting.popleft(), Outcome(interrupted=True)

        def close(self, graceful):
            self.closed = graceful

    plan = loading.load(tiny_sweep.written(tmp_path, tiny_base))
    stopped = Stopped(lambda cell: tmp_path / cell.name, Silent())
    with pytest.raises(KeyboardInterrupt):
        running.run(plan, tmp_path / "out", lambda most, cells: stopped, Silent())
    assert stopped.closed is True


def test_two_of_one_sweep_at_once(go, tmp_path):
    (tmp_path / OUT).mkdir(parents=True)
    with FileLock(tmp_path / OUT / running.LOCK), pytest.raises(RunError, match="another process"):
        go()


def test_a_folder_of_something_else_is_refused_before_anything_runs(go, fakes, tmp_path):
    found = go()
    own = tmp_path / OUT / found.cells[1].cell
    (own / "recipe.yaml").write_text("name: other\n", encoding="utf-8")
    with pytest.raises(RunError, match="holds the run of another recipe"):
        go(grid={"lora.rank": [4, 8]})


def test_a_pool_that_does_not_open_leaves_nothing(tiny_base, tmp_path):
    def closed(most, cells):
        assert (most, [cell.recipe.lora.rank for cell in cells]) == (2, [2, 4])
        raise RunError("no room")

    plan = loading.load(tiny_sweep.written(tmp_path, tiny_base))
    with pytest.raises(RunError):
        running.run(plan, tmp_path / "out", closed, Silent())
    assert not (tmp_path / "out").exists()


def test_what_would_run(go, fakes, tiny_base, tmp_path):
    plan = loading.load(tiny_sweep.written(tmp_path, tiny_base))
    assert [row.state for row in running.foretell(plan, OUT).cells] == ["to do", "to do"]
    assert not OUT.exists()
    go(grid={"lora.rank": [4]})
    plan = loading.load(tiny_sweep.written(tmp_path, tiny_base))
    states = [row.state for row in running.foretell(plan, OUT).cells]
    assert states == ["to do", "done"]


def test_a_collapsed_run_is_done_and_doubted(go, fakes, monkeypatch):
    def collapsed(recipe, seed, *given, **known):
        return Trained(seed, "collapsed", True, 3e-4, 5, 50, 0.1, 1000, 10, [])

    monkeypatch.setattr(train, "train", collapsed)
    for row in go().cells:
        assert (row.state, row.tries, row.mean, row.seeds) == ("done", 1, None, 0)
        assert row.dev == 0.1
        assert "seed 1: collapsed" in row.doubts[0]


def test_the_base_is_looked_for_once(go, fakes, monkeypatch):
    from lowres import bases, data

    asked = []
    for module, name in ((bases, "locate"), (data, "load")):
        real = getattr(module, name)

        def counted(*known, real=real, name=name):
            asked.append(name)
            return real(*known)

        monkeypatch.setattr(module, name, counted)
    go()
    assert sorted(asked) == ["load", "locate"]
    go(grid={"languages.targets": [["swh_Latn"], ["hau_Latn"]]}, set=smaller())
    assert sorted(asked) == ["load"] * 3 + ["locate"] * 2


def smaller():
    written = loading.recipe_loading.parse(Path("sweep.yaml"))[0]["set"]
    return {key: value for key, value in written.items() if key != "languages.targets"}


def test_one_real_cell_that_fails_first(go, monkeypatch):
    """The real training, over a tiny base, after a first try without memory."""
    real, tries = pipeline._train_seed, []

    def first_fails(*known):
        tries.append(None)
        if len(tries) == 1:
            raise MemoryError("not enough memory")
        real(*known)

    monkeypatch.setattr(pipeline, "_train_seed", first_fails)
    found = go(grid={"lora.rank": [2], "train.steps": [2]}, seeds=[1, 2])
    (row,) = found.cells
    assert (row.state, row.tries, row.n) == ("done", 2, 84)
    assert (OUT / row.cell / "train" / "2" / "adapter").is_dir()
