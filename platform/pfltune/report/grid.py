"""What a grid found: each cell with its seeds, and which are not told apart from the best one."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import product
from math import nan
from pathlib import Path

import numpy as np

from pfltune import figures
from pfltune.errors import UserError
from pfltune.goal import ACCURACY, Goal
from pfltune.knobs import Value, written
from pfltune.ranking import best_place
from pfltune.record import Grid, Record
from pfltune.registry import short_name
from pfltune.report.paired_seeds import Gap, gaps
from pfltune.report.results import ToldTrial, begun_journal, find_record, told_trials
from pfltune.text import plain
from pfltune.ties import settled


@dataclass(frozen=True, eq=False)
class GridCell:
    """One configuration of one method.

    Attributes:
        method, title: short name, and as it is written.
        at: value of each knob that the grid is over.
        knobs: the whole configuration, with what is held.
        planned: seeds that it shall be trained with.
        trials: those that have begun, by seed.
        goal: what it is judged by.
    """

    method: str
    title: str
    at: Mapping[str, Value]
    knobs: Mapping[str, Value]
    planned: int
    trials: Mapping[int, ToldTrial] = field(default_factory=dict)
    goal: Goal = ACCURACY

    @cached_property
    def finished(self) -> dict[int, ToldTrial]:
        """The trials that ran to their end, by seed."""
        return {seed: trial for seed, trial in self.trials.items() if trial.outcome == "finished"}

    @cached_property
    def values(self) -> dict[int, float]:
        """Best mean validation score of each finished trial, by seed."""
        return {seed: trial.rounds[-1].score for seed, trial in self.finished.items()}

    @property
    def tests(self) -> list[float]:
        """Test score at the round chosen on validation; empty without test data."""
        return list(map(self.goal.score, self.figures(self.goal.selected("test").name)))

    @property
    def chosen(self) -> list[int]:
        """The round chosen on validation, of each finished trial."""
        return [int(number) for number in self.figures(figures.CHOSEN.name)]

    @property
    def failures(self) -> list[str]:
        """Why trials failed, each reason once."""
        failed = [t.ended for t in self.trials.values() if t.ended and t.outcome == "failed"]
        return sorted({plain(ended.failure) or "unknown" for ended in failed})

    @property
    def state(self) -> str:
        """``finished``, ``failed`` where every trial did, or ``not yet``."""
        if self.finished:
            return "finished"
        ended = sum(trial.ended is not None for trial in self.trials.values())
        return "failed" if ended == self.planned else "not yet"

    @property
    def mean(self) -> float:
        """Validation score, mean over seeds; NaN without any."""
        return mean(list(self.values.values()))

    @property
    def standard_error(self) -> float:
        """Of this mean; NaN for fewer than two seeds."""
        return standard_error(list(self.values.values()))

    @property
    def mb_per_round(self) -> float:
        """MB up and down of all sampled clients in a round."""
        return self.mean_of(figures.TOTAL.name) / self.mean_of(figures.ROUNDS.name)

    @property
    def personal(self) -> float:
        """Personal parameters of a client."""
        return self.mean_of(figures.PERSONAL.name)

    def figures(self, name: str) -> list[float]:
        """The last value of a figure of each finished trial that has it."""
        return [each[name] for each in self._metrics if name in each]

    def mean_of(self, name: str) -> float:
        """The mean of these; NaN without any."""
        return mean(self.figures(name))

    @cached_property
    def _metrics(self) -> list[dict[str, float]]:
        return [trial.metrics for trial in self.finished.values()]

    @property
    def label(self) -> str:
        """``prefix_length=4, lr=0.03``."""
        return label_of(self.at)


@dataclass(frozen=True)
class GridResult:
    """All cells of a grid.

    Attributes:
        record: what it was asked for and ran with.
        budget: what it is over.
        cells: method by method, the last knob the fastest.
        is_partial: whether there is more to come.
        damage: what is wrong with its journal, whose rest is left out; empty if nothing is.
    """

    record: Record
    budget: Grid
    cells: tuple[GridCell, ...]
    is_partial: bool = False
    damage: str = ""

    @property
    def goal(self) -> Goal:
        """What cells are judged by."""
        return self.record.goal

    @property
    def trials(self) -> list[ToldTrial]:
        """All that have begun."""
        return [trial for cell in self.cells for trial in cell.trials.values()]

    @property
    def over(self) -> Mapping[str, tuple[Value, ...]]:
        """The values of each knob that it is over."""
        return self.budget.over

    @property
    def methods(self) -> dict[str, str]:
        """How its methods are written, by short name."""
        return {cell.method: cell.title for cell in self.cells}

    @property
    def shown(self) -> list[GridCell]:
        """The cells that have a figure."""
        return [cell for cell in self.cells if cell.values]

    @cached_property
    def best(self) -> GridCell | None:
        """The best cell on validation data, see :func:`best_place`; None without a figure."""
        return best_of(self.cells)

    @cached_property
    def gaps(self) -> list[tuple[GridCell, Gap]]:
        """The other cells with a figure, each against the best one."""
        if self.best is None:
            return []
        others = [cell for cell in self.shown if cell is not self.best]
        found = gaps(self.best.values, [cell.values for cell in others])
        return list(zip(others, found, strict=True))

    def gap(self, cell: GridCell) -> Gap | None:
        """A cell against the best one; None for that itself, and without a figure."""
        return next((gap for other, gap in self.gaps if other is cell), None)

    @property
    def equals(self) -> list[GridCell]:
        """The cells that are not told apart from the best one, the best of them first."""
        found = [cell for cell, gap in self.gaps if gap.is_tested and not gap.is_apart]
        return sorted(found, key=lambda cell: -settled(cell.mean))

    def cheapest(self, cost: Callable[[GridCell], float]) -> GridCell | None:
        """The cheapest among the best one and its equals, the best of those that cost the same."""
        among = [*([self.best] if self.best else []), *self.equals]
        return min(among, key=lambda cell: (settled(cost(cell)), -settled(cell.mean)), default=None)


def read_grid(results: Path, name: str) -> GridResult:
    """A grid in a results folder, finished or not.

    Raises:
        UserError: there is none of that name, it is no grid, or it has not begun yet.
    """
    record = find_record(results, name)
    if not isinstance(record.budget, Grid):
        raise UserError(f"{name!r} is no grid: it was run by pfltune {record.command}")
    journal = begun_journal(results / name, record)
    trials, endings = told_trials(journal.events, record.goal)
    cells = [
        cell
        for short in map(short_name, record.methods)
        for cell in _cells(record, record.budget, short, trials)
    ]
    is_partial = len(endings) < len(record.methods)
    return GridResult(record, record.budget, tuple(cells), is_partial, journal.damage or "")


def best_of(cells: Sequence[GridCell]) -> GridCell | None:
    """The best of some cells; None if none has a figure."""
    place = best_place([list(cell.values.values()) for cell in cells])
    return None if place is None else cells[place]


def mean(values: Sequence[float]) -> float:
    """NaN without any."""
    return float(np.mean(values)) if values else nan


def standard_error(values: Sequence[float]) -> float:
    """Of a mean; NaN for fewer than two values, of which nobody knows how they scatter."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else nan


def label_of(at: Mapping[str, Value]) -> str:
    """Knobs and values in a line."""
    return ", ".join(f"{knob}={plain(written(value))}" for knob, value in at.items())


def _cells(
    record: Record, budget: Grid, method: str, trials: Iterable[ToldTrial]
) -> Iterable[GridCell]:
    """The cells of one method with their trials."""
    there: dict[tuple[Value | None, ...], dict[int, ToldTrial]] = defaultdict(dict)
    for trial in trials:
        if trial.started.method == method:
            place = tuple(trial.started.knobs.get(knob) for knob in budget.over)
            there[place][trial.started.seed] = trial
    title = plain(record.titles.get(method, method))
    held, goal = record.fixed.get(method, {}), record.goal
    for values in product(*budget.over.values()):
        at = dict(zip(budget.over, values, strict=True))
        yield GridCell(method, title, at, {**held, **at}, budget.seeds, there[values], goal)
