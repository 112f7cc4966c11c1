"""Accuracy within a budget, on figures that are computed by hand."""

import csv
import io
import math
from dataclasses import replace

import numpy as np
import pytest
from comparisons import Fake, record
from hypothesis import given
from hypothesis import strategies as st

import pfltune
from pfltune import figures
from pfltune.errors import UserError
from pfltune.federation.trial_budget import budget_of
from pfltune.report.analysis import analyse
from pfltune.report.columns import cells, within_columns
from pfltune.report.results import ConfirmedRun, MethodResult, read_results
from pfltune.report.spending import SHARES, budgets, curve, in_words, within
from pfltune.report.spreadsheet import csv_within
from pfltune.tracking.store import Store

MB = figures.TOTAL


def run(seed, spent, val, test) -> ConfirmedRun:
    """A trial that was evaluated after each of its rounds."""
    numbered = [list(enumerate(each, start=1)) for each in (val, test, spent)]
    names = ("val/accuracy", "test/accuracy", MB.name)
    metrics = {MB.name: spent[-1]}
    return ConfirmedRun(seed, metrics, dict(zip(names, numbered, strict=True)))


def method(*runs) -> MethodResult:
    return MethodResult("one", "One", {}, runs, 0, 0, 0.0, ())


TWO = method(
    run(1, [2, 4, 6, 8], [0.1, 0.4, 0.3, 0.4], [0.2, 0.5, 0.9, 0.6]),
    run(2, [3, 6, 9], [0.1, 0.2, 0.6], [0.0, 0.3, 0.7]),
)


@pytest.mark.parametrize(
    ("budget", "values"),
    [
        (1, (math.nan, math.nan)),
        (2, (0.2, math.nan)),
        (3, (0.2, 0.0)),
        (5.9, (0.5, 0.0)),
        (6, (0.5, 0.3)),  # by validation .4 is the best: not .9 of the third round
        (8, (0.5, 0.3)),  # the first of two equals
        (9, (0.5, 0.7)),
        (100, (0.5, 0.7)),
    ],
)
def test_the_round_is_chosen_by_validation_among_those_within_the_budget(budget, values):
    found = within(TWO, MB, budget)
    assert found.values == pytest.approx(values, nan_ok=True)
    assert found.mean == pytest.approx(np.mean(values), nan_ok=True)
    assert found.std == pytest.approx(np.std(values, ddof=1), nan_ok=True)
    assert found.ended == (budget >= 9)


def test_the_curve_has_a_point_wherever_a_seed_is_evaluated():
    assert curve(TWO, MB) == [
        (3, pytest.approx(0.1)),
        (4, pytest.approx(0.25)),
        (6, pytest.approx(0.4)),
        (8, pytest.approx(0.4)),
        (9, pytest.approx(0.6)),
    ]


def test_the_curve_is_what_is_within_each_place():
    rng = np.random.default_rng(0)
    runs = [
        run(seed, np.cumsum(rng.integers(0, 3, 30)).tolist(), *rng.uniform(size=(2, 30)).round(1))
        for seed in range(4)
    ]
    one = method(*runs)
    found = curve(one, MB)
    assert found == [(place, pytest.approx(within(one, MB, place).mean)) for place, _ in found]
    assert len(found) > 20


def test_over_several_studies_the_spread_is_that_of_an_accuracy():
    """Runs that share neither study nor seed: (.2 − .8)²/2 and (.4 − .4)²/2, whose mean is .09."""
    values = {(0, 1): 0.2, (0, 2): 0.4, (1, 1): 0.4, (1, 2): 0.8}
    runs = [replace(run(seed, [1], [v], [v]), study=study) for (study, seed), v in values.items()]
    found = within(method(*runs), MB, 1)
    assert found.mean == pytest.approx(0.45)
    assert found.std == pytest.approx(0.3)


def test_without_runs_or_without_the_figure_there_is_nothing():
    assert math.isnan(within(method(), MB, 5).mean)
    assert curve(method(), MB) == []
    assert curve(TWO, figures.PFLOP) == [], "an older journal does not tell of operations"
    assert math.isnan(within(TWO, figures.PFLOP, 1.0).mean)
    assert not within(TWO, figures.PFLOP, 1.0).ended


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=8),
    st.floats(0, 20),
    st.floats(0, 20),
)
def test_more_budget_never_chooses_a_round_that_validates_worse(val, low, high):
    low, high = sorted((low, high))
    one = method(run(1, list(range(1, len(val) + 1)), val, val))
    small, large = (within(one, MB, each).mean for each in (low, high))
    assert math.isnan(small) or large >= small


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Two methods, of which the second sends ten times as much; evaluated in rounds 2 and 4."""
    results = tmp_path_factory.mktemp("within")
    fakes = {
        "fedavg": Fake("FedAvg", np.array([[0.4, 0.6], [0.5, 0.7]]), up_mb=1.0),
        "fedper": Fake("FedPer", np.array([[0.8, 0.6], [0.8, 0.8]]), up_mb=10.0),
    }
    record(Store(results), "two", fakes, mirrored=False)
    return read_results(results, "two")


def test_a_table_has_budgets_up_to_what_was_spent_at_most(told):
    """80 MB of FedPer and 8 of FedAvg in 4 rounds; accuracy in round 2 is √½ of that in round 4."""
    assert budgets(told, MB) == (8, 16, 40, 80)
    assert budgets(told, figures.STEPS) == (5, 10, 24, 48)
    assert budgets(told, figures.PFLOP) == ()
    columns = within_columns(analyse(told), MB)
    assert [column.title for column in columns] == ["8 MB", "16 MB", "40 MB", "80 MB"]
    rows = {m.name: cells(m, columns) for m in told.methods}
    assert rows["fedavg"] == ["55.00 *"] * 4
    half = f"{75 * math.sqrt(0.5):.2f}"
    assert rows["fedper"] == ["–", "–", half, "75.00 *"]
    assert columns[2].winners(told.methods) == {"fedavg"}
    assert columns[3].winners(told.methods) == {"fedper"}


def test_under_a_budget_the_table_has_shares_of_it(told):
    scenario = told.record.scenario
    protocol = scenario.protocol.model_copy(update={"budget": budget_of("200MB")})
    changed = scenario.model_copy(update={"protocol": protocol})
    spent = replace(told, record=told.record.model_copy(update={"scenario": changed}))
    assert budgets(spent, MB) == tuple(200 * share for share in SHARES)
    assert budgets(spent, figures.STEPS) == (5, 10, 24, 48)


def test_of_a_few_steps_no_budget_stands_there_twice(told):
    scenario = told.record.scenario
    protocol = scenario.protocol.model_copy(update={"budget": budget_of("5steps")})
    changed = scenario.model_copy(update={"protocol": protocol})
    few = replace(told, record=told.record.model_copy(update={"scenario": changed}))
    assert budgets(few, figures.STEPS) == (1, 3, 5)


def test_the_file_has_all_digits(told):
    rows = list(csv.DictReader(io.StringIO(csv_within(told))))
    (row,) = [
        r for r in rows if (r["method"], r["figure"], r["budget"]) == ("fedper", MB.name, "40.0")
    ]
    assert float(row["test/accuracy"]) == pytest.approx(0.75 * math.sqrt(0.5))
    std = np.std([0.7 * math.sqrt(0.5), 0.8 * math.sqrt(0.5)], ddof=1)
    assert float(row["test/accuracy_std_seeds"]) == pytest.approx(std)
    assert (row["seeds"], row["ended"]) == ("2", "False")


def test_python_has_the_table_and_any_budget(told, tmp_path):
    found = pfltune.Results(told, tmp_path)
    assert set(found.within["figure"]) == {MB.name, "train/total_steps", "time/total_s"}
    series = found.best_within("0.04GB")
    assert series["fedavg"] == pytest.approx(0.55)
    assert series["fedper"] == pytest.approx(0.75 * math.sqrt(0.5))
    assert math.isnan(found.best_within("10steps")["fedavg"])
    with pytest.raises(UserError, match="number with one of MB"):
        found.best_within("much")


@pytest.mark.parametrize(
    ("figure", "amount", "words"),
    [
        (MB, 26, "26 MB"),
        (MB, 2600, "2.6 GB"),
        (figures.STEPS, 20_000, "20,000 steps"),
        (figures.PFLOP, 1.5e-5, "15 GFLOP"),
        (figures.SECONDS, 5400, "1.5 h"),
        (figures.SECONDS, 0.25, "0.25 s"),
    ],
)
def test_amounts_are_told_in_the_unit_that_suits(figure, amount, words):
    assert in_words(figure, amount) == words
