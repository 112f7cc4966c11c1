"""The configurations of a search in order, each once."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from pfltune import figures
from pfltune.knobs import Value
from pfltune.report.results import Finalist, MethodResult, SearchedRun
from pfltune.ties import settled


@dataclass(frozen=True)
class Entry:
    """A configuration that was tried.

    Attributes:
        run: its search trial, of several the one that came furthest.
        finalist: what it did with fresh seeds; None if it was not trained again.
        is_chosen: whether it is the one that the search chose.
    """

    run: SearchedRun
    finalist: Finalist | None
    is_chosen: bool

    @property
    def fresh(self) -> np.ndarray:
        """Its score with each fresh seed, in [0, 1]."""
        return np.array(list(self.finalist.values.values()) if self.finalist else [])

    @property
    def mean(self) -> float:
        """Of these; NaN without one."""
        return float(self.fresh.mean()) if self.fresh.size else math.nan

    @property
    def standard_error(self) -> float:
        """Of that mean; NaN for fewer than two seeds."""
        values = self.fresh
        return float(values.std(ddof=1) / np.sqrt(values.size)) if values.size > 1 else math.nan


def entries(method: MethodResult) -> tuple[Entry, ...]:
    """The configurations of a method's search, the best first.

    The chosen one, then those that were trained with fresh seeds, by their mean; then the others,
    those that came further first, and by score among those that came equally far.
    """
    finalists = {_key(each.knobs): each for each in method.finalists}
    found = [
        Entry(run, finalists.get(key), bool(method.best) and key == _key(method.best))
        for key, run in _furthest(method.searched).items()
    ]
    return tuple(sorted(found, key=_order))


def mb_per_round(run: SearchedRun) -> float:
    """MB of all sampled clients together in a round; NaN where none was counted."""
    return run.metrics.get(figures.TOTAL.name, math.nan) / run.rounds if run.rounds else math.nan


def personal(run: SearchedRun) -> float:
    """Parameters that stay with each client; NaN where they were not counted."""
    return run.metrics.get(figures.PERSONAL.name, math.nan)


def stood(value: float, values: Iterable[float]) -> int:
    """The place of a value among others, 1 for the highest."""
    return 1 + sum(settled(other) > settled(value) for other in values)


def _furthest(runs: Iterable[SearchedRun]) -> dict[tuple, SearchedRun]:
    found: dict[tuple, SearchedRun] = {}
    for run in runs:
        known = found.get(_key(run.knobs))
        if known is None or run.rounds > known.rounds:
            found[_key(run.knobs)] = run
    return found


def _order(entry: Entry) -> tuple:
    run, fresh = entry.run, entry.mean
    value = -math.inf if math.isnan(run.value) or run.outcome == "failed" else settled(run.value)
    again = -math.inf if math.isnan(fresh) else settled(fresh)
    far = -1 if run.outcome == "failed" else run.rounds
    return (not entry.is_chosen, entry.finalist is None, -again, -far, -value, run.index)


def _key(knobs: Mapping[str, Value]) -> tuple:
    return tuple(sorted((name, type(value).__name__, value) for name, value in knobs.items()))
