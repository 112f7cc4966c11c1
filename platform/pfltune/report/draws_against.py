"""Methods against one another over draws of clients, paired by draw, seed and client."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from pfltune.report.crossed import Factor, crossed
from pfltune.report.statistics import ALPHA
from pfltune.ties import settled


@dataclass(frozen=True)
class Against:
    """A method minus another one. Accuracies are in [0, 1].

    Attributes:
        mean: over draws, their common seeds and clients, each draw counting alike; NaN without any.
        low, high: ends of the 95 % interval of the mean, for all pairs of methods together; NaN
            where nothing could be tested.
        p: for all pairs together; NaN where nothing could be tested.
        raw_p: of this pair by itself.
        over: what interval and p generalise over.
        untested: why nothing could be tested; empty otherwise.
        of_draws: the mean of each draw.
        seeds: that both have on every draw.
    """

    mean: float
    low: float
    high: float
    p: float
    raw_p: float
    over: tuple[Factor, ...]
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


def against(tables: Sequence[np.ndarray], pairs: int, searched_each: bool) -> Against:
    """What paired differences say.

    Args:
        tables: of each draw, float64 (seeds, clients of the draw).
        pairs: of methods, for which interval and p hold together.
        searched_each: whether each draw has searches of its own.
    """
    # One search of each method: a table is (searches, seeds, clients).
    found = crossed([table[None] for table in tables], searched_each=searched_each)
    margin = nan if found.untested else found.margin(ALPHA / pairs)
    return Against(
        mean=found.mean,
        low=found.mean - margin,
        high=found.mean + margin,
        p=nan if found.untested else min(1.0, found.p * pairs),
        raw_p=found.p,
        over=found.over,
        untested=found.untested,
        of_draws=tuple(settled(float(t.mean())) if t.size else nan for t in tables),
        seeds=min((len(table) for table in tables), default=0),
    )
