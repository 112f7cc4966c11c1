"""The table that follows from certified trials."""

import statistics
from collections.abc import Sequence

from pfltune.audit.certificate import CertifiedTrial, Row
from pfltune.audit.kept import TEST
from pfltune.report.balance import balanced, spread

SPREAD = "seeds/std"


def table_of(methods: Sequence[str], trials: Sequence[CertifiedTrial]) -> tuple[Row, ...]:
    """A row for each method.

    Args:
        methods: short names.
        trials: of all of them.
    """
    return tuple(_row(method, _counted(trials, method)) for method in methods)


def _counted(trials: Sequence[CertifiedTrial], method: str) -> list[CertifiedTrial]:
    """The runs of a row: those with the seeds that each of its studies has."""
    found = {(t.study, t.seed): t for t in trials if _counts(t, method)}
    return [found[cell] for cell in balanced(found)]


def _counts(trial: CertifiedTrial, method: str) -> bool:
    is_confirmed = trial.stage == "confirm" and trial.outcome == "finished"
    return trial.method == method and is_confirmed


def _row(method: str, runs: Sequence[CertifiedTrial]) -> Row:
    shared = set.intersection(*(set(run.figures) for run in runs)) if runs else set()
    means = {name: statistics.fmean(r.figures[name] for r in runs) for name in sorted(shared)}
    seeds = tuple(dict.fromkeys(run.seed for run in runs))
    if len(runs) > 1 and TEST in shared:
        means[SPREAD] = _spread([run.figures[TEST] for run in runs], len(seeds))
    return Row(method=method, seeds=seeds, figures=means)


def _spread(values: Sequence[float], seeds: int) -> float:
    """Over seeds, or over studies and seeds where there are several of both."""
    if len(values) == seeds:
        return statistics.stdev(values)
    return spread([values[first : first + seeds] for first in range(0, len(values), seeds)])
