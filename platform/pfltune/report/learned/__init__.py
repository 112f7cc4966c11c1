"""What a search learned: a model of the score, what is as good as the best, and what matters."""

from threadpoolctl import threadpool_limits

from pfltune.report.learned.equals import equals_of
from pfltune.report.learned.found import Equal, Importance, KnobRange, Learned, Tried
from pfltune.report.learned.importances import importances_of
from pfltune.report.learned.observed import last_round
from pfltune.report.learned.ranges import ranges_of
from pfltune.report.learned.surrogate import PlaneGrid, Slice, Surrogate
from pfltune.report.learned.tried import all_tried, cheapest, chosen_of, fall_of
from pfltune.report.learned.validation import fitted
from pfltune.report.searching import Searching

__all__ = [
    "Equal",
    "Importance",
    "KnobRange",
    "Learned",
    "PlaneGrid",
    "Slice",
    "Surrogate",
    "Tried",
    "learned_of",
]


def learned_of(search: Searching) -> Learned:
    """All that is learned from a search, whatever the order of its trials and the threads.

    Meant for the page of one method: it fits a model, which takes seconds.
    """
    with threadpool_limits(1):  # more would move the last bits
        return _learned(search)


def _learned(search: Searching) -> Learned:
    surrogate, why = fitted(search)
    goal = search.method.goal
    tried = all_tried(search.method)
    chosen = chosen_of(search.method, tried)
    importances, note = importances_of(surrogate) if surrogate else ((), "")
    if chosen is None:
        return Learned(last_round(search.method), surrogate, why, importances, note)
    equals = equals_of(chosen, [each for each in tried if each is not chosen], surrogate, goal)
    as_good = [chosen, *(each.tried for each in equals)]
    return Learned(
        rounds=last_round(search.method),
        surrogate=surrogate,
        why_none=why,
        importances=importances,
        importance_note=note,
        chosen=chosen,
        fall=fall_of(chosen),
        equals=equals,
        cheapest_mb=cheapest(as_good, lambda each: each.mb),
        cheapest_personal=cheapest(as_good, lambda each: each.personal),
        ranges=ranges_of(surrogate) if surrogate else (),
    )
