"""What is learned from a search, at its edges and against formulas of others."""

import math
import warnings
from itertools import product

import numpy as np
import pytest
from responses import SPACE, searched
from scipy import stats
from statsmodels.api import OLS
from threadpoolctl import threadpool_limits

from pfltune.report.dimensions import dimensions_of
from pfltune.report.learned import learned_of
from pfltune.report.learned.equals import paired_p
from pfltune.report.learned.observed import rows_of
from pfltune.report.results import Finalist, MethodResult, SearchedRun
from pfltune.report.searching import search_of

pytestmark = pytest.mark.usefixtures("png_alone")


@pytest.fixture(autouse=True)
def no_warning_escapes():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def trial(index, values, outcome="finished", mb=2.0, personal=10.0, **knobs) -> SearchedRun:
    """``values`` are the scores after rounds 1, 2, …; MB are those of a round."""
    curve = [(step, value) for step, value in enumerate(values, start=1)]
    metrics = {"comm/total_mb": mb * len(values), "params/personal": personal}
    return SearchedRun(index, 0, 7, knobs, outcome, len(values), curve, metrics)


def of(*trials, finalists=(), best=None, space=None):
    told = MethodResult(
        *("one", "One", best or {}, (), len(trials), 0, 0.0, ()), tuple(trials), tuple(finalists)
    )
    return search_of(told, SPACE if space is None else {"search": space}, {})


def again(index, values, **knobs) -> Finalist:
    return Finalist(index, knobs, dict(enumerate(values, start=100)))


def spread(number: int):
    """Numbers from 0 to 1, evenly spread in whatever order."""
    return [(0.5 + 0.618034 * index) % 1 for index in range(number)]


@pytest.mark.parametrize("number", [0, 1, 2, 5])
def test_few_trials_make_no_surrogate_and_no_more_than_can_be_said(number):
    trials = [trial(index, [0.1 * index], lr=0.01 * (index + 1)) for index in range(number)]
    found = learned_of(of(*trials))
    assert found.surrogate is None
    assert found.why_none == f"{number} of the 6 trials that it takes"
    assert found.importances == found.ranges == found.equals == ()
    assert (found.chosen is None) == (number == 0)
    assert found.chosen is None or found.chosen.index == number - 1
    assert math.isnan(found.fall)


def test_where_all_failed_nothing_is_learned():
    trials = [trial(index, [0.1], outcome="failed", lr=0.01 * (index + 1)) for index in range(8)]
    found = learned_of(of(*trials))
    assert found.rounds == 0
    assert found.surrogate is found.chosen is found.cheapest_mb is found.cheapest_personal is None


@pytest.mark.parametrize(
    ("trials", "space", "why"),
    [
        ([(0.5, 0.01 * (i + 1)) for i in range(8)], None, "all trials have the same score"),
        ([(0.1 * i, 0.01) for i in range(8)], None, "all trials have the same values"),
        ([(0.1 * i, 0.01 * (i + 1)) for i in range(8)], {}, "no knob was searched"),
    ],
)
def test_a_surrogate_of_nothing_is_not_made(trials, space, why):
    runs = [trial(index, [value], lr=lr) for index, (value, lr) in enumerate(trials)]
    found = learned_of(of(*runs, space=space))
    assert found.surrogate is None
    assert found.why_none == why


def test_a_surrogate_of_mere_noise_is_not_shown():
    rng = np.random.default_rng(3)
    trials = [
        trial(index, [0.5 + 0.01 * rng.normal()], lr=10 ** (-3 * place))
        for index, place in enumerate(spread(16))
    ]
    found = learned_of(of(*trials))
    assert found.surrogate is None
    assert found.why_none.startswith("of trials that it was not given it errs by ")
    assert found.importances == found.ranges == ()


def test_a_smooth_response_is_predicted_and_its_best_lies_where_it_is():
    trials = [
        trial(index, [0.7 - 0.2 * (place - 0.4) ** 2], lr=10 ** (-3 + 3 * place))
        for index, place in enumerate(spread(10))
    ]
    found = learned_of(of(*trials))
    assert found.surrogate.error < 0.5 * found.surrogate.error_of_mean
    seen = found.surrogate.slice("lr")
    best = 10 ** (-3 + 3 * 0.4)
    assert seen.x[np.nanargmax(seen.mean)] == pytest.approx(best, rel=0.3)
    assert np.nanmax(seen.mean) == pytest.approx(70, abs=0.3)
    assert (seen.low <= seen.mean).all()
    assert (seen.mean <= seen.high).all()
    (only,) = found.ranges
    assert only.low <= best <= only.high
    assert only.high / only.low < 10
    assert found.importances == ()  # of a single knob the share is 1, whatever it does


def mixed(number: int) -> list[SearchedRun]:
    """Two kinds of prefix, each with its own knob, and a truth value that does nothing."""
    trials = []
    for index, place in enumerate(spread(number)):
        tokens = index % 2 == 0
        value = 0.5 + 0.2 * place if tokens else 0.4
        own = {"prefix_length": 1 + int(31 * place)} if tokens else {"bottleneck": 4 * (index + 1)}
        kind = {"prefix": "tokens" if tokens else "adapter", "learn_alpha": index % 3 == 0}
        trials.append(trial(index, [value / 2, value], lr=0.01, **kind, **own))
    return trials


MIXED = {
    "lr": [0.001, 1.0, True],
    "prefix": ["adapter", "tokens"],
    "learn_alpha": [True, False],
    "bottleneck": [4, 256, True],
    "prefix_length": [1, 32, False],
}


def test_choices_truth_values_and_knobs_that_some_trials_have_are_knobs():
    found = learned_of(of(*mixed(20), space=MIXED))
    model = found.surrogate
    assert model.knobs == ("prefix", "learn_alpha", "bottleneck", "prefix_length")  # not lr
    kinds = model.slice("prefix")
    assert kinds.x.tolist() == ["adapter", "tokens"]
    assert kinds.mean == pytest.approx([40, 70], abs=2)
    assert model.slice("learn_alpha").x.tolist() == [True, False]
    lengths = model.slice("prefix_length")
    assert lengths.x.tolist() == list(range(1, 33))
    assert np.nanargmax(lengths.mean) > 25
    ranges = {each.knob: each for each in found.ranges}
    assert ranges["prefix"].values == ("tokens",)
    assert set(ranges["learn_alpha"].values) == {True, False}
    assert isinstance(ranges["prefix_length"].low, int)
    shares = {each.knob: each.share for each in found.importances}
    assert shares["prefix"] > 0.5
    assert shares["learn_alpha"] < 0.1
    apart = model.plane("bottleneck", "prefix_length")
    assert np.isnan(apart.mean).all()  # no configuration has both


def test_a_knob_belongs_to_the_choice_beside_which_trials_have_it():
    dimensions = dimensions_of({"search": MIXED}, [run.knobs for run in mixed(6)])
    assert dimensions["prefix_length"].when == {"prefix": "tokens"}
    assert dimensions["bottleneck"].when == {"prefix": "adapter"}
    assert not dimensions["learn_alpha"].when


def test_numbers_to_choose_from_keep_their_order():
    dimensions = dimensions_of({"search": {"length": [1, 16, 2, 4, 8]}}, [{"length": 2}])
    places = [dimensions["length"].place(value) for value in (1, 2, 4, 8, 16)]
    assert places == pytest.approx([0, 0.25, 0.5, 0.75, 1])
    assert dimensions["length"].points(9) == (1, 2, 4, 8, 16)


def test_beyond_what_ran_a_surrogate_says_nothing():
    """Neither far from all trials nor where they failed."""
    trials = [
        trial(index, [0.5 + 0.2 * place], lr=10 ** (-3 + place))
        for index, place in enumerate(spread(12))
    ]
    failed = [trial(12 + i, [], outcome="failed", lr=10 ** (-1.9 + 0.2 * i)) for i in range(8)]
    seen = learned_of(of(*trials, *failed)).surrogate.slice("lr")
    assert not np.isnan(seen.mean[seen.x < 0.008]).any()
    assert np.isnan(seen.mean[seen.x > 0.02]).all()


def test_a_plane_is_the_best_over_all_other_knobs():
    """Against brute force over what the model predicts."""
    model = learned_of(search_of(searched(3, generations=2), SPACE, {})).surrogate
    plane = model.plane("lr", "prefix_length")
    coding = model.process.coding
    for (row, y), (column, x) in product(enumerate(plane.y), enumerate(plane.x)):
        if not np.isnan(plane.mean[row, column]):
            knobs = {"lr": x, "prefix_length": int(y)}
            predicted = model.process.mean(coding.places([knobs]))[0]
            assert plane.mean[row, column] == pytest.approx(predicted, abs=1e-9)
    assert 0 < np.isnan(plane.mean).mean() < 0.9 or not np.isnan(plane.mean).any()


def test_a_slice_is_the_best_over_all_other_knobs():
    """Against brute force over every length."""
    model = learned_of(search_of(searched(3, generations=2), SPACE, {})).surrogate
    seen, process = model.slice("lr"), model.process
    for x, mean in zip(seen.x, seen.mean, strict=True):
        every = [{"lr": x, "prefix_length": length} for length in range(1, 33)]
        places = process.coding.places(every)
        known = model.is_known(places)
        if not np.isnan(mean):
            assert mean == pytest.approx(process.mean(places)[known].max(), abs=0.2)


def test_importances_of_a_sum_are_the_shares_of_its_variance():
    """Of 4 x + 2 y, x and y uniform: 16 to 4."""
    places = np.stack([spread(24), [(0.3 + 0.754878 * index) % 1 for index in range(24)]], 1)
    trials = [
        trial(index, [0.4 + 0.04 * x + 0.02 * y], scale=x, mix=y)
        for index, (x, y) in enumerate(places)
    ]
    found = learned_of(of(*trials, space={"scale": [0, 1, False], "mix": [0, 1, False]}))
    assert [each.knob for each in found.importances] == ["scale", "mix"]
    assert [each.share for each in found.importances] == pytest.approx([0.8, 0.2], abs=0.05)
    assert all(each.low <= each.share <= each.high for each in found.importances)
    assert found.importance_note == ""


def test_few_noisy_trials_say_little_of_what_matters():
    rng = np.random.default_rng(0)
    trials = [
        trial(index, [0.5 + 0.02 * (x + y) + 0.005 * rng.normal()], scale=x, mix=y)
        for index, (x, y) in enumerate(rng.random((8, 2)))
    ]
    found = learned_of(of(*trials, space={"scale": [0, 1, False], "mix": [0, 1, False]}))
    assert found.importance_note == "8 trials say little"


def test_two_finalists_are_compared_by_the_paired_t_test():
    table = np.array([[0.61, 0.58, 0.64, 0.60], [0.60, 0.55, 0.63, 0.56]])
    assert paired_p(table)[1] == pytest.approx(stats.ttest_rel(*table).pvalue, rel=1e-6)


def test_more_finalists_are_compared_by_tukeys_test_with_seeds_as_blocks():
    """What is left after configurations and seeds, by a linear model of statsmodels."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(3, 4)) + 5 * rng.normal(size=4)
    config, seed = (axis.ravel() for axis in np.indices(table.shape))
    design = np.column_stack([*np.eye(3)[config].T, *np.eye(4)[seed].T[1:]])
    error = np.sqrt(OLS(table.ravel(), design).fit().mse_resid / 4)
    apart = np.abs(table.mean(1) - table.mean(1)[0]) / error
    expected = stats.studentized_range.sf(apart, 3, 6)
    assert paired_p(table) == pytest.approx(expected, rel=1e-6)


@pytest.mark.thorough
def test_of_equal_finalists_the_best_is_rarely_told_apart_from_any():
    rng = np.random.default_rng(1)
    rejected = 0
    for _ in range(300):
        table = rng.normal(size=(3, 3))
        best_first = table[np.argsort(-table.mean(1))]
        rejected += paired_p(best_first).min() < 0.05
    assert rejected <= stats.binom.ppf(0.999, 300, 0.05)


@pytest.mark.parametrize(("apart", "p"), [(0.0, 1.0), (0.01, 0.0)])
def test_seeds_that_agree_to_the_last_digit_are_no_division_by_zero(apart, p):
    table = np.array([[0.5, 0.6, 0.7], [0.5 - apart, 0.6 - apart, 0.7 - apart]])
    assert paired_p(table)[1] == p


def finals():
    trials = [
        trial(0, [0.3, 0.62], lr=0.1, mb=4.0, personal=40.0),
        trial(1, [0.3, 0.60], lr=0.2, mb=3.0, personal=50.0),
        trial(2, [0.3, 0.59], lr=0.3, mb=1.0, personal=10.0),
        trial(3, [0.9], outcome="stopped early", lr=0.4),
    ]
    finalists = [
        again(0, [0.56, 0.58, 0.54], lr=0.1),
        again(1, [0.57, 0.56, 0.545], lr=0.2),
        again(2, [0.36, 0.38, 0.34], lr=0.3),
    ]
    return of(*trials, finalists=finalists, best={"lr": 0.1})


def test_the_chosen_one_falls_and_its_equals_are_those_not_told_apart_over_seeds():
    found = learned_of(finals())
    assert found.rounds == 2
    assert found.chosen.index == 0
    assert found.chosen.mean == pytest.approx(0.56)
    assert found.chosen.standard_error == pytest.approx(0.02 / math.sqrt(3))
    assert found.fall == pytest.approx(6.0)
    (equal,) = found.equals  # neither the third nor the one of round 1
    assert equal.tried.index == 1
    assert equal.why.startswith("paired over 3 seeds, p = 0.")


def test_the_cheapest_is_one_of_those_that_are_as_good_by_mb_of_a_round():
    found = learned_of(finals())
    assert found.cheapest_mb.index == 1
    assert found.cheapest_mb.mb == 3.0
    assert found.cheapest_personal.index == 0


def test_one_seed_in_common_tells_nothing_apart():
    trials = [trial(index, [0.5 - 0.1 * index], lr=0.1 * (index + 1)) for index in range(2)]
    finalists = [again(0, [0.5], lr=0.1), again(1, [0.1], lr=0.2)]
    (equal,) = learned_of(of(*trials, finalists=finalists, best={"lr": 0.1})).equals
    assert equal.why == "one common seed tells nothing apart"


def test_a_trial_that_stopped_before_has_no_value_at_the_last_round():
    trials = [trial(0, [0.2, 0.6], lr=0.1), trial(1, [0.9], outcome="stopped early", lr=0.2)]
    found = learned_of(of(*trials))
    assert found.chosen.index == 0  # in the lead
    finalists = [again(1, [0.7, 0.8], lr=0.2)]
    found = learned_of(of(*trials, finalists=finalists, best={"lr": 0.2}))
    assert math.isnan(found.chosen.search_value)
    assert math.isnan(found.fall)


def test_rows_are_scores_after_the_rounds_at_which_trials_ended():
    trials = [trial(0, [0.1, 0.2, 0.3, 0.4], lr=0.1), trial(1, [0.1, 0.2], lr=0.2)]
    rows = rows_of(of(*trials, finalists=[again(0, [0.5], lr=0.1)]).method)
    told = [(row.trial, row.seed, row.round, row.score) for row in rows]
    assert told == [(0, 0, 2, 20.0), (0, 0, 4, 40.0), (0, 1, 4, 50.0), (1, 0, 2, 20.0)]


def test_of_very_many_trials_some_are_read_whatever_their_scores():
    trials = [trial(index, [0.1, 0.2, 0.3], lr=0.1 + index / 1000) for index in range(100)]
    trials += [trial(index, [0.1], "stopped early", lr=0.2) for index in range(100, 450)]
    rows = rows_of(of(*trials, finalists=[again(7, [0.5], lr=0.107)]).method)
    assert 200 < len(rows) <= 300
    assert sum(row.round == 3 and row.seed == 0 for row in rows) == 51  # and the finalist's
    assert {0, 2, 4, 7, 448} <= {row.trial for row in rows}


def test_neither_the_order_of_trials_and_finalists_nor_threads_decide_anything():
    told = searched(5, generations=2)
    shuffled = MethodResult(
        *("one", "One", told.best, (), told.search_trials, 0, 0.0, ()),
        tuple(reversed(told.searched)),
        tuple(
            Finalist(each.index, each.knobs, dict(reversed(each.values.items())))
            for each in reversed(told.finalists)
        ),
    )
    one = learned_of(search_of(told, SPACE, {}))
    with threadpool_limits(2):
        other = learned_of(search_of(shuffled, SPACE, {}))
    assert one.surrogate is not None
    assert repr(one) == repr(other)
    assert (one.surrogate.slice("lr").mean == other.surrogate.slice("lr").mean).all()
