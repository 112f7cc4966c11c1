"""What a report says of the search, held against figures that the test chooses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfltune.report.results import MethodResult, SearchedRun
from pfltune.report.searching import position, search_of

SPACE = {"search": {"lr": [0.001, 1.0, True], "depth": [1, 8, False], "mode": ["a", "b"]}}


def trial(index, lr, values, outcome="finished", **knobs) -> SearchedRun:
    curve = [(step, value) for step, value in enumerate(values, start=1)]
    return SearchedRun(index, 0, 7, {"lr": lr, **knobs}, outcome, len(values), curve)


def method(*trials: SearchedRun) -> MethodResult:
    return MethodResult("one", "One", {}, (), len(trials), 0, 0.0, (), tuple(trials))


def test_best_so_far_counts_every_trial_and_never_falls():
    runs = [
        trial(1, 0.1, [0.2, 0.6]),
        trial(0, 0.3, [0.5]),
        trial(2, 0.2, [0.9], outcome="failed"),
        trial(3, 0.4, [0.7]),
    ]
    assert search_of(method(*runs), SPACE).best_so_far == (0.5, 0.6, 0.6, 0.7)


def test_the_gain_is_read_where_both_have_been():
    """The published values were stopped at round 2; at round 4 the winner stands alone."""
    runs = [
        trial(0, 0.1, [0.1, 0.4], outcome="stopped early"),
        trial(1, 0.3, [0.2, 0.5, 0.7, 0.8]),
    ]
    gain = search_of(method(*runs), SPACE).gain
    assert (gain.published, gain.best, gain.round) == (0.4, 0.5, 2)
    assert gain.points == pytest.approx(10.0)


def test_published_values_that_win_gain_nothing():
    gain = search_of(method(trial(0, 0.1, [0.5]), trial(1, 0.2, [0.3])), SPACE).gain
    assert gain.points == 0


def test_a_search_without_a_first_trial_has_no_gain():
    assert search_of(method(trial(0, 0.1, [0.9], outcome="failed")), SPACE).gain is None
    assert search_of(method(), SPACE).gain is None


@pytest.mark.parametrize(
    ("lr", "depth", "told"),
    [
        (0.001, 4, ["lr = 0.001 is the lowest that was searched (0.001 to 1)"]),
        (0.99, 4, ["lr = 0.99 is the highest that was searched (0.001 to 1)"]),
        (0.03, 8, ["depth = 8 is the highest that was searched (1 to 8)"]),
        (0.03, 4, []),
    ],
)
def test_a_best_value_at_the_end_of_its_range_is_warned_of(lr, depth, told):
    found = search_of(method(trial(0, lr, [0.5], depth=depth)), SPACE)
    assert list(found.edges) == told


def test_the_knob_that_decides_is_the_most_important():
    runs = [
        trial(index, 10 ** (-3 + 3 * index / 15), [index / 16], depth=1 + (index * 5) % 8)
        for index in range(16)
    ]
    importances = search_of(method(*runs), SPACE).importances
    assert list(importances) == ["lr", "depth"]
    assert importances["lr"] > 0.5
    assert sum(importances.values()) == pytest.approx(1.0)


def test_few_trials_or_one_value_have_no_importances():
    assert search_of(method(trial(0, 0.1, [0.5]), trial(1, 0.2, [0.6])), SPACE).importances == {}
    same = [trial(index, 0.1, [index / 10]) for index in range(6)]
    assert search_of(method(*same), SPACE).importances == {}


@given(st.floats(0.001, 1.0))
def test_a_place_in_a_logarithmic_range_is_that_of_the_exponent(value):
    import math

    assert position(value, 0.001, 1.0, log=True) == pytest.approx(1 + math.log10(value) / 3)
    assert position(value, 0.0, 2.0, log=False) == value / 2
