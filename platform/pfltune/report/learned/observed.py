"""What the trials of a search tell a model: scores of configurations at rounds, by seed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pfltune.report.dimensions import Knobs
from pfltune.report.results import MethodResult, SearchedRun
from pfltune.ties import settled

SEARCH = 0
"""The number of the seed that all search trials share; those of the finalists count from 1."""
MOST = 300
"""Rows of which a Gaussian process is still fitted in seconds."""


@dataclass(frozen=True)
class Row:
    """A score.

    Attributes:
        trial: index of the search trial with this configuration.
        knobs: the configuration.
        round: after which it was read, or at which share of a budget.
        seed: number of the seed.
        score: in percent.
    """

    trial: int
    knobs: Knobs
    round: float
    seed: int
    score: float


def with_figures(method: MethodResult) -> list[SearchedRun]:
    """The search trials that have a score, by index."""
    runs = [run for run in method.searched if run.course and run.outcome != "failed"]
    return sorted(runs, key=lambda run: run.index)


def last_round(method: MethodResult) -> float:
    """The last round, or share of a budget, of which a trial has a score; 0 for none."""
    return max((run.course[-1][0] for run in with_figures(method)), default=0)


def rows_of(method: MethodResult) -> list[Row]:
    """The scores of all trials after the rounds at which trials ended, as far as each came.

    Scores of one trial after neighbouring rounds say nearly the same, so only those rounds are
    read. Of very long searches every second, third … trial is read, and every finalist.
    """
    runs = with_figures(method)
    stops = sorted({run.course[-1][0] for run in runs})
    rows = [row for run in runs for row in _searched(run, stops)]
    again = list(_again(method, stops[-1])) if stops else []
    thinned = _thinned(rows, MOST - len(again), {row.trial for row in again})
    return sorted([*thinned, *again], key=lambda row: (row.trial, row.seed, row.round))


def _thinned(rows: Sequence[Row], most: int, always: set[int]) -> list[Row]:
    """Rows of as many whole trials as there is room for, chosen without a look at their scores."""
    trials = sorted({row.trial for row in rows})
    for step in range(1, len(trials)):
        kept = always | set(trials[::step])
        found = [row for row in rows if row.trial in kept]
        if len(found) <= most:
            return found
    return list(rows)


def _searched(run: SearchedRun, stops: Sequence[float]) -> Iterator[Row]:
    curve = dict(run.course)
    for stop in stops:
        if stop in curve:
            yield Row(run.index, run.knobs, stop, SEARCH, settled(100 * curve[stop]))


def _again(method: MethodResult, last: float) -> Iterator[Row]:
    """The finalists with their fresh seeds."""
    seeds = sorted({seed for finalist in method.finalists for seed in finalist.values})
    for finalist in sorted(method.finalists, key=lambda each: each.index):
        for seed, value in finalist.values.items():
            number = seeds.index(seed) + 1
            yield Row(finalist.index, finalist.knobs, last, number, settled(100 * value))
