"""What was chosen among the finalists of a search, and how far it fell from what the search saw."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pfltune import figures
from pfltune.ranking import Outcome, best_first
from pfltune.report.results import Finalist, MethodResult, SearchedRun


@dataclass(frozen=True)
class Fall:
    """One configuration in the search, with seeds that it was not found by, and on test data.

    Accuracies are in [0, 1], means over clients; NaN where there is none.

    Attributes:
        searched: its score in the search, with the one seed that all search trials have.
        place: its place by the rule of the search, from 1.
        trials: search trials that have one.
        validated: mean validation accuracy over fresh seeds.
        validation_seeds: how many these are: of its trials as a finalist, or else of its test.
        tested: mean test accuracy.
        test_seeds: over how many fresh seeds.
    """

    searched: float
    place: int
    trials: int
    validated: float
    validation_seeds: int
    tested: float
    test_seeds: int

    @property
    def points(self) -> float:
        """Percentage points from the search to fresh validation seeds; above 0 it fell."""
        return 100 * (self.searched - self.validated)


def chosen_finalist(method: MethodResult) -> Finalist | None:
    """The finalist that was chosen; None before, or where the search alone chooses."""
    found = (each for each in method.finalists if each.knobs == method.best)
    return next(found, None)


def outcomes(searched: Iterable[SearchedRun]) -> Iterator[tuple[int, Outcome]]:
    """How far each search trial with a figure came, by its index.

    Those that failed, or send more than they may, are left out.
    """
    for run in searched:
        if run.curve and run.outcome != "failed" and run.fits:
            ahead = run.metrics.get(figures.AHEAD.name, math.nan)
            yield run.index, Outcome(run.rounds, run.value, ahead)


def fall_of(method: MethodResult, winner: SearchedRun) -> Fall:
    """How the search trial of what was chosen compares with what came after.

    Args:
        method: whose it is.
        winner: that trial.
    """
    finalist = chosen_finalist(method)
    fresh = list(finalist.values.values()) if finalist else method.scores("val")
    order = best_first(outcomes(method.searched), method.course)
    return Fall(
        searched=winner.value,
        place=order.index(winner.index) + 1,
        trials=len(order),
        validated=sum(fresh) / len(fresh) if fresh else math.nan,
        validation_seeds=len(fresh),
        tested=method.test,
        test_seeds=len(method.runs),
    )
