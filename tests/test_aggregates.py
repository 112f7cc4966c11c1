"""Figures over several scenarios by hand, by scipy, and against rliable's definitions."""

import numpy as np
import pytest
from scipy import stats

from pfltune.report.aggregates import aggregate, improvement, interquartile_mean, profile

# Two seeds of three scenarios, (seeds, scenarios).
ONE = np.array([[0.1, 0.5, 0.9], [0.2, 0.6, 0.8]])
OTHER = np.array([[0.1, 0.4, 0.9], [0.0, 0.7, 0.9]])


def test_the_interquartile_mean_leaves_out_a_quarter_at_each_end_by_hand():
    """Of six a quarter is 1.5, so that one goes at each end: (0.2 + 0.5 + 0.6 + 0.8)/4."""
    assert interquartile_mean(ONE) == pytest.approx(0.525)
    assert interquartile_mean(ONE) == stats.trim_mean(ONE, 0.25, axis=None)
    assert interquartile_mean(np.array([[0.3]])) == 0.3
    eight = np.array([[0.0, 0.1, 0.2, 0.3], [0.4, 0.5, 0.6, 1.0]])
    assert interquartile_mean(eight) == pytest.approx((0.2 + 0.3 + 0.4 + 0.5) / 4)


def test_the_probability_of_improvement_by_hand_and_by_mann_and_whitney():
    """Scenario 1: pairs ½, 1, 1, 1; 2: 1, 0, 1, 0; 3: ½, ½, 0, 0."""
    expected = (3.5 / 4 + 2 / 4 + 1 / 4) / 3
    assert improvement(ONE, OTHER) == pytest.approx(expected)
    pairs = zip(ONE.T, OTHER.T, strict=True)
    by_u = [stats.mannwhitneyu(*pair, alternative="greater").statistic for pair in pairs]
    assert improvement(ONE, OTHER) == pytest.approx(np.mean(by_u) / 4)
    assert improvement(OTHER, ONE) == pytest.approx(1 - expected)
    assert improvement(ONE, ONE) == 0.5


def test_a_profile_is_the_share_of_runs_above_each_level():
    levels = np.array([0.0, 0.1, 0.5, 0.55, 0.9])
    assert profile(ONE, levels).tolist() == pytest.approx([1, 5 / 6, 3 / 6, 3 / 6, 0])


def test_scenarios_are_put_together_with_as_many_seeds_of_each():
    found = aggregate({"b": [[0.1, 0.2, 0.7], [0.5, 0.6]], "a": [[0.1, 0.0], [0.4, 0.7]]})
    assert (found.first, found.runs, found.scenarios) == ("b", 2, 2)
    assert found.scores["b"].tolist() == [[0.1, 0.5], [0.2, 0.6]]
    assert found.iqm["b"].value == pytest.approx((0.2 + 0.5) / 2)
    assert set(found.improvement) == {"a"}
    assert found.improvement["a"].value == pytest.approx((0.5 / 4 + 2 / 4) / 2)


def test_intervals_draw_seeds_within_scenarios_and_repeat():
    """Between scenarios there is nothing random: seeds that agree have no width."""
    same = {"a": [[0.2] * 3, [0.9] * 3], "b": [[0.1] * 3, [0.8] * 3]}
    found = aggregate(same)
    assert (found.iqm["a"].low, found.iqm["a"].high) == pytest.approx((0.55, 0.55))
    assert (found.improvement["b"].low, found.improvement["b"].high) == (0, 0)
    rng = np.random.default_rng(0)
    rough = {"a": rng.uniform(size=(4, 30)).tolist(), "b": rng.uniform(size=(4, 30)).tolist()}
    once, again = aggregate(rough), aggregate(rough)
    assert once.iqm == again.iqm
    assert once.improvement == again.improvement
    table = np.array(rough["a"])
    spread = np.sqrt((table.var(1) / 30).mean() / 4)  # of the plain mean, near enough
    half = (once.iqm["a"].high - once.iqm["a"].low) / 2
    assert 1.0 * spread < half < 3.5 * spread
    assert once.iqm["a"].low < once.iqm["a"].value < once.iqm["a"].high


def test_one_scenario_or_no_method_has_nothing_to_put_together():
    assert aggregate({"a": [[0.5, 0.6]]}) is None
    assert aggregate({}) is None
