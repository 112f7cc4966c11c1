"""Methods against a reference over draws of clients, paired by draw, seed and client."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan

import numpy as np

from pfltune.report.crossed import Crossed, crossed
from pfltune.report.statistics import ALPHA, holm
from pfltune.ties import settled


@dataclass(frozen=True)
class Against:
    """A method minus the reference. Accuracies are in [0, 1].

    Attributes:
        mean: over draws, their common seeds and clients, each draw counting alike; NaN without any.
        low, high: 95 % interval of the mean, by itself: not corrected as ``p`` is; NaN where
            nothing could be tested.
        p: after Holm's correction; NaN where nothing could be tested.
        raw_p: before it.
        untested: why nothing could be tested; empty otherwise.
        of_draws: the mean of each draw.
        seeds: that both have on every draw.
    """

    mean: float
    low: float
    high: float
    p: float
    raw_p: float
    untested: str
    of_draws: tuple[float, ...]
    seeds: int

    @property
    def agreeing(self) -> int:
        """Draws on which the difference has the direction of the mean."""
        return sum(each * self.mean > 0 for each in self.of_draws)

    @property
    def verdict(self) -> str:
        """In words; what was not found may still be there."""
        if self.untested:
            return f"no test: {self.untested}"
        if not self.p < ALPHA:
            return "no difference was found"
        return "better" if self.mean > 0 else "worse"


def against_all(tables: Sequence[Sequence[np.ndarray]], searched_each: bool) -> tuple[Against, ...]:
    """Several methods against one reference; p-values hold for all of them together.

    Args:
        tables: paired differences of each method, on each draw, float64 (seeds, clients).
        searched_each: whether each draw has searches of its own.
    """
    tested = [
        crossed([table[None] for table in own], searched_each=searched_each) for own in tables
    ]
    # What could not be tested counts as a comparison all the same.
    corrected = holm([1.0 if isnan(each.p) else each.p for each in tested])
    return tuple(map(_against, tables, tested, corrected))


def _against(tables: Sequence[np.ndarray], found: Crossed, p: float) -> Against:
    margin = float("nan") if found.untested else found.margin(ALPHA)
    return Against(
        mean=found.mean,
        low=found.mean - margin,
        high=found.mean + margin,
        p=float("nan") if found.untested else p,
        raw_p=found.p,
        untested=found.untested,
        of_draws=tuple(settled(float(t.mean())) if t.size else float("nan") for t in tables),
        seeds=min((len(table) for table in tables), default=0),
    )
