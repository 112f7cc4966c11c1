"""The table that follows from certified trials."""

import statistics
from collections.abc import Iterator, Sequence

from pfltune.audit.certificate import CertifiedTrial, Row
from pfltune.audit.kept import TEST
from pfltune.front import fronted, letter_of

SPREAD = "seeds/std"


def table_of(
    methods: Sequence[str], trials: Sequence[CertifiedTrial], several: bool = False
) -> tuple[Row, ...]:
    """A row for each method, or of one with a front for each configuration of it.

    Args:
        methods: short names.
        trials: of all of them.
        several: whether there are several objectives, and so fronts.
    """
    return tuple(
        row
        for method in methods
        for row in _rows(method, [t for t in trials if t.method == method], several)
    )


def _rows(method: str, trials: Sequence[CertifiedTrial], several: bool) -> Iterator[Row]:
    confirmed = [trial for trial in trials if trial.stage == "confirm"]
    shown = fronted(confirmed, lambda trial: trial) if several else ()
    if len(shown) < 2:
        yield _row(method, confirmed)
        return
    for place, own in enumerate(shown):
        yield _row(f"{method} ({letter_of(place)})", own)


def _row(method: str, trials: Sequence[CertifiedTrial]) -> Row:
    runs = [trial for trial in trials if trial.outcome == "finished"]
    shared = set.intersection(*(set(run.figures) for run in runs)) if runs else set()
    means = {name: statistics.fmean(r.figures[name] for r in runs) for name in sorted(shared)}
    if len(runs) > 1 and TEST in shared:
        means[SPREAD] = statistics.stdev(run.figures[TEST] for run in runs)
    return Row(method=method, seeds=tuple(run.seed for run in runs), figures=means)
