"""Workers on Ray: one actor a worker, on this machine or on a cluster. Ray is imported here alone,
when the first cell has to be run."""

from __future__ import annotations

import importlib
import io
import logging
import os
import secrets
import signal
import socket
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowres import __version__, artifacts, quiet
from lowres.errors import Interrupted, LowresError
from lowres.events import Event
from lowres.kept import Kept
from lowres.progress import Advance
from lowres.recipe import Recipe
from lowres.recipe_loading import from_mapping
from lowres.sweeps import memory
from lowres.sweeps.attempts import Outcome, attempt, failure
from lowres.sweeps.keys import Sweep
from lowres.sweeps.loading import Cell
from lowres.sweeps.sources import INSTALL

ANSWER_S = 15.0
"""How long a cluster may take to answer."""
STOP = ".stop"
"""The file that tells workers to save what they do and to stop: on a cluster no signal gets there,
and the sweep's folder does."""
STAMP = ".sweep.stamp"
STOP_S = 60.0
POLL_S = 0.5
PORTS = {"ray://": 10001, "": 6379}
MEND = "start it with `ray start --head`, or leave address out to run on this machine"


class Worker:
    """What one process of the pool does; kept between cells is all that `Kept` keeps, beside the
    imports."""

    def __init__(self) -> None:
        self._kept = Kept()

    def prepare(self, current: str, out: str, stamp: str) -> str | None:
        """Stand where the command stands, so that paths mean the same; what is wrong here, if
        anything."""
        host = socket.gethostname()
        if __version__ != stamp.split()[0]:
            return f"lowres {__version__} on {host}, {stamp.split()[0]} here: install one of them"
        try:
            os.chdir(current)
            if (Path(out) / STAMP).read_text(encoding="utf-8") == stamp:
                quiet.libraries()
                return None
        except OSError:
            pass
        return (
            f"{host} does not see {Path(current) / out}: work in a folder that all machines share, "
            "under the same path"
        )

    def attempt(self, plain: dict[str, Any], folder: str) -> Outcome:
        """Try a cell whose recipe is given as plain data."""
        watch = _Watch(Path(folder).parent / STOP)
        try:
            recipe = from_mapping(plain)
            return attempt(recipe, Path(folder), watch, self._kept)
        except (KeyboardInterrupt, Interrupted):
            return Outcome(interrupted=True)


class _Watch:
    """Progress that tells nobody, but looks at every sign of life whether to stop."""

    def __init__(self, stop: Path, interval_s: float = POLL_S) -> None:
        self._stop = stop
        self._interval_s = interval_s
        self._looked_s = time.monotonic()
        self._told = False

    def say(self, line: str) -> None:
        """Only look."""
        self._look(1)

    def tell(self, event: Event) -> None:
        """Only look."""
        self._look(1)

    @contextmanager
    def bar(self, description: str, total: int) -> Iterator[Advance]:
        """Only look, at every step."""
        yield self._look
        self._look(1)

    def _look(self, n: int) -> None:
        now = time.monotonic()
        if self._told or now - self._looked_s < self._interval_s:
            return
        self._looked_s = now
        if self._stop.exists():
            self._told = True
            # as Ctrl-C would: training saves a checkpoint first, whatever else just stops
            handler = signal.getsignal(signal.SIGINT)
            if not callable(handler):
                raise KeyboardInterrupt
            handler(signal.SIGINT, None)


class Actors:
    """The pool: `Worker`s on Ray."""

    def __init__(
        self,
        ray: Any,
        make: Callable[[], Any],
        size: int,
        out: Path,
        check: Callable[[], None],
        bound: str = "",
    ) -> None:
        """`make` gives an actor; `out` is the sweep's folder, in which cells run; `check` is
        called while waiting, and may raise; `bound` says why there are not more workers."""
        self.size, self.bound = size, bound
        self._check = check
        self._ray, self._make, self._out = ray, make, out
        self._idle: list[Any] = []
        self._running: dict[Any, tuple[Cell, Any]] = {}
        # Ray prints of workers that died on our standard output, which is the table's alone
        self._quiet = redirect_stdout(io.StringIO())
        self._quiet.__enter__()
        try:
            self._idle = self._all(size)
        except BaseException:
            self.close(graceful=False)
            raise

    def _all(self, size: int) -> list[Any]:
        made = [self._make() for _ in range(size)]
        stamp = f"{__version__} {secrets.token_hex(8)}"
        artifacts.write_text(self._out / STAMP, stamp)
        self._stamp = stamp
        (self._out / STOP).unlink(missing_ok=True)
        for actor in made:
            self._prepare(actor)
        return made

    def _prepare(self, actor: Any) -> None:
        try:
            wrong = self._ray.get(
                actor.prepare.remote(str(Path.cwd()), str(self._out), self._stamp)
            )
        except self._ray.exceptions.RayError as error:
            said = str(error).strip().splitlines()
            raise LowresError(
                f"a worker cannot start: {said[-1] if said else type(error).__name__}; is lowres "
                "installed on every machine of the cluster?"
            ) from error
        if wrong is not None:
            raise LowresError(f"a worker cannot start: {wrong}")

    def start(self, cell: Cell) -> None:
        """Give it to an idle worker."""
        actor = self._idle.pop()
        task = actor.attempt.remote(cell.recipe.model_dump(mode="json"), str(self._out / cell.name))
        self._running[task] = (cell, actor)

    def next(self) -> tuple[Cell, Outcome]:
        """Whichever is finished first; a worker that died is replaced."""
        done: list[Any] = []
        while not done:
            # in pieces: a wait without end does not notice Ctrl-C on every system
            done, _ = self._ray.wait(list(self._running), num_returns=1, timeout=POLL_S)
            self._check()
        cell, actor = self._running.pop(done[0])
        try:
            outcome: Outcome = self._ray.get(done[0])
        except self._ray.exceptions.RayError as error:
            outcome = failure(error)
            self._ray.kill(actor)
            actor = self._make()
            self._prepare(actor)
        self._idle.append(actor)
        return cell, outcome

    def close(self, graceful: bool) -> None:
        """End all workers and the Ray of this sweep; a cluster goes on."""
        try:
            if graceful and self._running:
                (self._out / STOP).touch()
                self._ray.wait(list(self._running), num_returns=len(self._running), timeout=STOP_S)
        finally:
            for actor in [*self._idle, *(actor for _, actor in self._running.values())]:
                self._ray.kill(actor)
            self._ray.shutdown()
            self._quiet.__exit__(None, None, None)
            for name in (STOP, STAMP):
                (self._out / name).unlink(missing_ok=True)


def open_pool(
    sweep: Sweep, out: Path, most: int, cells: Sequence[Cell], check: Callable[[], None]
) -> Actors:
    """Workers for a sweep, `most` of them at most, for such cells; `check` as in `Actors`.

    Raises `LowresError`: no Ray; a cluster that does not answer, or has no room; a machine of it
    without lowres or without the sweep's folder.
    """
    ray = _ray(sweep.address is None)
    if sweep.address is None:
        _start_here(ray)
    else:
        _connect(ray, sweep.address)
    try:
        cpus, gpus = (float(ray.cluster_resources().get(name, 0)) for name in ("CPU", "GPU"))
        size = sized(sweep, cpus, gpus, most, [cell.recipe for cell in cells])
    except BaseException:
        ray.shutdown()
        raise
    options = {"num_cpus": sweep.cpus_a_worker, "num_gpus": size.gpus_each, "max_restarts": 0}
    remote = ray.remote(Worker)
    return Actors(
        ray, lambda: remote.options(**options).remote(), size.workers, out, check, size.bound
    )


@dataclass(frozen=True)
class Size:
    """How many workers, and what each one holds; `bound` says why not more where memory is it."""

    workers: int
    gpus_each: float
    bound: str = ""


def sized(sweep: Sweep, cpus: float, gpus: float, most: int, recipes: Sequence[Recipe]) -> Size:
    """What `workers` and `gpus_a_worker` come to where so many cores and GPUs are. Without a GPU
    each, `workers: auto` is no more than the memory of this machine holds; of a cluster's nobody
    here knows what is free. Raises `LowresError` as `room` does."""
    gpus_each = sweep.gpus_a_worker
    if gpus_each == "auto":
        gpus_each = 1.0 if gpus else 0.0
    workers = room(sweep, cpus, gpus, gpus_each, most)
    if sweep.workers == "auto" and sweep.address is None and not gpus_each and workers > 1:
        held = memory.held(recipes)
        if held is not None and held.workers < workers:
            return Size(held.workers, gpus_each, held.why)
    return Size(workers, gpus_each)


def room(sweep: Sweep, cpus: float, gpus: float, gpus_each: float, most: int) -> int:
    """How many workers there are. Raises `LowresError` where one is too large, or too many were
    asked for: Ray would wait for room without end."""
    fits = int(cpus // sweep.cpus_a_worker)
    if gpus_each:
        fits = min(fits, int(gpus / gpus_each + 1e-9))
    asked = 1 if sweep.workers == "auto" else min(sweep.workers, most)
    if fits < asked:
        raise LowresError(
            f"workers: there is room for {fits}, not {asked}, of {sweep.cpus_a_worker:g} cores and "
            f"{gpus_each:g} GPUs each ({cpus:g} cores and {gpus:g} GPUs are there); lower workers, "
            "cpus_a_worker or gpus_a_worker"
        )
    return min(fits, most) if sweep.workers == "auto" else asked


def _ray(here: bool) -> Any:
    """The library. Its core reads the environment once, when it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_CLIENT_MAX_CONNECTION_TIMEOUT_S", str(int(ANSWER_S)))
    # a worker without a GPU may see them all: then torch chooses, as it does in `lowres run`
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if here and "RAY_AUTH_MODE" not in os.environ:
        # nobody else gets in; said aloud, as Ray would otherwise print a note about it
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise LowresError(
            f"a sweep runs on Ray, which is not installed; {INSTALL}, or give --local to run the "
            "cells one after another in this process"
        ) from error


def _start_here(ray: Any) -> None:
    """A Ray of this sweep alone, on the loopback."""
    try:
        with quiet.native():
            ray.init(
                address="local",
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
                configure_logging=False,
                _node_ip_address="127.0.0.1",
            )
    except Exception as error:
        ray.shutdown()
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise LowresError(
            f"Ray does not start here: {first}; give --local to run the cells one after another "
            "in this process"
        ) from error


def _connect(ray: Any, address: str) -> None:
    check_address(_of_auto() if address == "auto" else address, address)
    try:
        with warnings.catch_warnings(), quiet.native():
            # what they say is in the error too
            warnings.simplefilter("ignore")
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except Exception as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise LowresError(
            f"address {address}: Ray does not let us in ({lines[0]}); Ray and Python must be of "
            "the same versions there and here, and RAY_AUTH_MODE and RAY_AUTH_TOKEN the same"
        ) from error


def _of_auto() -> str:
    """The address that Ray takes for `auto`: RAY_ADDRESS, or the cluster that was started here. Ray
    does not look whether it still runs. Raises `LowresError` for none."""
    # no public function says it without connecting
    services = importlib.import_module("ray._private.services")
    try:
        return str(services.get_ray_address_from_environment("auto", None))
    except ConnectionError as error:
        raise LowresError(f"address auto: no Ray cluster runs on this machine; {MEND}") from error


def check_address(address: str, given: str | None = None) -> None:
    """Raise `LowresError` unless something at this address speaks as Ray does, within `ANSWER_S`:
    Ray itself would try for minutes. `given`: what the user wrote, where that is another word."""
    named = address if given in (None, address) else f"{given} ({address})"
    scheme, _, rest = address.rpartition("://")
    if scheme not in ("", "ray"):
        raise LowresError(f"address {named}: expected ray://host:port, host:port, or auto")
    host, colon, port = rest.rstrip("/").rpartition(":")
    if not colon:
        host, port = rest.rstrip("/"), str(PORTS["ray://" if scheme else ""])
    if not host or not port.isdigit():
        raise LowresError(f"address {named}: expected ray://host:port, host:port, or auto")
    start = time.monotonic()
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWER_S).close()
    except (OSError, OverflowError) as error:
        said = getattr(error, "strerror", None) or error
        raise LowresError(f"address {named}: no Ray answers there ({said}); {MEND}") from error
    if os.environ.get("RAY_USE_TLS", "0") != "0":
        return
    grpc = importlib.import_module("grpc")
    channel = grpc.insecure_channel(f"{host}:{port}")
    try:
        left = max(1.0, ANSWER_S - (time.monotonic() - start))
        grpc.channel_ready_future(channel).result(timeout=left)
    except grpc.FutureTimeoutError as error:
        raise LowresError(
            f"address {named}: something answers there, but no Ray, within {ANSWER_S:.0f} s; {MEND}"
        ) from error
    finally:
        channel.close()
