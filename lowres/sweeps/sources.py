"""Which cell comes next: the grid's, one after another, or what a study draws."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from lowres import artifacts
from lowres.errors import LowresError, RecipeError
from lowres.recipe_loading import digest
from lowres.sweeps.keys import Dimension
from lowres.sweeps.loading import Cell, Plan
from lowres.sweeps.table import CellRow, Chosen

if TYPE_CHECKING:
    import optuna
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

LOG = "study.log"
INSTALL = 'pip install "lowres[ray]"'


class Source(Protocol):
    """Gives cells and is told what became of them."""

    def take(self) -> Cell | None:
        """The next cell; None where there is none now, or ever."""

    def tell(self, row: CellRow) -> None:
        """What became of a cell."""

    def chosen(self) -> Chosen | None:
        """The setting that is preferred; None where nobody chooses."""


class Grid:
    """All cells in the order of the file; nothing is chosen."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        self._left = list(reversed(cells))

    def take(self) -> Cell | None:
        """The next cell."""
        return self._left.pop() if self._left else None

    def tell(self, row: CellRow) -> None:
        """A grid does not learn."""

    def chosen(self) -> Chosen | None:
        """Nobody chooses."""


class Drawn:
    """Cells that Optuna draws. What was drawn is kept in `study.log` beside the runs, so that a
    later call goes on; each draw has a seed of its own, so that it draws what it would have."""

    def __init__(self, plan: Plan, cells: Sequence[Cell], out: Path) -> None:
        """`cells` are those of `loading.cells`: the study is another one where they are others.

        Raises `LowresError` without Optuna.
        """
        try:
            import optuna
        except ImportError as error:
            raise LowresError(f"study: needs Optuna; {INSTALL}") from error
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        assert plan.sweep.study is not None
        self._plan, self._study = plan, plan.sweep.study
        self._space = {k: _distribution(d) for k, d in self._study.space.items()}
        out.mkdir(parents=True, exist_ok=True)
        plain = [self._study.model_dump(exclude={"trials"}), [digest(c.recipe) for c in cells]]
        self._drawn = optuna.create_study(
            storage=JournalStorage(JournalFileBackend(str(out / LOG))),
            study_name=artifacts.fingerprint(plain),
            direction="maximize",
            load_if_exists=True,
        )
        self._states = optuna.trial.TrialState
        self._trials: dict[str, list[int]] = {}
        self._rows: dict[str, CellRow] = {}
        trials = self._drawn.get_trials()
        # killed in between: the trial has no score yet, its run goes on
        self._begun = [t for t in trials if t.state == self._states.RUNNING]
        done = [t for t in trials if t.state == self._states.COMPLETE]
        self._left = self._study.trials - len(done) - len(self._begun)
        settings = {json.dumps(t.params, sort_keys=True) for t in (*done, *self._begun)}
        for trial in trials:
            key = json.dumps(trial.params, sort_keys=True)
            if trial.state == self._states.FAIL and key not in settings:
                settings.add(key)
                self._drawn.enqueue_trial(trial.params)

    def take(self) -> Cell | None:
        """The next one that is drawn; a setting that was drawn before needs no second run."""
        while self._begun or self._left > 0:
            trial: FrozenTrial | optuna.Trial
            if self._begun:
                trial = self._begun.pop(0)
            else:
                self._left -= 1
                self._drawn.sampler = self._sampler()
                trial = self._drawn.ask(self._space)
            try:
                cell = self._cell(trial.params)
            except RecipeError:
                # each end is fine by itself, not together: no setting, as a score goes
                self._drawn.tell(trial.number, state=self._states.FAIL)
                continue
            self._trials.setdefault(cell.name, []).append(trial.number)
            if cell.name in self._rows:
                self.tell(self._rows[cell.name])
            elif len(self._trials[cell.name]) == 1:
                return cell
        return None

    def tell(self, row: CellRow) -> None:
        """The score of all trials of this cell."""
        self._rows[row.cell] = row
        for number in self._trials.pop(row.cell, []):
            if row.dev is None or not math.isfinite(row.dev):
                self._drawn.tell(number, state=self._states.FAIL)
            else:
                self._drawn.tell(number, row.dev)

    def chosen(self) -> Chosen | None:
        """The trial with the best mean source dev; the first one of equals."""
        found = [
            (row.dev, -at, row)
            for at, row in enumerate(self._rows.values())
            if row.dev is not None and math.isfinite(row.dev)
        ]
        if not found:
            return None
        dev, _, row = max(found)
        return Chosen(cell=row.cell, settings=row.settings, dev=dev, trials=len(found))

    def before(self) -> list[Cell]:
        """Cells of the trials that earlier calls finished, to be told first."""
        done = [t for t in self._drawn.get_trials() if t.state == self._states.COMPLETE]
        made = {cell.name: cell for cell in (self._cell(trial.params) for trial in done)}
        return list(made.values())

    def _sampler(self) -> Any:
        import optuna

        seed = self._study.seed * 100_003 + len(self._drawn.get_trials(deepcopy=False))
        if self._study.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed % 2**32)
        # trials that run side by side count as bad ones, so that others are drawn
        return optuna.samplers.TPESampler(seed=seed % 2**32, constant_liar=True)

    def _cell(self, params: dict[str, Any]) -> Cell:
        (source,) = self._plan.sweep.recipe
        at = {key: self._plan.place("study", "space", key) for key in params}
        values = {
            key: json.loads(value) if self._study.space[key].choices else value
            for key, value in params.items()
        }
        return self._plan.cell(source, {key: (values[key], at[key]) for key in self._study.space})


def _distribution(dimension: Dimension) -> BaseDistribution:
    from optuna import distributions

    if dimension.choices is not None:
        # Optuna takes plain values alone, and a list of languages is none
        texts = [json.dumps(value) for value in dimension.choices]
        return distributions.CategoricalDistribution(list(dict.fromkeys(texts)))
    low, high, step, log = dimension.low, dimension.high, dimension.step, dimension.log
    assert low is not None
    assert high is not None
    if isinstance(low, int) and isinstance(high, int) and not isinstance(step, float):
        # Optuna warns where the last step does not end at high
        last = high if step is None else low + (high - low) // step * step
        return distributions.IntDistribution(low, last, log=log, step=step or 1)
    return distributions.FloatDistribution(float(low), float(high), log=log, step=step)
