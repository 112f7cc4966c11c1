"""Races as they are dealt: workers, delays, kills and extensions change nothing.

Ray is not started; tests/test_search.py stands in for its controller.
"""

import itertools
import json
import math
from collections import defaultdict
from statistics import fmean

import pytest
import test_search
from hypothesis import given, settings
from hypothesis import strategies as st
from test_search import CRASH, DIVERGE, METHODS, Simulation, Store, make_plan

from pfltune.budget import MAX_SEEDS, Budget
from pfltune.errors import UserError
from pfltune.racing.race import race
from pfltune.randomness import derive
from pfltune.search.candidate import confirmation_seed
from pfltune.tracking.events import TrialEnded, TrialStarted

SMALL = {"trials": 2, "generation": 2, "eta": 2}
LEVELS = {"fedavg": 0.5, "fedperfix": 0.53, "fedrep": 0.3}


def noise(candidate) -> float:
    """Of a seed, up to 2 points."""
    return derive(candidate.seed, f"noise of {candidate.method}") % 1000 / 50_000


@pytest.fixture(autouse=True)
def tests_with_noise(monkeypatch):
    """A method's level and its seed's noise decide its test accuracy."""
    usual = test_search._result

    def result(trial, number, plan):
        found = usual(trial, number, plan)
        if trial.candidate.stage == "confirm" and "selected" in found:
            level = LEVELS[trial.candidate.method] + noise(trial.candidate)
            found["selected"]["test"] = [level - 0.1, level + 0.1]
        return found

    monkeypatch.setattr(test_search, "_result", result)


def plan_of(decide, methods=METHODS, seeds=2, most=12, **more):
    budget = {**SMALL, "seeds": seeds, "decide": decide, "max_seeds": most, **more}
    return make_plan(2, 1, methods, **budget)


def confirmed(simulation) -> dict[str, list[float | None]]:
    """The test accuracy of each method by the number of its seed, mean over studies."""
    found: dict[str, dict[int, list]] = {m: defaultdict(list) for m in simulation.plan.methods}
    ended = {e.trial: e for e in simulation.lines if isinstance(e, TrialEnded)}
    for event in {e.trial: e for e in simulation.lines if isinstance(e, TrialStarted)}.values():
        if event.stage == "confirm":
            assert event.seed == confirmation_seed(0, event.index)
            selected = ended[event.trial].selected
            test = sum(selected["test"]) / 2 if selected else math.nan
            found[event.method][event.index].append(test)
    for tests in found.values():
        assert sorted(tests) == list(range(len(tests)))
        assert len({len(each) for each in tests.values()}) <= 1, "as many studies each"
    return {
        m: [None if math.isnan(sum(tests[n])) else fmean(tests[n]) for n in range(len(tests))]
        for m, tests in found.items()
    }


@pytest.mark.parametrize("decide", ["best", "order"])
def test_the_seeds_of_each_method_are_those_that_the_race_asks_for(decide):
    simulation = Simulation(plan_of(decide), workers=3, seed=1).run()
    figures = confirmed(simulation)
    found = race(decide, 12, figures)
    assert found.is_over
    assert max(map(len, figures.values())) == found.seeds
    for method, tests in figures.items():
        seeds = len(tests)
        part = {name: values[: seeds - 1] for name, values in figures.items()}
        assert seeds == 2 or method in race(decide, 12, part).runners
    assert found.is_decided
    least = 7 if decide == "best" else 6
    assert len(figures["fedrep"]) == least
    assert len(figures["fedavg"]) == len(figures["fedperfix"]) >= least


def test_without_a_race_every_method_has_its_seeds():
    simulation = Simulation(make_plan(2, 1, **SMALL, seeds=3), workers=2).run()
    assert {len(tests) for tests in confirmed(simulation).values()} == {3}


@pytest.mark.parametrize("decide", ["best", "order"])
@pytest.mark.parametrize("workers", [2, 4])
def test_workers_and_delays_change_nothing(decide, workers):
    alone = Simulation(plan_of(decide)).run().outcome()
    for seed in (1, 2):
        assert Simulation(plan_of(decide), workers, seed).run().outcome() == alone


@settings(max_examples=15, deadline=None)
@given(
    decide=st.sampled_from(["best", "order"]),
    workers=st.integers(2, 8),
    seed=st.integers(0, 10_000),
    first=st.integers(1, 4),
    most=st.integers(7, 9),
    finalists=st.integers(0, 2),
    studies=st.integers(1, 2),
    broken=st.dictionaries(
        st.tuples(st.sampled_from(METHODS), st.integers(0, 5)), st.sampled_from([CRASH, DIVERGE])
    ),
)
def test_no_race_depends_on_workers_delays_or_failures(
    decide, workers, seed, first, most, finalists, studies, broken
):
    more = {"finalists": finalists, "finalist_seeds": 1, "studies": studies}
    plan = plan_of(decide, seeds=first, most=most, **more)
    failures = {(method, "confirm", index): how for (method, index), how in broken.items()}
    runs = [Simulation(plan, w, s, failures).run() for w, s in ((1, 0), (workers, seed))]
    assert runs[0].outcome() == runs[1].outcome()
    figures = confirmed(runs[0])
    assert race(decide, most, figures).is_over
    assert all(first <= len(tests) <= most for tests in figures.values())


@pytest.mark.parametrize("decide", ["best", "order"])
def test_a_race_that_was_killed_anywhere_goes_on_to_the_same_end(decide):
    plan = plan_of(decide)
    whole = Simulation(plan, workers=2, seed=5).run()
    for cut in range(1, len(whole.lines), 7):
        again = Simulation(plan, workers=3, seed=cut, lines=whole.lines[:cut]).run()
        assert again.outcome() == whole.outcome()


@pytest.mark.parametrize("decide", ["best", "order"])
def test_an_extended_race_is_one_that_was_asked_for_at_once(decide, monkeypatch):
    """Two methods that are close are given up, and go on when there are more seeds."""
    monkeypatch.setitem(LEVELS, "fedperfix", 0.5)
    store = Store()
    less = Simulation(plan_of(decide, most=8), workers=2, store=store).run()
    assert not race(decide, 8, confirmed(less)).is_decided
    more = Simulation(plan_of(decide, most=20), workers=2, seed=3, store=store).run()
    at_once = Simulation(plan_of(decide, most=20)).run()
    assert more.outcome() == at_once.outcome()
    longest = [max(map(len, confirmed(each).values())) for each in (less, more)]
    assert longest[0] < longest[1]
    known = {t.key for t in less.trials}
    assert not known & {trial.key for trial in more.trials}, "nothing is trained twice"


def test_a_method_without_a_configuration_is_not_waited_for():
    failures = {("fedrep", "search", index): DIVERGE for index in range(2)}
    simulation = Simulation(plan_of("best"), workers=2, failures=failures).run()
    figures = confirmed(simulation)
    assert figures.pop("fedrep") == []
    found = race("best", 12, figures)
    assert found.is_over
    assert found.seeds >= 6


def test_a_race_of_nobody_ends():
    failures = {(m, "search", i): DIVERGE for m, i in itertools.product(METHODS, range(2))}
    simulation = Simulation(plan_of("best"), workers=2, failures=failures).run()
    assert not any(confirmed(simulation).values())


# ------------------------------------------------------------------------------------ the budget


def test_a_budget_says_how_many_seeds_there_can_be():
    budget = Budget(**SMALL, decide="best")
    assert (budget.seeds, budget.max_seeds, budget.most_seeds) == (5, MAX_SEEDS, 12)
    assert budget.planned()["confirm"] == 12
    assert Budget(**SMALL).planned()["confirm"] == 5
    assert Budget.model_validate(json.loads(budget.model_dump_json())) == budget


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"max_seeds": 9}, "say with decide"),
        ({"decide": "best", "seeds": 9, "max_seeds": 8}, "at least seeds=9"),
        ({"decide": "worst"}, "'best' or 'order'"),
    ],
)
def test_a_budget_that_cannot_be_is_refused(wrong, told):
    with pytest.raises(ValueError, match=told):
        Budget(**SMALL, **wrong)


def test_a_race_grows_and_keeps_its_question():
    budget = Budget(**SMALL, decide="best")
    more = budget.grown(None, None, None, max_seeds=20)
    assert more.max_seeds == 20
    with pytest.raises(UserError, match="20 max seeds; 15 would be fewer"):
        more.grown(None, None, None, max_seeds=15)
    with pytest.raises(UserError, match="order is another question"):
        budget.grown(None, None, None, decide="order")
    plain = Budget(**SMALL)
    assert plain.grown(None, None, None, decide="order").max_seeds == 12
    with pytest.raises(UserError, match="say with decide"):
        plain.grown(None, None, None, max_seeds=20)
