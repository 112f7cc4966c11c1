"""The table that follows from certified trials."""

import statistics
from collections.abc import Sequence

from pfltune.audit.certificate import CertifiedTrial, Row
from pfltune.audit.kept import TEST

SPREAD = "seeds/std"


def table_of(methods: Sequence[str], trials: Sequence[CertifiedTrial]) -> tuple[Row, ...]:
    """A row for each method.

    Args:
        methods: short names.
        trials: of all of them.
    """
    return tuple(_row(method, [t for t in trials if _counts(t, method)]) for method in methods)


def _counts(trial: CertifiedTrial, method: str) -> bool:
    is_confirmed = trial.stage == "confirm" and trial.outcome == "finished"
    return trial.method == method and is_confirmed


def _row(method: str, runs: Sequence[CertifiedTrial]) -> Row:
    shared = set.intersection(*(set(run.figures) for run in runs)) if runs else set()
    means = {name: statistics.fmean(r.figures[name] for r in runs) for name in sorted(shared)}
    if len(runs) > 1 and TEST in shared:
        means[SPREAD] = statistics.stdev(run.figures[TEST] for run in runs)
    return Row(method=method, seeds=tuple(run.seed for run in runs), figures=means)
