"""How large a difference must be to be told apart: by hand, and by drawing comparisons."""

import sys
from dataclasses import replace
from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy import optimize, stats

from pfltune.report.power import MOST_SEEDS, POWER, Scatter, scatter_of
from pfltune.report.results import ConfirmedRun, MethodResult

sys.path.insert(0, str(Path(__file__).parent / "benchmarks"))
import error_rates

# Means of seeds: 2, 4, 9, of clients: 3, 4, 5, 8; nothing is left.
SMALL = np.array([[0, 1, 2, 5], [2, 3, 4, 7], [7, 8, 9, 12]]) / 100
DEFAULT = Scatter(0.006**2, 0.051**2, 0.085**2, seeds=3, clients=10)
"""Of the default comparison, see docs/protocol.md."""


def method(name, table, study=0) -> MethodResult:
    runs = tuple(
        ConfirmedRun(seed, {}, {}, (), tuple(row), study=study) for seed, row in enumerate(table)
    )
    return MethodResult(name, name.title(), {}, runs, 0, 0, 0.0, ())


def test_the_scatter_of_one_pair_by_hand():
    """Seeds: (9 + 1 + 16)/2 = 13. Clients: (4 + 1 + 0 + 9)/3."""
    found = scatter_of([method("a", SMALL), method("b", np.zeros((3, 4)))])
    assert (found.seeds, found.clients) == (3, 4)
    assert found.seed == pytest.approx(13e-4)
    assert found.client == pytest.approx(14 / 3 * 1e-4)
    assert found.rest == pytest.approx(0, abs=1e-12)


def test_means_over_all_pairs_are_the_variances_that_were_drawn():
    rng = np.random.default_rng(0)
    size = (50, 8, 20)
    tables = (
        0.5
        + 0.02 * rng.normal(size=(50, 8, 1))
        + 0.03 * rng.normal(size=(50, 1, 20))
        + 0.05 * rng.normal(size=size)
    )
    found = scatter_of([method(str(n), table) for n, table in enumerate(tables)])
    drawn = [2 * deviation**2 for deviation in (0.02, 0.03, 0.05)]
    assert [found.seed, found.client, found.rest] == pytest.approx(drawn, rel=0.25)


def test_a_seed_that_is_lost_leaves_its_pairs_out():
    whole = [method("a", SMALL), method("b", np.zeros((3, 4)))]
    lost = method("c", np.full((2, 4), 0.3))
    assert scatter_of([*whole, lost]) == scatter_of(whole)


def test_without_two_methods_seeds_or_scatter_nothing_is_said():
    still = method("b", np.zeros((3, 4)))
    assert scatter_of([]) is None
    assert scatter_of([still]) is None
    assert scatter_of([method("a", np.full((3, 4), 0.1)), still]) is None, "nothing scatters"
    assert scatter_of([method("a", SMALL[:1]), method("b", np.zeros((1, 4)))]) is None
    assert scatter_of([method("a", SMALL[:, :3]), method("b", np.zeros((3, 3)))]) is None
    assert scatter_of([method("a", SMALL), replace(still, runs=())]) is None
    twice = replace(still, runs=(*still.runs, *method("b", SMALL, study=1).runs))
    assert scatter_of([replace(twice, name="a"), twice]) is None, "several searches"


def test_with_ever_more_seeds_it_is_students_t_over_clients():
    """Whose power is that of the noncentral t."""
    needed = stats.t.isf(0.05 / 28 / 2, 9)
    shift = optimize.brentq(lambda s: stats.nct.sf(needed, 9, s) - POWER, 0, 20)
    assert DEFAULT.told_apart(None, 28) == pytest.approx(shift * 0.051 / sqrt(10), rel=0.02)
    assert DEFAULT.told_apart(100_000, 28) == pytest.approx(DEFAULT.told_apart(None, 28), rel=0.02)


def test_more_seeds_and_fewer_pairs_tell_smaller_differences_apart():
    falling = [DEFAULT.told_apart(seeds, 28) for seeds in range(2, 12)]
    assert all(np.diff(falling) < 0)
    assert falling[-1] > DEFAULT.told_apart(None, 28)
    assert DEFAULT.told_apart(3, 1) < DEFAULT.told_apart(3, 28)


def test_the_number_of_seeds_is_the_fewest_that_do():
    seeds = DEFAULT.seeds_for(0.1, 28)
    assert DEFAULT.told_apart(seeds, 28) <= 0.1 < DEFAULT.told_apart(seeds - 1, 28)
    assert DEFAULT.seeds_for(0.9, 1) == 2
    assert DEFAULT.seeds_for(0.05, 28) is None
    close = DEFAULT.told_apart(None, 28) + 1e-3
    assert DEFAULT.seeds_for(close, 28) == MOST_SEEDS + 1


@pytest.mark.thorough
@pytest.mark.parametrize(("clients", "seeds"), [(10, 3), (10, 8), (30, 5), (100, 3), (100, 10)])
@pytest.mark.parametrize("pairs", [1, 28])
def test_such_a_difference_is_told_apart_in_four_of_five_comparisons(clients, seeds, pairs):
    """That of a comparison whose scatter is the true one."""
    points = 100 * replace(DEFAULT, clients=clients).told_apart(seeds, pairs)
    design = error_rates.Design(clients, seeds, client=5.1, seed=0.6, rest=8.5, gain=points)
    (rate,) = error_rates.found_rate(error_rates.crossed_p, design, 1_000, (0.05 / pairs,))
    assert 0.75 < rate < 0.85
