"""The table that follows from certified trials."""

import statistics
from collections.abc import Iterator, Sequence

from pfltune.audit.certificate import CertifiedTrial, Row
from pfltune.audit.kept import names_of
from pfltune.front import fronted, letter_of
from pfltune.goal import ACCURACY, Goal
from pfltune.report.balance import balanced, spread

SPREAD = "seeds/std"


def table_of(
    methods: Sequence[str],
    trials: Sequence[CertifiedTrial],
    goal: Goal = ACCURACY,
    several: bool = False,
) -> tuple[Row, ...]:
    """A row for each method, or of one with a front for each configuration of it.

    Args:
        methods: short names.
        trials: of all of them.
        goal: what it is ranked by.
        several: whether there are several objectives, and so fronts.
    """
    return tuple(
        row
        for method in methods
        for row in _rows(method, [t for t in trials if t.method == method], goal, several)
    )


def _counted(trials: Sequence[CertifiedTrial]) -> list[CertifiedTrial]:
    """The runs of a row: those with the seeds that each of its studies has."""
    found = {(t.study, t.seed): t for t in trials if t.outcome == "finished"}
    return [found[cell] for cell in balanced(found)]


def _rows(
    method: str, trials: Sequence[CertifiedTrial], goal: Goal, several: bool
) -> Iterator[Row]:
    confirmed = [trial for trial in trials if trial.stage == "confirm"]
    shown = fronted(confirmed, lambda trial: trial) if several else ()
    if len(shown) < 2:
        yield _row(method, confirmed, goal)
        return
    for place, own in enumerate(shown):
        yield _row(f"{method} ({letter_of(place)})", own, goal)


def _row(method: str, trials: Sequence[CertifiedTrial], goal: Goal) -> Row:
    _, test = names_of(goal)
    runs = _counted(trials)
    shared = set.intersection(*(set(run.figures) for run in runs)) if runs else set()
    means = {name: statistics.fmean(r.figures[name] for r in runs) for name in sorted(shared)}
    seeds = tuple(dict.fromkeys(run.seed for run in runs))
    if len(runs) > 1 and test in shared:
        means[SPREAD] = _spread([run.figures[test] for run in runs], len(seeds))
    return Row(method=method, seeds=seeds, figures=means)


def _spread(values: Sequence[float], seeds: int) -> float:
    """Over seeds, or over studies and seeds where there are several of both."""
    if len(values) == seeds:
        return statistics.stdev(values)
    return spread([values[first : first + seeds] for first in range(0, len(values), seeds)])
