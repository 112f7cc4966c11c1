"""What a report says of the search, held against figures that the test chooses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pfltune.report.dimensions import Dimension
from pfltune.report.results import MethodResult, SearchedRun
from pfltune.report.searching import search_of
from pfltune.report.tuning import words as search_words
from pfltune.report.tuning.gained import gain_cell

SPACE = {"search": {"lr": [0.001, 1.0, True], "depth": [1, 8, False], "mode": ["a", "b"]}}


def trial(index, lr, values, outcome="finished", **knobs) -> SearchedRun:
    curve = [(step, value) for step, value in enumerate(values, start=1)]
    return SearchedRun(index, 0, 7, {"lr": lr, **knobs}, outcome, len(values), curve)


def method(*trials: SearchedRun) -> MethodResult:
    return MethodResult("one", "One", {}, (), len(trials), 0, 0.0, (), tuple(trials))


def searched(*trials, limits=None):
    return search_of(method(*trials), SPACE, limits or {})


def test_best_so_far_counts_trials_that_ran_all_rounds_and_never_falls():
    """A trial that was stopped early, or still runs, is read after fewer rounds."""
    runs = [
        trial(1, 0.1, [0.2, 0.6]),
        trial(0, 0.3, [0.9], outcome="stopped early"),
        trial(2, 0.2, [0.9], outcome="failed"),
        trial(3, 0.4, [0.7]),
        trial(4, 0.4, [0.95], outcome="running"),
        trial(5, 0.4, [0.5]),
    ]
    found = searched(*runs).best_so_far
    assert math.isnan(found[0])
    assert found[1:] == (0.6, 0.6, 0.7, 0.7, 0.7)


def test_values_of_different_rounds_make_no_gain():
    """The published values stopped at 68.7 after round 2; the winner had 65.2 there, 73.3 later."""
    found = searched(
        trial(0, 0.1, [0.1, 0.687], outcome="stopped early"),
        trial(1, 0.3, [0.2, 0.652, 0.7, 0.733]),
    )
    assert found.winner.index == 1
    assert search_words.first_value(found) == "68.70 (round 2)"
    assert search_words.winner_value(found) == "73.30"
    assert gain_cell(found) == "–"


def test_a_gain_is_the_difference_after_the_same_rounds():
    found = searched(trial(0, 0.1, [0.4, 0.5]), trial(1, 0.3, [0.2, 0.58]))
    assert gain_cell(found) == "+8.00"
    assert gain_cell(searched(trial(0, 0.1, [0.5]), trial(1, 0.2, [0.3]))) == "0.00"


def test_a_search_without_a_figure_has_nothing_to_say():
    for found in (searched(trial(0, 0.1, [0.9], outcome="failed")), searched()):
        assert found.winner is found.first is None
        assert gain_cell(found) == search_words.first_value(found) == "–"
        assert search_words.finding(found).endswith(" Nothing is chosen.")


def test_one_trial_that_won_is_told_with_singulars():
    found = searched(trial(0, 0.1, [0.5]))
    assert search_words.trials(found) == "1 search trial (1 ran to the end)"
    assert search_words.fall(found) == (
        "Validation accuracy 50.00 % in the search (1 seed); not tested."
    )


@pytest.mark.parametrize(
    ("lr", "depth", "told"),
    [
        (0.001, 4, ["lr = 0.001 is the lowest that was searched (0.001 to 1)"]),
        (0.99, 4, ["lr = 0.99 is the highest that was searched (0.001 to 1)"]),
        (0.03, 8, ["depth = 8 is the highest that was searched (1 to 8)"]),
        (0.03, 1, []),
        (0.03, 4, []),
    ],
)
def test_a_best_value_at_an_end_is_warned_of_unless_there_is_nothing_beyond(lr, depth, told):
    """1 is the least that depth can be."""
    found = searched(trial(0, lr, [0.5], depth=depth), limits={"depth": [1, None]})
    assert [edge.words for edge in found.edges] == told


def test_the_knob_that_decides_is_the_most_important():
    runs = [
        trial(index, 10 ** (-3 + 3 * index / 15), [index / 16], depth=1 + (index * 5) % 8)
        for index in range(16)
    ]
    importances = searched(*runs).importances
    assert list(importances) == ["lr", "depth"]
    assert importances["lr"] > 0.5
    assert sum(importances.values()) == pytest.approx(1.0)


def test_trials_are_compared_after_one_round_that_all_came_to():
    """What a trial gains by running on says nothing of its knobs."""
    found = searched(
        trial(0, 0.1, [0.1, 0.3], outcome="stopped early"),
        trial(1, 0.2, [0.1, 0.2, 0.8, 0.9]),
        trial(2, 0.3, [0.1], outcome="running"),
        trial(3, 0.4, [0.1], outcome="failed"),
    )
    assert found.round == 2
    assert [(run.index, value) for run, value in found.compared] == [(0, 0.3), (1, 0.2)]


def test_few_trials_one_value_or_one_knob_have_no_importances():
    assert searched(trial(0, 0.1, [0.5]), trial(1, 0.2, [0.6])).importances == {}
    same = [trial(index, 0.1, [index / 10]) for index in range(6)]
    assert searched(*same).importances == {}
    one_knob = [trial(index, 0.1 + index / 10, [index / 10]) for index in range(6)]
    assert searched(*one_knob).importances == {}


@given(st.floats(0.001, 1.0))
def test_a_place_in_a_logarithmic_range_is_that_of_the_exponent(value):
    place = Dimension("lr", 0.001, 1.0, log=True).place(value)
    assert place == pytest.approx(1 + math.log10(value) / 3)
    assert Dimension("lr", 0.0, 2.0).place(value) == value / 2
