"""Intervals, paired tests, corrections and ranks against independent references."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pfltune.figures import SELECTED_TEST, SELECTED_VAL
from pfltune.report.crossed import crossed
from pfltune.report.paired_seeds import holm
from pfltune.report.ranks import critical_difference, rank
from pfltune.report.results import ConfirmedRun, MethodResult
from pfltune.report.statistics import (
    compare,
    default_reference,
    interval_of,
    not_told_apart,
    paired_tables,
    pairs_of,
)
from pfltune.ties import settled

TEST, VAL = SELECTED_TEST.name, SELECTED_VAL.name


def method(name, test, val=0.5, seeds=None):
    """A method whose test accuracies are ``test``, (seeds, clients)."""
    table = np.atleast_2d(np.asarray(test, dtype=float))
    runs = tuple(
        ConfirmedRun(seed, {VAL: val, TEST: float(row.mean())}, {}, (), tuple(row))
        for seed, row in zip(seeds or range(len(table)), table, strict=True)
    )
    return MethodResult(name, name.title(), {}, runs, 0, 0, 0.0, ())


def against(reference, *others):
    return compare(reference, others)


def noisy(level, seeds=5, clients=10, seed=0):
    """Accuracies round a level, (seeds, clients)."""
    return level + np.random.default_rng(seed).normal(0, 0.01, (seeds, clients))


def test_the_interval_of_an_accuracy_is_that_of_the_crossed_analysis_within_0_and_1():
    table = noisy(0.6)
    found, whole = interval_of(method("a", table)), crossed([table[None]])
    margin = whole.margin(0.05)
    assert (found.low, found.high) == pytest.approx((whole.mean - margin, whole.mean + margin))
    rough = interval_of(method("a", [[0.1, 0.9, 0.95, 1.0], [0.0, 1.0, 0.9, 0.9]]))
    assert 0 <= rough.low < rough.high == 1.0


def test_of_one_seed_the_interval_is_students_over_clients():
    row = np.array([0.4, 0.5, 0.55, 0.6, 0.7])
    expected = stats.ttest_1samp(row, 0).confidence_interval(0.95)
    found = interval_of(method("a", row))
    assert (found.low, found.high) == pytest.approx(tuple(expected))


def test_a_single_accuracy_has_no_interval():
    assert np.isnan(interval_of(method("a", [0.25])).low)


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed):
    p_values = np.random.default_rng(seed).uniform(0, 0.2, 7)
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_by_hand():
    """0.01·3; max(0.03, 0.02·2) = 0.04; max(0.04, 0.03·1) = 0.04."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_intervals_and_p_hold_for_all_pairs_and_leave_0_out_together():
    methods = [method(str(k), noisy(0.5 + k / 200, seed=k)) for k in range(5)]
    reference, *others = methods
    assert pairs_of(5) == 10
    for name, found in compare(reference, others).items():
        alone = crossed(paired_tables(methods[int(name)], reference))
        assert found.raw_p == alone.p
        assert found.p == pytest.approx(min(1, 10 * alone.p))
        margin = alone.margin(0.05 / 10)
        ends = (alone.mean - margin, alone.mean + margin)
        assert (found.interval.low, found.interval.high) == pytest.approx(ends)
        assert (ends[0] > 0 or ends[1] < 0) == found.is_significant


def test_leaders_are_the_best_and_all_that_are_not_told_apart_from_it():
    a, b, c = (method(n, noisy(0.7 - d, seed=s)) for n, d, s in
               (("a", 0, 0), ("b", 0.001, 1), ("c", 0.2, 2)))  # fmt: skip
    assert compare(a, [b, c])["c"].verdict == "worse"
    assert not_told_apart([c, b, a]) == {"a", "b"}, "in whatever order"
    assert not_told_apart([method("a", [0.5] * 8), method("b", [0.4] * 8)]) == {"a", "b"}
    assert not_told_apart([]) == frozenset()


def test_one_seed_has_a_difference_and_no_test():
    found = against(method("a", np.zeros(8)), method("b", np.arange(8) / 10))["b"]
    assert found.mean == pytest.approx(0.35)
    assert (found.higher, found.lower, found.seeds, found.agreeing) == (7, 0, 1, 1)
    assert found.verdict == "no test: one seed does not tell what a seed does to all clients"
    assert np.isnan([found.p, found.raw_p, found.interval.low, found.interval.high]).all()


def test_what_cannot_be_tested_still_counts_among_the_pairs():
    a, b = method("a", noisy(0.5)), method("b", noisy(0.6, seed=1))
    found = against(a, b, method("c", noisy(0.5)))
    assert found["c"].untested == "no client differs"
    assert found["b"].p == pytest.approx(3 * found["b"].raw_p)


def test_means_over_seeds_that_are_equal_on_paper_are_zeros_and_ties():
    """0.1 + 0.2 − 0.3 is 5.6e-17: no client has gained."""
    reference = method("a", [[0.1] * 8, [0.2] * 8, [0.0] * 8])
    other = method("b", [[0.0] * 8, [0.0] * 8, [0.3] * 8])
    found = against(reference, other)["b"]
    assert (found.higher, found.lower, found.mean) == (0, 0, 0.0)
    assert found.agreeing == 0


def test_pairs_are_of_the_same_seed_and_only_of_common_ones():
    table = np.random.default_rng(1).uniform(0, 1, (3, 9))
    reference = method("a", table, seeds=[10, 11, 12])
    gains = np.arange(1, 10) / 100
    other = method("b", table[[2, 0]] + gains, seeds=[12, 10])
    found = against(reference, other)["b"]
    assert (found.seeds, found.agreeing, found.clients) == (2, 2, 9)
    assert found.mean == pytest.approx(0.05)
    # Seeds do nothing here: what is left is Student's test of the clients.
    assert found.raw_p == pytest.approx(stats.ttest_1samp(gains, 0).pvalue)
    apart = against(reference, method("c", table, seeds=[1, 2, 3]))["c"]
    assert apart.verdict == "no test: no seed in common yet"
    assert (apart.seeds, apart.clients) == (0, 0)


def test_the_effect_size_is_the_mean_in_standard_deviations_of_single_differences():
    gains = np.array([[0.1, 0.2, 0.0, 0.1], [0.3, 0.2, 0.1, 0.2]])
    found = against(method("a", np.full((2, 4), 0.5)), method("b", 0.5 + gains))["b"]
    assert found.effect == pytest.approx(0.15 / gains.std(ddof=1))
    assert np.isnan(
        against(method("a", np.zeros((2, 4))), method("b", np.ones((2, 4))))["b"].effect
    )


def test_not_found_is_not_called_equal():
    found = against(method("a", noisy(0.5)), method("b", noisy(0.501, seed=1)))["b"]
    assert found.verdict == "no difference was found"


def test_the_reference_is_chosen_on_validation_data():
    a, b = method("a", [0.9], val=0.4), method("b", [0.1], val=0.6)
    assert default_reference([a, b]) is b
    assert default_reference([method("z", [0.1], 0.6), b]).name == "b"
    assert default_reference([]) is None


def comparisons(number, *, gain=0.0, seed_std=0.01, methods=5, clients=20, seeds=4):
    """Simulated methods with crossed effects, the best on validation data as the reference.

    Args:
        number: of comparisons.
        gain: of the first of them.
        seed_std: by which a seed moves all clients of a method, in test and in validation.
        methods, clients, seeds: sizes of a comparison.
    """
    rng = np.random.default_rng(11)
    for _ in range(number):
        true = rng.normal(0.7, 0.1, clients)
        moved = rng.normal(0, seed_std, (methods, seeds, 1))
        tables = true + moved + rng.normal(0, 0.04, (methods, seeds, clients))
        tables[0] += gain
        val = moved.mean((1, 2)) + rng.normal(0, 0.003, methods)
        val[0] += gain
        made = [method(str(k), table, val[k]) for k, table in enumerate(tables)]
        reference = default_reference(made)
        yield compare(reference, [each for each in made if each is not reference])


def any_found(found):
    return any(difference.is_significant for difference in found.values())


@pytest.mark.thorough
def test_equal_methods_are_told_apart_no_more_often_than_stated():
    """Though the reference is the one whose seeds were lucky on validation and test alike."""
    errors = sum(any_found(found) for found in comparisons(400))
    assert errors <= stats.binom.ppf(0.999, 400, 0.05)


@pytest.mark.thorough
def test_a_true_difference_is_found_and_blamed_on_the_right_method():
    found = list(comparisons(60, gain=0.1, seeds=6))
    assert np.mean([len(each) == 4 and "0" not in each for each in found]) > 0.9
    assert np.mean([each["1"].verdict == "worse" for each in found if "0" not in each]) > 0.9


@pytest.mark.parametrize(
    ("methods", "q"), [(2, 1.960), (3, 2.343), (5, 2.728), (10, 3.164)], ids=str
)
def test_the_critical_difference_is_demsars(methods, q):
    """The values of q are those of Demšar 2006, table 5a."""
    expected = q * np.sqrt(methods * (methods + 1) / (6 * 14))
    assert critical_difference(methods, 14) == pytest.approx(expected, rel=0.001)


def test_ranks_share_ties_and_leave_out_who_is_missing_somewhere():
    found = rank(
        {
            "a": [0.9, 0.8, 0.9],
            "b": [0.7, 0.8, 0.8],
            "c": [0.5, 0.5, 0.5],
            "d": [0.99, np.nan, 0.99],
        }
    )
    assert found.names == ("a", "b", "c")
    assert found.ranks.tolist() == pytest.approx([(1 + 1.5 + 1) / 3, (2 + 1.5 + 2) / 3, 3.0])
    assert found.is_tested


def test_friedmans_p_over_few_scenarios_is_exact():
    """Q ≥ 14/3 in 7 of the 36 ways to rank 3 methods in 2 more scenarios; by χ² p is 0.097.

    Ranks 1 1 2, 2 2 1, 3 3 3 have Q = 12/(3·3·4)·(16 + 25 + 81) − 3·3·4 = 14/3.
    """
    found = rank({"a": [0.9, 0.9, 0.8], "b": [0.8, 0.8, 0.9], "c": [0.1, 0.2, 0.3]})
    assert found.p == pytest.approx(7 / 36)
    assert stats.friedmanchisquare(*found.scores).pvalue == pytest.approx(0.097, abs=0.001)
    agreed = rank({"a": [0.9, 0.9, 0.9], "b": [0.8, 0.8, 0.8], "c": [0.1, 0.2, 0.3]})
    assert agreed.p == pytest.approx(1 / 36)


def test_friedmans_p_over_many_scenarios_is_near_the_asymptotic_one():
    table = np.random.default_rng(2).normal(0, 1, (5, 25)) + np.arange(5)[:, None] / 5
    found = rank({str(k): row for k, row in enumerate(table)})
    assert found.p == pytest.approx(stats.friedmanchisquare(*table).pvalue, abs=0.02)


def test_means_that_are_equal_on_paper_tie():
    """(.3 + .3 + 0) / 3 and (.1 + .2 + .3) / 3 are .2, and differ in their last bits."""
    one, other = np.mean([0.3, 0.3, 0.0]), np.mean([0.1, 0.2, 0.3])
    assert one != other
    assert settled(one) == settled(other)
    assert rank({"a": [one], "b": [other]}).ranks.tolist() == [1.5, 1.5]
    assert default_reference([method("b", [0.5], one), method("a", [0.5], other)]).name == "a"


def test_a_seed_without_a_difference_agrees_with_nobody():
    table = np.tile(np.arange(1, 9) / 100, (3, 1))
    table[1] = [0.1, -0.1, 0.2, -0.2, 0.3, -0.3, 0.05, -0.05]
    found = against(method("a", np.zeros((3, 8))), method("b", table))["b"]
    assert (found.seeds, found.agreeing) == (3, 2)
    none = against(method("a", np.zeros((2, 8))), method("b", np.zeros((2, 8))))["b"]
    assert none.agreeing == 0


def test_two_scenarios_or_two_methods_are_ranked_and_not_tested():
    assert not rank({"a": [0.9, 0.8], "b": [0.7, 0.8], "c": [0.1, 0.2]}).is_tested
    two = rank({"a": [0.9, 0.8, 0.3], "b": [0.7, 0.8, 0.2]})
    assert two.ranks.tolist() == pytest.approx([7 / 6, 11 / 6])
    assert not two.is_tested
    assert not rank({}).is_tested


def test_pairs_of_ranks_are_tested_from_five_scenarios_on():
    rng = np.random.default_rng(0)
    table = {name: 0.1 * k + rng.normal(0, 0.01, 5) for k, name in enumerate("abc")}
    four = rank({name: row[:4] for name, row in table.items()})
    assert (four.is_tested, four.has_pairs) == (True, False)
    five = rank(table)
    assert five.has_pairs
    assert five.critical_difference == critical_difference(3, 5)


@pytest.mark.thorough
@pytest.mark.parametrize("methods", [3, 5, 10])
def test_nemenyis_difference_is_too_wide_for_few_scenarios_and_right_from_five_on(methods):
    """As ranks.FEWEST_FOR_PAIRS says."""
    rng = np.random.default_rng(0)

    def error(scenarios):
        ranks = rng.random((10_000, scenarios, methods)).argsort(-1).mean(1)
        spread = ranks.max(1) - ranks.min(1)
        return (spread > critical_difference(methods, scenarios)).mean()

    assert error(3) < 0.035
    for scenarios in (5, 8, 12):
        assert 0.02 < error(scenarios) < 0.062
