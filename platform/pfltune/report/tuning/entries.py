"""What a search tried, with what fresh seeds say of it."""

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
    """A search trial, and what else is known of its configuration.

    Attributes:
        run: its search trial.
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
    """Every search trial of a method, in the order of the suggestions."""
    finalists = {_key(each.knobs): each for each in method.finalists}
    best = _key(method.best) if method.best else None
    return tuple(
        Entry(run, finalists.get(_key(run.knobs)), _key(run.knobs) == best)
        for run in method.searched
    )


def sorted_entries(method: MethodResult) -> tuple[Entry, ...]:
    """The configurations of a method's search, each once, the best first.

    The chosen one, then those that were trained with fresh seeds, by their mean; then the others,
    those that came further first, and by score among those that came equally far.
    """
    once: dict[tuple, Entry] = {}
    for entry in entries(method):
        known = once.setdefault(_key(entry.run.knobs), entry)
        if entry.run.reached > known.run.reached:
            once[_key(entry.run.knobs)] = entry
    return tuple(sorted(once.values(), key=_order))


def mb_per_round(run: SearchedRun) -> float:
    """MB of all sampled clients together in a round; NaN where none was counted."""
    return run.metrics.get(figures.TOTAL.name, math.nan) / run.rounds if run.rounds else math.nan


def personal(run: SearchedRun) -> float:
    """Parameters that stay with each client; NaN where they were not counted."""
    return run.metrics.get(figures.PERSONAL.name, math.nan)


def stood(value: float, values: Iterable[float]) -> int:
    """The place of a value among others, 1 for the highest."""
    return 1 + sum(settled(other) > settled(value) for other in values)


def _order(entry: Entry) -> tuple:
    run, fresh = entry.run, entry.mean
    value = -math.inf if math.isnan(run.value) or run.outcome == "failed" else settled(run.value)
    again = -math.inf if math.isnan(fresh) else settled(fresh)
    far = -1 if run.outcome == "failed" else run.reached
    return (not entry.is_chosen, entry.finalist is None, -again, -far, -value, run.index)


def _key(knobs: Mapping[str, Value]) -> tuple:
    return tuple(sorted((name, type(value).__name__, value) for name, value in knobs.items()))
