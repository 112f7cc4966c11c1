"""Intervals, paired tests, corrections and ranks against independent references."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from pfltune.report import statistics
from pfltune.report.ranks import critical_difference, rank
from pfltune.report.results import ConfirmedRun, MethodResult
from pfltune.report.statistics import (
    bootstrap,
    compare,
    default_reference,
    holm,
    signed_rank,
)
from pfltune.ties import settled


def method(name, test, val=0.5, seeds=None):
    """A method whose test accuracies are ``test``, (seeds, clients)."""
    table = np.atleast_2d(np.asarray(test, dtype=float))
    runs = tuple(
        ConfirmedRun(seed, {"selected/val_accuracy": val}, {}, (), tuple(row))
        for seed, row in zip(seeds or range(len(table)), table, strict=True)
    )
    return MethodResult(name, name.title(), {}, runs, 0, 0, 0.0, ())


def against(reference, *others):
    return compare(reference, others)


@pytest.fixture
def accuracies():
    rng = np.random.default_rng(3)
    return rng.uniform(0.4, 0.9, 12) + rng.normal(0, 0.03, (4, 12))


def test_the_interval_is_that_of_scipy_which_draws_both_indices_independently(accuracies):
    seeds, clients = (np.arange(size) for size in accuracies.shape)

    def mean(s, c, axis):
        return accuracies[s[..., :, None], c[..., None, :]].mean((-2, -1))

    expected = stats.bootstrap(
        (seeds, clients), mean, vectorized=True, method="percentile", rng=1, n_resamples=9_999
    ).confidence_interval
    found = bootstrap(accuracies)
    assert (found.low, found.high) == pytest.approx(tuple(expected), abs=0.003)


def test_the_interval_has_the_width_that_the_variance_of_a_crossed_table_gives():
    """Var = σ²(seeds)/s + σ²(clients)/c + σ²(rest)/(s·c) of the doubly centred table."""
    rng = np.random.default_rng(5)
    table = (
        0.6 + rng.normal(0, 0.02, (30, 1)) + rng.normal(0, 0.1, 60) + rng.normal(0, 0.05, (30, 60))
    )
    of_seeds, of_clients = table.mean(1), table.mean(0)
    rest = table - of_seeds[:, None] - of_clients + table.mean()
    variance = of_seeds.var() / 30 + of_clients.var() / 60 + rest.var() / 1800
    half = 1.96 * np.sqrt(variance)
    found = bootstrap(table)
    assert found.low == pytest.approx(table.mean() - half, abs=0.1 * half)
    assert found.high == pytest.approx(table.mean() + half, abs=0.1 * half)


def test_a_client_that_recurs_in_every_seed_is_one_client():
    """Seeds that all say the same tell no more than one of them."""
    row = np.random.default_rng(0).uniform(0, 1, 8)
    assert bootstrap(np.tile(row, (50, 1))).low == pytest.approx(bootstrap(row[None]).low, abs=0.01)


def test_one_seed_and_one_client_have_an_interval_without_width_and_it_repeats(accuracies):
    found = bootstrap(np.array([[0.25]]))
    assert (found.low, found.high) == (0.25, 0.25)
    assert bootstrap(accuracies) == bootstrap(accuracies.copy())


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_that_of_statsmodels(seed):
    p_values = np.random.default_rng(seed).uniform(0, 0.2, 7)
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_holm_by_hand():
    """0.01·3; max(0.03, 0.02·2) = 0.04; max(0.04, 0.03·1) = 0.04."""
    assert holm([0.03, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    "differences",
    [
        [1, 2, 3, 4, 5, 6],
        [1, -2, 3, 4, 5, 6, -7, 8],
        [0, 0, 1, 1, -1, 2, 2, 3, 3],
        [0, -1, -1, -1, 2, 2, -3, 0, -4, -4],
    ],
)
def test_the_test_is_exact_for_few_clients_with_zeros_and_ties(differences):
    """All 2ⁿ signs are enumerated; zeros have ranks (Pratt) that count for nobody."""
    values = np.array(differences, dtype=float)
    ranks = stats.rankdata(np.abs(values))[values != 0]
    own = ranks[values[values != 0] > 0].sum()
    sums = np.array([np.dot(ranks, signs) for signs in product((0, 1), repeat=len(ranks))])
    expected = min(1.0, 2 * min((sums <= own).mean(), (sums >= own).mean()))
    assert signed_rank(values) == pytest.approx(expected)


def test_six_clients_all_of_which_gain_reach_one_in_thirty_two():
    found = against(method("a", np.zeros(6)), method("b", np.arange(1, 7) / 10))["b"]
    assert (found.p, found.raw_p) == (2 / 64, 2 / 64)
    assert (found.verdict, found.higher, found.lower) == ("better", 6, 0)


def test_five_clients_cannot_be_tested_and_it_is_said():
    found = against(method("a", np.zeros(5)), method("b", np.ones(5)))["b"]
    assert found.verdict == "no test: 5 clients cannot reach p < 0.05, 6 could"
    assert np.isnan(found.p)
    assert found.mean == 1.0


def test_clients_that_do_not_change_give_no_test_either():
    found = against(method("a", np.zeros(20)), method("b", [0.1] * 5 + [0] * 15))["b"]
    assert found.verdict == "no test: only 5 of 20 clients differ"


def test_what_cannot_be_tested_still_counts_in_the_correction():
    gain = np.arange(1, 11) / 100
    found = against(method("a", np.zeros(10)), method("b", gain), method("c", np.zeros(10)))
    assert found["c"].untested
    assert found["b"].p == pytest.approx(2 * 2 / 2**10)


def test_means_over_seeds_that_are_equal_on_paper_are_zeros_and_ties():
    """0.1 + 0.2 − 0.3 is 5.6e-17: no client has gained."""
    reference = method("a", [[0.1] * 8, [0.2] * 8, [0.0] * 8])
    other = method("b", [[0.0] * 8, [0.0] * 8, [0.3] * 8])
    found = against(reference, other)["b"]
    assert (found.higher, found.lower) == (0, 0)
    assert found.untested == "only 0 of 8 clients differ"


def test_pairs_are_of_the_same_seed_and_only_of_common_ones():
    rng = np.random.default_rng(1)
    table = rng.uniform(0, 1, (3, 9))
    reference = method("a", table, seeds=[10, 11, 12])
    other = method("b", table[[2, 0]] + np.arange(1, 10) / 100, seeds=[12, 10])
    found = against(reference, other)["b"]
    assert (found.seeds, found.agreeing, found.clients) == (2, 2, 9)
    assert found.mean == pytest.approx(0.05)
    assert found.raw_p == pytest.approx(2 / 2**9)
    apart = against(reference, method("c", table, seeds=[1, 2, 3]))["c"]
    assert apart.verdict == "no test: no seed in common yet"


def test_not_found_is_not_called_equal():
    table = np.array([0.1, -0.1, 0.2, -0.2, 0.3, -0.3, 0.05, -0.06])
    found = against(method("a", np.zeros(8)), method("b", table))["b"]
    assert found.verdict == "no difference was found"


def test_a_mean_that_contradicts_the_ranks_is_called_neither_better_nor_worse():
    table = np.array([0.01 + i / 10_000 for i in range(19)] + [-0.9])
    found = against(method("a", np.zeros(20)), method("b", table))["b"]
    assert found.mean < 0 < found.sign
    assert found.verdict == "different"


def test_the_reference_is_chosen_on_validation_data():
    a, b = method("a", [0.9], val=0.4), method("b", [0.1], val=0.6)
    assert default_reference([a, b]) is b
    assert default_reference([method("z", [0.1], 0.6), b]).name == "b"
    assert default_reference([]) is None


def comparisons(number, *, gain=0.0, seed_std=0.0, grain=None, methods=5, clients=20, seeds=3):
    """Simulated differences of methods to a reference that is no better than the others.

    Args:
        number: of comparisons.
        gain: of the first of them.
        seed_std: by which a seed moves all clients of a method.
        grain: number of test samples of a client, which accuracies are multiples of.
        methods, clients, seeds: sizes of a comparison.
    """
    rng = np.random.default_rng(11)
    for _ in range(number):
        true = rng.normal(0.7, 0.1, clients)
        shape = (methods, seeds, clients)
        tables = true + rng.normal(0, 0.04, shape) + rng.normal(0, seed_std, (methods, seeds, 1))
        tables[1] += gain
        if grain:
            tables = np.round(tables * grain) / grain
        reference, *others = (method(str(k), table) for k, table in enumerate(tables))
        yield against(reference, *others)


@pytest.fixture
def quick(monkeypatch):
    """Intervals are not what is simulated."""
    monkeypatch.setattr(statistics, "RESAMPLES", 2)


def any_found(found):
    return any(difference.is_significant for difference in found.values())


@pytest.mark.thorough
@pytest.mark.parametrize("grain", [None, 40], ids=["continuous", "forty test samples"])
def test_equal_methods_are_told_apart_at_about_the_stated_rate(quick, grain):
    """At most 5 % by Holm; a common reference makes tests agree, so that it may be 3 %."""
    errors = sum(any_found(found) for found in comparisons(400, grain=grain))
    low, high = stats.binom.ppf(0.001, 400, 0.03), stats.binom.ppf(0.999, 400, 0.05)
    assert low <= errors <= high


def test_a_true_difference_is_found_and_blamed_on_the_right_method(quick):
    found = list(comparisons(60, gain=0.04))
    assert np.mean([each["1"].verdict == "better" for each in found]) > 0.9
    others = [each[name].is_significant for each in found for name in "234"]
    assert np.mean(others) < 0.1


@pytest.mark.thorough
def test_what_a_seed_does_to_all_clients_is_not_in_p_as_the_docstring_admits(quick):
    rate = np.mean([any_found(found) for found in comparisons(150, seed_std=0.01)])
    assert 0.15 < rate < 0.4


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
    assert stats.friedmanchisquare(*found.accuracies).pvalue == pytest.approx(0.097, abs=0.001)
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


def test_an_interval_without_zero_beside_no_difference_is_told():
    gain = np.array([0.1, 0.1, 0.09, 0.08, 0.07, -0.01, 0.06, 0.05])
    lost = [method(name, np.zeros(8)) for name in "cde"]
    found = against(method("a", np.zeros(8)), method("b", gain), *lost)
    assert found["b"].interval.low > 0
    assert found["b"].verdict == "no difference was found"
    assert found["b"].is_at_odds
    assert not found["c"].is_at_odds


def test_two_scenarios_or_two_methods_are_ranked_and_not_tested():
    assert not rank({"a": [0.9, 0.8], "b": [0.7, 0.8], "c": [0.1, 0.2]}).is_tested
    two = rank({"a": [0.9, 0.8, 0.3], "b": [0.7, 0.8, 0.2]})
    assert two.ranks.tolist() == pytest.approx([7 / 6, 11 / 6])
    assert not two.is_tested
    assert not rank({}).is_tested


def test_so_few_clients_that_no_correction_could_be_passed_are_told(monkeypatch):
    from pfltune.report.analysis import Analysis

    def too_small(clients, methods):
        differences = {str(k): SimpleNamespace(clients=clients) for k in range(methods)}
        return Analysis.is_too_small.fget(SimpleNamespace(differences=differences))

    # 5 · 2/2⁷ = 0.078, 5 · 2/2⁸ = 0.039
    assert [too_small(7, 5), too_small(8, 5), too_small(0, 0)] == [True, False, False]
