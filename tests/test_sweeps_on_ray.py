"""Workers on a real Ray of this machine, as commands; what needs no Ray, in this process."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import tiny_sweep

from lowres import __version__, plan, recipe_loading
from lowres.errors import LowresError
from lowres.sweeps import on_ray
from lowres.sweeps.keys import Sweep
from lowres.sweeps.on_ray import STAMP, Worker, _Watch, check_address, room, sized

on_real_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="needs Ray (extra ray)"
)
GRID = {"lora.rank": [2, 4], "train.steps": [60]}
SEEDS = {"seeds": (1, 2, 3)}
DEADLINE_S = 300


def sweep(**keys):
    return Sweep.model_validate({"name": "s", "recipe": "quickstart", **keys})


class TestRoom:
    @pytest.mark.parametrize(
        ("keys", "cpus", "gpus", "each", "most", "size"),
        [
            ({}, 2, 0, 0, 9, 2),
            ({}, 8, 0, 0, 3, 3),
            ({"cpus_a_worker": 4}, 15, 0, 0, 9, 3),
            ({}, 64, 8, 1, 1000, 8),
            ({}, 64, 1, 0.3, 9, 3),
            ({"workers": 2}, 64, 8, 1, 9, 2),
            ({"workers": 7}, 64, 8, 1, 5, 5),
        ],
    )
    def test_as_many_as_there_is_room_for(self, keys, cpus, gpus, each, most, size):
        assert room(sweep(**keys), cpus, gpus, each, most) == size

    @pytest.mark.parametrize(
        ("keys", "each", "said"),
        [
            ({"workers": 3}, 0, "room for 2, not 3, of 1 cores and 0 GPUs each"),
            ({"cpus_a_worker": 4}, 0, "room for 0, not 1, of 4 cores"),
            ({}, 1, "room for 0, not 1, of 1 cores and 1 GPUs each"),
        ],
    )
    def test_too_little_room_is_said_and_not_waited_for(self, keys, each, said):
        with pytest.raises(LowresError, match=said):
            room(sweep(**keys), 2, 0, each, 9)


class TestSized:
    """`workers: auto` on processors, by the memory that the plans of the runs foretell."""

    @pytest.fixture
    def planned(self, monkeypatch):
        """`planned(MB)`: so much memory is free on this machine, which has no GPU."""
        real = psutil.virtual_memory()

        def free(free_mb):
            memory = real._replace(available=int(free_mb * 2**20))
            monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)

        monkeypatch.setattr("lowres.cards._sees_gpu", lambda: False)
        return free

    @pytest.fixture
    def recipes(self, tiny_base):
        bases = (str(tiny_base), "xlm-roberta-base")
        return [recipe_loading.load("quickstart", [f"base.name={name}"]) for name in bases]

    def test_no_more_than_memory_holds(self, planned, recipes):
        planned(100_000)
        small, large = (plan.make(recipe).peak_mb for recipe in recipes)
        assert small < large - 20
        for free_mb, workers in ((8.5 * large, 8), (2.1 * large, 2), (1.9 * large, 1)):
            planned(free_mb)
            size = sized(sweep(), 8, 0, 9, recipes)
            assert size.workers == workers
            said = f"each takes up to {large:,.0f} MB, {free_mb:,.0f} MB are free"
            assert size.bound == (said if workers < 8 else "")
        planned(2.5 * small)
        assert sized(sweep(), 8, 0, 9, recipes[:1]).workers == 2

    def test_one_where_none_fits(self, planned, recipes):
        planned(300)
        size = sized(sweep(), 8, 0, 9, recipes)
        large = plan.make(recipes[1]).peak_mb
        said = f"each takes up to {large:,.0f} MB, 300 MB are free"
        assert (size.workers, size.bound) == (1, said)

    @pytest.mark.parametrize(
        ("keys", "gpus", "workers"),
        [
            ({"workers": 3}, 0, 3),
            ({"address": "auto"}, 0, 8),
            ({"gpus_a_worker": 0.5}, 2, 4),
            ({}, 2, 2),
            ({"gpus_a_worker": 0}, 2, 1),
        ],
    )
    def test_what_memory_here_does_not_bound(self, planned, recipes, keys, gpus, workers):
        planned(300)
        assert sized(sweep(**keys), 8, gpus, 9, recipes).workers == workers

    def test_a_base_that_is_not_here_is_not_planned(self, planned):
        planned(300)
        unknown = recipe_loading.load("quickstart", ["base.name=nobody/knows-it"])
        assert sized(sweep(), 8, 0, 9, [unknown]) == on_ray.Size(8, 0.0)

    def test_runs_of_the_same_memory_are_planned_once(self, planned, recipes, monkeypatch):
        made = []
        real = plan.make
        monkeypatch.setattr(plan, "make", lambda recipe: made.append(recipe) or real(recipe))
        planned(100_000)
        (first, second), other = recipes, {"targets": ("yor_Latn",) * 8}
        moved = first.languages.model_copy(update=other)
        alike = [first.model_copy(update={"languages": moved}), first.model_copy(update=SEEDS)]
        assert sized(sweep(), 2, 0, 9, [first, *alike, second]).workers == 2
        assert made == recipes


class TestAddress:
    @pytest.mark.parametrize(
        "address", ["http://127.0.0.1:1", "ray://", "ray://127.0.0.1:port", ":1", "a:b"]
    )
    def test_what_is_none(self, address):
        with pytest.raises(LowresError, match="expected ray://host:port, host:port, or auto"):
            check_address(address)

    @pytest.mark.parametrize("scheme", ["ray://", ""])
    def test_nobody_answers(self, scheme):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
        start = time.monotonic()
        with pytest.raises(LowresError, match=r"no Ray answers there .*ray start --head"):
            check_address(f"{scheme}127.0.0.1:{port}")
        assert time.monotonic() - start < on_ray.ANSWER_S

    @on_real_ray
    def test_something_else_answers(self, monkeypatch):
        monkeypatch.setattr(on_ray, "ANSWER_S", 1.0)
        with socket.create_server(("127.0.0.1", 0)) as server:
            address = f"ray://127.0.0.1:{server.getsockname()[1]}"
            with pytest.raises(LowresError, match="something answers there, but no Ray, within"):
                check_address(address)

    def test_the_command_says_it_in_one_line(self, tiny_base, tmp_path):
        file = tiny_sweep.written(tmp_path, tiny_base, workers=None)
        with command(file, "--address", "127.0.0.1:1") as process:
            out, err = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, out) == (2, "")
        (line,) = err.splitlines()
        assert "no Ray answers there" in line or "not installed" in line
        assert not (tmp_path / "runs").exists()

    @on_real_ray
    @pytest.mark.parametrize(
        ("known", "said"),
        [
            ("", "address auto: no Ray cluster runs on this machine; start it with `ray start"),
            (
                "127.0.0.1:1",
                "address auto (127.0.0.1:1): no Ray answers there (Connection refused)",
            ),
        ],
    )
    def test_auto_where_no_cluster_runs(self, tiny_base, tmp_path, known, said):
        file = tiny_sweep.written(tmp_path, tiny_base, workers=None)
        # another process's Ray on this machine would be found, and is none of this test's
        code = (
            "import functools, sys, ray._private.services as services\n"
            "services.find_gcs_addresses = functools.cache(set)\n"
            "from lowres.cli import main\n"
            f"sys.argv = ['lowres', 'sweep', {file.name!r}, '--address', 'auto']\n"
            "sys.exit(main())\n"
        )
        done = subprocess.run(
            [sys.executable, "-P", "-c", code],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
            check=False,
            env={**os.environ, "RAY_TMPDIR": str(tmp_path), "RAY_ADDRESS": known},
        )
        assert (done.returncode, done.stdout) == (2, "")
        (line,) = done.stderr.splitlines()
        assert said in line
        assert "ray start --head" in line


def test_without_ray(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(LowresError) as caught:
        on_ray.open_pool(sweep(), tmp_path, 1, [], lambda: None)
    assert 'pip install "lowres[ray]"' in str(caught.value)
    assert "--local" in str(caught.value)


class TestWorker:
    @pytest.fixture
    def shared(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / STAMP).write_text(f"{__version__} abc", encoding="utf-8")
        return tmp_path

    def test_it_stands_where_the_command_stands(self, shared, monkeypatch):
        monkeypatch.chdir("/")
        assert Worker().prepare(str(shared), ".", f"{__version__} abc") is None
        assert Path.cwd() == shared

    @pytest.mark.parametrize(
        ("current", "stamp", "said"),
        [
            (".", f"{__version__} of another", "does not see"),
            ("./nowhere", f"{__version__} abc", "does not see"),
            (".", "0.0.9 abc", "0.0.9 here: install one of them"),
        ],
    )
    def test_what_is_wrong_there(self, shared, current, stamp, said):
        assert said in Worker().prepare(current, ".", stamp)

    def test_it_stops_as_by_ctrl_c_once(self, tmp_path):
        watch = _Watch(tmp_path / "stop", interval_s=0)
        with watch.bar("", 3) as advance:
            advance(1)
            (tmp_path / "stop").touch()
            with pytest.raises(KeyboardInterrupt):
                advance(1)
            advance(1)
        watch.say("")

    def test_training_is_told_by_its_own_handler(self, tmp_path):
        seen = []
        before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
        try:
            (tmp_path / "stop").touch()
            _Watch(tmp_path / "stop", interval_s=0).say("")
        finally:
            signal.signal(signal.SIGINT, before)
        assert seen == [signal.SIGINT]

    def test_an_interrupted_cell(self, shared, monkeypatch):
        from lowres import pipeline, recipe_loading

        def interrupted(*known):
            raise KeyboardInterrupt

        monkeypatch.setattr(pipeline, "run", interrupted)
        plain = recipe_loading.load("quickstart").model_dump(mode="json")
        assert Worker().attempt(plain, "cell").interrupted


@contextmanager
def command(file, *words):
    """The command in the sweep's folder, with a session of its own, as a terminal gives it."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "lowres", "sweep", file.name, *words],
        cwd=file.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONWARNINGS": "default"},
    ) as process:
        yield process
        if process.poll() is None:
            process.kill()


def until(moment, process):
    deadline = time.monotonic() + DEADLINE_S
    while not moment():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def below(process):
    return psutil.Process(process.pid).children(recursive=True)


@on_real_ray
@pytest.mark.slow
class TestOnRay:
    @pytest.fixture
    def file(self, tiny_base, tmp_path):
        return tiny_sweep.written(
            tmp_path, Path(os.path.relpath(tiny_base, tmp_path)), grid=GRID, workers=2, seeds=[1, 2]
        )

    def test_two_workers_one_of_which_dies(self, file):
        with command(file, "--json") as process:
            partial = "runs/tiny/quickstart-*/train/.1.partial"
            until(lambda: any(file.parent.glob(partial)), process)
            busy = [one for one in below(process) if one.name().startswith("ray::Worker")]
            assert len(busy) == 2, [one.name() for one in below(process)]
            busy[0].kill()
            out, err = process.communicate(timeout=DEADLINE_S)
        assert process.returncode in (0, 3), err
        table = json.loads(out)
        assert sorted(row["tries"] for row in table["cells"]) == [1, 2]
        assert {row["state"] for row in table["cells"]} == {"done"}
        assert "failed, is tried again" in err
        strange = [line for line in err.splitlines() if not line.startswith(("Ray on", "quickst"))]
        assert strange == []
        with command(file) as again:
            shown, said = again.communicate(timeout=DEADLINE_S)
        assert again.returncode == process.returncode
        assert said.count("done before") == 2
        assert "Ray on" not in said
        assert "targets" in shown

    def test_ctrl_c_saves_and_ends_all_processes(self, file):
        with command(file, "train.epochs=30") as process:
            partial = "runs/tiny/quickstart-*/train/.1.partial/checkpoints"
            until(lambda: len(list(file.parent.glob(partial))) == 2, process)
            others = below(process)
            assert len(others) >= 4, "Ray's own and two workers"
            # a terminal sends it to all of them
            os.killpg(process.pid, signal.SIGINT)
            out, err = process.communicate(timeout=DEADLINE_S)
        assert (process.returncode, out) == (130, ""), err
        assert err.splitlines()[-1] == "interrupted; give the same command again to go on"
        _, alive = psutil.wait_procs(others, timeout=20)
        assert alive == []
        left = {entry.name for entry in (file.parent / "runs" / "tiny").iterdir()}
        assert left.isdisjoint({on_ray.STOP, STAMP})
