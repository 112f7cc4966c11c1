"""Whether a model is to be believed: its error on trials that it was not given."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pfltune.goal import Goal
from pfltune.report.learned.coding import Coding
from pfltune.report.learned.observed import SEARCH, Row, last_round, rows_of, with_figures
from pfltune.report.learned.process import Process, fit
from pfltune.report.learned.surrogate import Surrogate
from pfltune.report.searching import Searching

FEWEST = 6
"""Trials without which nothing is fitted."""
FOLDS = 5


@dataclass(frozen=True)
class Errors:
    """Root mean squares in percentage points; NaN where no trial could be left out."""

    model: float
    mean: float


@dataclass(frozen=True)
class Part:
    """Trials by their indices, and what is fitted without them."""

    trials: set[int]
    without: Process


def fitted(search: Searching) -> tuple[Surrogate | None, str]:
    """The surrogate of a search; None where there is none, and why.

    It is fitted once to all trials and once for each of five parts that are left out: half a
    second for 24 trials on one core, two for 100, and no more than some six for any number.
    """
    rows, coding = rows_of(search.method), _coding(search)
    why = _hindrance(search, rows, coding)
    if why:
        return None, why
    process = fit(rows, coding, last_round(search.method))
    parts = left_out(rows, process)
    errors = errors_of(rows, parts)
    if not errors.model < errors.mean:
        return None, _no_better(errors, search.method.goal)
    tried = [run.knobs for run in with_figures(search.method)]
    failed = [run.knobs for run in search.method.searched if run.outcome == "failed"]
    places = map(coding.places, (tried, failed))
    without = tuple(part.without for part in parts)
    return Surrogate(errors.model, errors.mean, process, without, *places), ""


def _no_better(errors: Errors, goal: Goal) -> str:
    if math.isnan(errors.model):
        return "no trial came as far as another"
    model, mean = (goal.spread(each / 100) for each in (errors.model, errors.mean))
    missed = f"{model}{goal.points}, the mean by {mean}"
    return f"of trials that it was not given it errs by {missed}"


def left_out(rows: Sequence[Row], process: Process) -> list[Part]:
    """Each part of the trials, and what is fitted to the others, its hyperparameters too."""
    trials = sorted({row.trial for row in rows})
    parts = [set(trials[number::FOLDS]) for number in range(min(FOLDS, len(trials)))]
    return [Part(part, _without(rows, part, process)) for part in parts]


def errors_of(rows: Sequence[Row], parts: Sequence[Part]) -> Errors:
    """The error on each trial at the last round that it reached, when it is left out wholly.

    The mean is that of the other trials after the same round; where no other came as far, the round
    before counts.
    """
    missed = [pair for part in parts for pair in _missed(rows, part)]
    if not missed:
        return Errors(float("nan"), float("nan"))
    model, mean = np.sqrt(np.mean(np.square(missed), 0))
    return Errors(float(model), float(mean))


def _without(rows: Sequence[Row], trials: set[int], process: Process) -> Process:
    kept = [row for row in rows if row.trial not in trials]
    return fit(kept, process.coding, process.last, begin=process.theta, tries=0)


def _missed(rows: Sequence[Row], part: Part) -> list[tuple[float, float]]:
    """By how much the model and the mean miss each trial of a part."""
    kept = [row for row in rows if row.trial not in part.trials]
    targets = (_target(rows, kept, trial) for trial in sorted(part.trials))
    found = []
    for target in filter(None, targets):
        places = part.without.coding.places([target.knobs])
        predicted = float(part.without.mean(places, target.round)[0])
        others = float(np.mean([row.score for row in _at(kept, target.round)]))
        found.append((predicted - target.score, others - target.score))
    return found


def _target(rows: Sequence[Row], kept: Sequence[Row], trial: int) -> Row | None:
    """The last score of a trial after a round that another has come to, too."""
    own = [row for row in rows if row.trial == trial and row.seed == SEARCH]
    met = [row for row in own if _at(kept, row.round)]
    return max(met, key=lambda row: row.round, default=None)


def _at(rows: Sequence[Row], number: float) -> list[Row]:
    return [row for row in rows if row.round == number and row.seed == SEARCH]


def _coding(search: Searching) -> Coding:
    return Coding.of(search.space.values(), [run.knobs for run in search.method.searched])


def _hindrance(search: Searching, rows: Sequence[Row], coding: Coding) -> str:
    """Why nothing can be fitted; empty if it can."""
    trials = len(with_figures(search.method))
    if not search.space:
        return "no knob was searched"
    if trials < FEWEST:
        return f"{trials} of the {FEWEST} trials that it takes"
    if not coding.dimensions:
        return "all trials have the same values"
    scores: dict[float, set[float]] = {}
    for row in rows:
        scores.setdefault(row.round, set()).add(row.score)
    return "" if max(map(len, scores.values())) > 1 else "all trials have the same score"
