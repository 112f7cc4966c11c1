"""The analysis with crossed effects: by hand, against scipy and statsmodels, and by simulation."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from pfltune.report.crossed import Crossed, Part, crossed, tail

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import error_rates

# Means of seeds: 2, 4, 9, of clients: 3, 4, 5, 8; of all: 5.
SMALL = np.array([[[0.0, 1.0, 2.0, 5.0], [2.0, 3.0, 4.0, 7.0], [7.0, 8.0, 9.0, 12.0]]])


def test_the_variance_of_the_mean_is_the_sum_of_those_of_the_margins_by_hand():
    """Seeds: (9 + 1 + 16)/2 / 3 = 13/3. Clients: (4 + 1 + 0 + 9)/3 / 4 = 14/12."""
    found = crossed([SMALL])
    assert found.mean == 5.0
    assert [(part.factor, part.freedom) for part in found.parts] == [("seeds", 2), ("clients", 3)]
    assert [part.variance for part in found.parts] == pytest.approx([13 / 3, 14 / 12])
    assert found.standard_error == pytest.approx(np.sqrt(13 / 3 + 14 / 12))
    assert found.over == ("seeds", "clients")


def test_owens_bootstrap_has_populations_variances_and_counts_what_is_left_once_more():
    """Resampling n of n shrinks each margin's variance by (n − 1)/n."""
    rng = np.random.default_rng(0)
    table = rng.normal(size=(1, 4, 6)) + rng.normal(size=(1, 4, 1))
    seeds = rng.multinomial(4, np.full(4, 1 / 4), 200_000) / 4
    clients = rng.multinomial(6, np.full(6, 1 / 6), 200_000) / 6
    means = ((seeds @ table[0]) * clients).sum(1)
    parts = crossed([table]).parts
    rest = table[0] - table[0].mean(0) - table[0].mean(1)[:, None] + table.mean()
    # What is left is drawn both ways and adds its own share: the mean of its squares / n.
    expected = parts[0].variance * 3 / 4 + parts[1].variance * 5 / 6 + (rest**2).mean() / 24
    assert means.var() == pytest.approx(expected, rel=0.02)


def test_where_two_factors_do_nothing_together_it_is_that_of_the_mixed_model_of_statsmodels():
    """REML of a balanced table: σ²(seeds)/s + σ²(clients)/c + σ²(rest)/sc; ours counts rest twice.

    The components by the method of moments are REML's where none is negative.
    """
    import pandas as pd
    import statsmodels.formula.api as smf

    rng = np.random.default_rng(4)
    table = rng.normal(size=(6, 1)) + 2 * rng.normal(size=(1, 8)) + rng.normal(size=(6, 8))
    rows = [(s, c, table[s, c]) for s in range(6) for c in range(8)]
    data = pd.DataFrame(rows, columns=["seed", "client", "y"]).assign(one=1)
    model = smf.mixedlm(
        "y ~ 1", data, groups="one", re_formula="0",
        vc_formula={"seed": "0 + C(seed)", "client": "0 + C(client)"},
    ).fit(reml=True)  # fmt: skip
    of_clients, of_seeds = model.vcomp
    rest = model.scale
    whole = of_seeds / 6 + of_clients / 8 + rest / 48
    found = crossed([table[None]])
    assert found.standard_error**2 == pytest.approx(whole + rest / 48, rel=1e-3)
    assert model.bse["Intercept"] ** 2 == pytest.approx(whole, rel=1e-3)


def test_several_searches_are_a_factor_and_the_draw_takes_the_place_of_its_clients():
    rng = np.random.default_rng(1)
    draws = [rng.normal(size=(2, 3, clients)) for clients in (4, 7, 5)]
    found = crossed(draws)
    means = np.stack([draw.mean(2) for draw in draws])  # draws, searches, seeds
    assert found.over == ("searches", "seeds", "draws")
    assert found.mean == pytest.approx(means.mean())
    expected = [
        means.mean((0, 2)).var(ddof=1) / 2,
        means.mean((0, 1)).var(ddof=1) / 3,
        means.mean((1, 2)).var(ddof=1) / 3,
    ]
    assert [part.variance for part in found.parts] == pytest.approx(expected)
    assert [part.freedom for part in found.parts] == [1, 2, 2]
    each = crossed(draws, searched_each=True)
    assert each.over == ("seeds", "draws"), "a draw's searches are its own"
    assert each.parts == found.parts[1:]


def test_one_factor_is_the_t_test_of_scipy():
    clients = np.array([0.3, -0.1, 0.4, 0.25, 0.6])
    part = Part("clients", float(clients.var(ddof=1) / 5), 4)
    found = Crossed(float(clients.mean()), (part,))
    expected = stats.ttest_1samp(clients, 0)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-9)
    low, high = expected.confidence_interval(0.99)
    assert found.margin(0.01) == pytest.approx((high - low) / 2, rel=1e-7)


@pytest.mark.parametrize("freedoms", [(1, 9), (2, 3), (2, 99), (9, 9), (4, 999)])
@pytest.mark.parametrize("scales", [(1.0, 1.0), (0.3, 0.95), (0.02, 1.0), (1.0, 0.02)])
def test_two_factors_are_the_sum_of_two_ts_by_quadrature(freedoms, scales):
    one, other = (stats.t(freedom) for freedom in freedoms)
    if scales[1] > scales[0]:  # quadrature over the narrow one
        one, other, scales = other, one, scales[::-1]
    for distance in (0.5, 2.0, 4.0, 9.0):

        def density(y, distance=distance):
            return other.pdf(y) * 2 * one.sf((distance - scales[1] * y) / scales[0])

        ends = [-np.inf, -100, -10, -1, 1, 10, 100, np.inf]
        expected = sum(integrate.quad(density, *pair, limit=400)[0] for pair in pairwise(ends))
        order = np.array([scales if one.args == (freedoms[0],) else scales[::-1]])
        found = tail(np.array([distance]), order, freedoms)
        assert found[0] == pytest.approx(expected, rel=0.01, abs=1e-9)


def test_three_factors_are_the_sum_of_three_ts_by_drawing():
    rng = np.random.default_rng(0)
    scales, freedoms = np.array([[0.5, 0.4, 0.7]]), (2, 3, 9)
    drawn = np.abs(sum(s * rng.standard_t(f, 10**6) for s, f in zip(scales[0], freedoms)))  # noqa: B905
    for distance in (0.0, 0.5, 1.0, 3.0, 8.0):
        found = tail(np.array([distance]), scales, freedoms)[0]
        share = (drawn >= distance).mean()
        assert found == pytest.approx(share, abs=5 * np.sqrt(share / 10**6) + 1e-9)


def test_of_no_mean_there_is_no_tail():
    assert tail(np.empty(0), np.empty((0, 3)), (2, 3, 9)).shape == (0,)


@given(
    st.floats(0.01, 1), st.floats(0, 1), st.integers(1, 9), st.integers(3, 99),
    st.floats(0, 5), st.floats(0.0005, 0.5),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_an_interval_leaves_0_out_exactly_where_p_is_below_its_alpha(one, two, f, g, mean, alpha):
    found = Crossed(mean, (Part("seeds", one**2, f), Part("clients", two**2, g)))
    if abs(found.p - alpha) > 1e-9:
        assert (found.margin(alpha) < mean) == (found.p < alpha)


@given(st.floats(0.05, 1), st.floats(0.05, 1), st.integers(1, 5), st.integers(3, 30))
@settings(max_examples=40, deadline=None)
def test_p_lies_between_those_of_the_two_known_bounds(one, two, f, g):
    """Above t with all degrees of freedom, below t with the fewest and both scales added."""
    found = Crossed(2.0, (Part("seeds", one**2, f), Part("clients", two**2, g)))
    assert found.p >= 2 * stats.t.sf(2.0 / found.standard_error, f + g) - 1e-9
    assert found.p <= 2 * stats.t.sf(2.0 / (one + two), min(f, g)) + 1e-9


def test_searches_of_which_there_is_one_are_not_generalised_over():
    assert crossed([SMALL]).over == ("seeds", "clients")
    twice = crossed([np.concatenate([SMALL, SMALL + 1])])
    assert twice.over == ("searches", "seeds", "clients")
    assert twice.p > crossed([SMALL]).p


def test_a_margin_is_known_for_however_many_pairs():
    """Two seeds have one degree of freedom: t is then Cauchy's, whose quantile is nearly 2/(πα)."""
    table = np.array([[[1.0, 1.0, 1.0, 1.0], [3.0, 3.0, 3.0, 3.0]]])
    alpha = 0.05 / (300 * 299 / 2)
    assert crossed([table]).margin(alpha) == pytest.approx(1 / np.tan(np.pi * alpha / 2), rel=1e-6)


def test_what_cannot_be_tested_says_why():
    def why(*tables):
        found = crossed(list(tables))
        assert np.isnan(found.p)
        return found.untested

    assert why() == "no seed in common yet"
    assert why(np.empty((1, 0, 4))) == "no seed in common yet"
    assert why(SMALL[:, :, :3]) == "3 clients are too few, 4 are needed"
    assert why(SMALL[:, :, :1]) == "1 client is too few, 4 are needed"
    assert why(SMALL[:, :1]) == "one seed does not tell what a seed does to all clients"
    assert why(np.zeros((1, 3, 8))) == "no client differs"
    assert why(*[np.zeros((1, 3, 8))] * 2) == "no draw differs"
    assert why(np.full((1, 3, 8), 0.1)) == "all differences are the same"
    one_seed = crossed([SMALL[:, :1]])
    assert (one_seed.mean, one_seed.over) == (2.0, ("clients",))
    assert np.isnan(crossed([SMALL[:, :1, :1]]).margin(0.05))
    assert crossed([np.full((1, 3, 8), 0.1)]).margin(0.05) == 0.0


def test_differences_that_are_none_on_paper_do_not_scatter():
    """0.1 + 0.2 − 0.3 is 5.6e-17."""
    assert crossed([np.full((1, 3, 8), 0.1 + 0.2 - 0.3)]).untested == "no client differs"


WORST = [
    error_rates.Design(100, 2, client=0, seed=8),
    error_rates.Design(100, 3, client=5, seed=8),
    error_rates.Design(10, 3, client=5.1, seed=0.6),
    error_rates.Design(64, 3, client=5.1, seed=2),
    error_rates.Design(4, 10, client=15, rest=0.1),
    error_rates.Design(64, 3, 3, client=5.1, seed=0.6, search=6),
    error_rates.Design(10, 3, 1, 5, seed=2, draw=6),
    error_rates.Design(10, 3, seed=2, shape="heavy"),
    error_rates.Design(10, 3, seed=2, shape="discrete"),
]


@pytest.mark.thorough
@pytest.mark.parametrize("design", WORST, ids=error_rates.told)
def test_equal_methods_are_told_apart_no_more_often_than_stated(design):
    number = 3_000
    once, all_pairs = error_rates.found_rate(
        error_rates.crossed_p, design, number, (0.05, 0.05 / 28)
    )
    assert once * number <= stats.binom.ppf(0.9999, number, 0.05)
    assert all_pairs * number <= stats.binom.ppf(0.9999, number, 0.05 / 28)


@pytest.mark.thorough
def test_the_tests_that_were_not_taken_err_more_often():
    """Clients alone, and Satterthwaite where a few seeds have the largest part."""
    seeds = error_rates.Design(100, 2, client=15, seed=8, rest=0.1)
    common = error_rates.Design(64, 3, client=5.1, seed=2)

    def rate(test, design):
        return error_rates.found_rate(test, design, 1_000, (0.05,))[0]

    assert rate(error_rates.wilcoxon_p, common) > 0.15
    assert rate(error_rates.satterthwaite_p, seeds) > 0.09
    assert rate(error_rates.bootstrap_p, seeds) > 0.2


@pytest.mark.thorough
def test_an_effect_of_the_search_is_in_p_only_with_several_searches():
    """One search: its configurations are what p is about, and it says so."""
    one = error_rates.Design(64, 10, client=5.1, search=2, rest=8.5)
    (rate,) = error_rates.found_rate(error_rates.crossed_p, one, 2_000, (0.05,))
    assert rate > 0.2
    (rate,) = error_rates.found_rate(
        error_rates.crossed_p, replace(one, searches=3), 2_000, (0.05,)
    )
    assert rate <= stats.binom.ppf(0.9999, 2_000, 0.05) / 2_000


@pytest.mark.thorough
def test_a_true_difference_is_found():
    design = error_rates.Design(30, 5, client=5.1, seed=0.6, gain=10)
    once, all_pairs = error_rates.found_rate(
        error_rates.crossed_p, design, 1_000, (0.05, 0.05 / 28)
    )
    assert once > 0.98
    assert all_pairs > 0.85
