"""The configurations that a search tried, with what each costs, and which of them was chosen."""

import math
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from pfltune import figures
from pfltune.report.learned.found import Tried
from pfltune.report.learned.observed import last_round, with_figures
from pfltune.report.results import Finalist, MethodResult, SearchedRun
from pfltune.ties import settled


def all_tried(method: MethodResult) -> list[Tried]:
    """Every configuration that has a score, by its first trial."""
    last = last_round(method)
    finalists = {each.index: each for each in method.finalists}
    first: dict[tuple, SearchedRun] = {}
    for run in with_figures(method):
        first.setdefault(tuple(sorted(run.knobs.items())), run)
    return [_tried(run, finalists.get(run.index), last) for run in first.values()]


def chosen_of(method: MethodResult, tried: Sequence[Tried]) -> Tried | None:
    """The one that was chosen; while none is, the one in the lead; None if nothing has a score.

    A finalist leads by its mean over fresh seeds, any other by its score at the last round.
    """
    if method.best:
        return next((each for each in tried if dict(each.knobs) == method.best), None)
    return max(tried, key=_standing, default=None)


def cheapest(among: Iterable[Tried], cost: Callable[[Tried], float]) -> Tried | None:
    """The one that costs least, the first of equals; None if no cost is known."""
    known = [each for each in among if not math.isnan(cost(each))]
    return min(known, key=lambda each: settled(cost(each)), default=None)


def fall_of(chosen: Tried) -> float:
    """Percentage points from its score in the search down to its mean with fresh seeds."""
    return 100 * settled(chosen.search_value - chosen.mean)


def _tried(run: SearchedRun, finalist: Finalist | None, last: float) -> Tried:
    values = dict(sorted(finalist.values.items())) if finalist else {}
    scores = list(values.values())
    spread = np.std(scores, ddof=1) if len(scores) > 1 else math.nan
    at, value = run.course[-1]
    return Tried(
        index=run.index,
        knobs=run.knobs,
        values=values,
        mean=float(np.mean(scores)) if scores else math.nan,
        standard_error=float(spread / np.sqrt(max(len(scores), 1))),
        mb=_mb(run),
        personal=run.metrics.get(figures.PERSONAL.name, math.nan),
        search_value=value if at == last else math.nan,
    )


def _mb(run: SearchedRun) -> float:
    """Of a round, on average: a trial that was stopped early has sent less in all."""
    return run.metrics.get(figures.TOTAL.name, math.nan) / run.rounds if run.rounds else math.nan


def _standing(tried: Tried) -> tuple[float, float, int]:
    """What is compared, the best highest: never a mean with a score of one seed."""
    lead, search = (-1.0 if math.isnan(v) else v for v in (tried.mean, tried.search_value))
    return settled(lead), settled(search), -tried.index
