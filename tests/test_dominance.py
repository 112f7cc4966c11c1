"""Dominance, crowding and hypervolume against brute force and Optuna."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna._hypervolume import compute_hypervolume
from optuna.study._multi_objective import _fast_non_domination_rank

from pfltune.dominance import dominates, fronts, hypervolume, ranked

coarse = st.integers(0, 5).map(lambda n: n / 5)
points = st.lists(st.tuples(coarse, coarse.map(lambda mb: 10 * mb)), min_size=1, max_size=9)


def losses(found):
    """As Optuna has them: all to be minimised."""
    return np.array([(-accuracy, mb) for accuracy, mb in found])


def test_a_point_dominates_what_is_no_better_anywhere():
    assert dominates((0.5, 1.0), (0.5, 2.0))
    assert dominates((0.6, 1.0), (0.5, 1.0))
    assert not dominates((0.5, 1.0), (0.5, 1.0))
    assert not dominates((0.6, 2.0), (0.5, 1.0))


def test_fronts_by_hand():
    found = [(0.9, 9.0), (0.5, 1.0), (0.5, 2.0), (0.4, 3.0), (0.7, 5.0), (0.9, 9.0)]
    assert fronts(found) == [[0, 1, 4, 5], [2], [3]]
    assert fronts([]) == []


@given(points)
def test_fronts_are_those_of_optuna(found):
    ranks = _fast_non_domination_rank(losses(found))
    by_rank = [[n for n in range(len(found)) if ranks[n] == rank] for rank in sorted(set(ranks))]
    assert fronts(found) == by_rank


@given(points)
def test_every_front_is_what_none_of_the_rest_dominates(found):
    left = set(range(len(found)))
    for front in fronts(found):
        best = {n for n in left if not any(dominates(found[m], found[n]) for m in left)}
        assert set(front) == best
        left -= best
    assert not left


def test_the_ends_come_first_and_the_most_crowded_last():
    """Of the middle ones, 2 and 3 are near each other: one of them goes, and the other may stay."""
    found = {0: (0.9, 10.0), 1: (0.1, 0.0), 2: (0.5, 5.0), 3: (0.52, 5.2), 4: (0.8, 9.0)}
    assert ranked(found)[:3] == [0, 1, 2]
    assert set(ranked(found)[3:]) == {3, 4}
    assert ranked(found)[-1] == 3


def test_crowding_by_hand():
    """Spans 0.8 and 8; distances 0.3 + 2.5/8, 0.2/0.8 + 2.5/8 and 0.4/0.8 + 5.5/8 in turn."""
    found = {0: (0.1, 0.0), 1: (0.3, 1.0), 2: (0.4, 2.5), 3: (0.5, 3.5), 4: (0.9, 8.0)}
    assert ranked(found) == [4, 0, 3, 1, 2]


def test_equal_points_come_behind_others_of_their_front_and_ties_go_to_the_first():
    found = {3: (0.9, 9.0), 1: (0.9, 9.0), 2: (0.5, 1.0), 0: (0.4, 2.0)}
    assert ranked(found) == [1, 2, 3, 0]
    assert ranked({5: (0.1 + 0.2, 1.0), 4: (0.3, 1.0)}) == [4, 5]
    assert ranked({}) == []
    assert ranked({7: (0.0, 0.0)}) == [7]


@given(points)
def test_the_first_is_the_most_accurate_of_the_fewest_bytes(found):
    order = ranked(dict(enumerate(found)))
    assert sorted(order) == list(range(len(found)))
    first = min(range(len(found)), key=lambda n: (-found[n][0], found[n][1], n))
    assert order[0] == first


@given(points, st.randoms())
def test_the_order_in_which_points_are_told_moves_nothing(found, random):
    told = list(enumerate(found))
    expected = ranked(dict(told))
    random.shuffle(told)
    assert ranked(dict(told)) == expected


@given(points, st.sampled_from([0.5, 2.0, 4.0]))
def test_units_move_nothing(found, factor):
    scaled = {n: (accuracy, factor * mb) for n, (accuracy, mb) in enumerate(found)}
    assert ranked(scaled) == ranked(dict(enumerate(found)))


def test_hypervolume_by_hand():
    """0.5 from 2 to 4 MB, 0.8 from 4 to 10 MB: (0.5 · 2 + 0.8 · 6) / 10."""
    assert hypervolume([(0.5, 2.0), (0.8, 4.0), (0.4, 3.0)], 10.0) == pytest.approx(0.58)
    assert hypervolume([(0.7, 0.0)], 10.0) == pytest.approx(0.7)
    assert hypervolume([(0.7, 12.0)], 10.0) == 0.0
    assert hypervolume([], 10.0) == 0.0
    assert hypervolume([(0.7, 0.0), (0.6, 0.0)], 0.0) == 0.7


@given(points)
def test_hypervolume_is_that_of_optuna(found):
    reference = np.array([0.0, 10.0])
    expected = compute_hypervolume(losses(found), reference) / 10.0
    assert hypervolume(found, 10.0) == pytest.approx(expected)


@given(points)
def test_hypervolume_is_the_mean_of_the_best_within_each_budget(found):
    """All MB are whole: within a unit, the best accuracy is one and the same."""
    budgets = [n + 0.5 for n in range(10)]
    best = [max((a for a, mb in found if mb <= budget), default=0.0) for budget in budgets]
    assert hypervolume(found, 10.0) == pytest.approx(np.mean(best))


@given(points)
def test_more_points_never_cover_less(found):
    areas = [hypervolume(found[:n], 10.0) for n in range(len(found) + 1)]
    assert all(a <= b + 1e-12 for a, b in itertools.pairwise(areas))
