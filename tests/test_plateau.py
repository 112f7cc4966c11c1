"""How sure the report is of what is as good as the best, held against responses that are known.

A hundred and twenty searches of a response that is flat in the middle of log lr and from a prefix
length of 4 on, with noise as seeds make it and halved as ours are.
"""

from functools import cache

import numpy as np
import pytest
from responses import BEST, FLAT_LENGTH, FLAT_LR, SPACE, searched, truth
from scipy import stats

from pfltune.report.learned import learned_of
from pfltune.report.learned.equals import RATE
from pfltune.report.searching import search_of

REPETITIONS = 120
SCHEDULES = ({"generations": 3, "size": 4, "eta": 3}, {"generations": 2, "size": 8, "eta": 2})
TOLERANCE = 0.01
"""The probability with which a rate that is kept fails here."""

pytestmark = pytest.mark.thorough


@cache
def repetitions():
    told = [searched(number, **SCHEDULES[number % 2]) for number in range(REPETITIONS)]
    return [(method, learned_of(search_of(method, SPACE, {}))) for method in told]


def lowest(rate: float, number: int) -> float:
    """How many of a number keep a rate at least, unless by rare chance."""
    return stats.binom.ppf(TOLERANCE, number, rate)


def with_surrogate():
    return [(method, found) for method, found in repetitions() if found.surrogate]


def as_good_as_the_best(method) -> set[int]:
    true = {run.index: truth(**run.knobs) for run in method.searched}
    return {index for index, value in true.items() if value == max(true.values())}


def test_all_that_are_as_good_as_the_best_are_named_at_the_stated_rate():
    covered, sizes = [], []
    for method, found in with_surrogate():
        named = {found.chosen.index, *(each.tried.index for each in found.equals)}
        covered.append(as_good_as_the_best(method) <= named)
        sizes.append(len(named) / len(method.searched))
    assert sum(covered) >= lowest(RATE, len(covered))
    assert np.mean(sizes) < 0.8  # and not by naming everything


def test_finalists_that_are_as_good_are_named_at_the_stated_rate_without_a_surrogate_too():
    covered = []
    for method, found in repetitions():
        finalists = {each.index for each in method.finalists}
        named = {found.chosen.index, *(each.tried.index for each in found.equals)}
        covered.append(as_good_as_the_best(method) & finalists <= named)
    assert sum(covered) >= lowest(RATE, REPETITIONS)


def test_the_surrogate_errs_less_than_the_mean_and_is_there_where_there_is_something_to_learn():
    found = [each.surrogate for _, each in with_surrogate()]
    assert len(found) > 0.8 * REPETITIONS
    errors = np.array([(each.error, each.error_of_mean) for each in found])
    assert np.median(errors[:, 0] / errors[:, 1]) < 0.8


@pytest.mark.parametrize(("knob", "flat"), [("lr", FLAT_LR), ("prefix_length", (FLAT_LENGTH, 32))])
def test_a_value_that_is_as_good_as_the_best_is_within_a_standard_error(knob, flat):
    shares = []
    for _, found in with_surrogate():
        (seen,) = (each for each in found.ranges if each.knob == knob)
        values = np.array(found.surrogate.points(knob, 33), dtype=float)
        good = values[(values >= flat[0]) & (values <= flat[1])]
        shares.append(np.mean((good >= seen.low) & (good <= seen.high)))
    assert np.mean(shares) >= 2 / 3


def test_the_true_importances_are_in_their_intervals():
    """Of 95 % by construction; nine in ten are held."""
    true = dict(zip(("lr", "prefix_length"), total_indices(), strict=True))
    inside = [
        each.low <= true[each.knob] <= each.high
        for _, found in with_surrogate()
        for each in found.importances
    ]
    assert sum(inside) >= lowest(0.9, len(inside))


def total_indices() -> tuple[float, float]:
    """Of lr and prefix length, by brute force over the space."""
    one, other = np.random.default_rng(0).random((2, 2, 10_000))
    response = np.vectorize(lambda lr, length: truth(10 ** (3 * lr - 3), 2 ** (5 * length)))
    here = response(*one)
    moved = (response(other[0], one[1]), response(one[0], other[1]))
    return tuple(float(((here - each) ** 2).mean() / 2 / here.var()) for each in moved)


def test_the_response_is_flat_where_it_is_said_to_be():
    assert truth(0.01, 4) == truth(0.1, 32) == BEST
    assert truth(0.009, 4) < BEST
    assert truth(0.05, 3) < BEST
