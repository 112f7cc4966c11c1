"""Finalists: which they are, which one is chosen, and that nothing but their figures decides it."""

import json
import math
import statistics

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_search import (
    CRASH,
    DIVERGE,
    METHODS,
    Simulation,
    Store,
    killed_after,
    make_plan,
    store_of,
    told_of,
)
from trained import compare_small

import pfltune
from pfltune.audit.certificate import canonical
from pfltune.budget import Budget
from pfltune.ranking import Course, Outcome
from pfltune.report.choosing import chosen_finalist, fall_of
from pfltune.report.results import read_results
from pfltune.report.searching import search_of
from pfltune.report.tuning import words as search_words
from pfltune.seal import digest
from pfltune.search.candidate import Candidate, validation_seed
from pfltune.search.choosing import Choosing, choice, different

pytestmark = pytest.mark.usefixtures("png_alone")

PLAN = make_plan(
    every=2, methods=METHODS[:2], trials=7, generation=4, eta=2, seeds=1, finalists=3,
    finalist_seeds=2,
)  # fmt: skip
FAILING = {
    ("fedavg", "choose", 1): DIVERGE,
    ("fedavg", "choose", 2): CRASH,
    ("fedperfix", "choose", 0): CRASH,
    ("fedperfix", "search", 5): DIVERGE,
}


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture(scope="module")
def alone():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return Simulation(PLAN).run()


@pytest.fixture(scope="module")
def failing():
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return Simulation(PLAN, failures=FAILING).run()


def searched(*knobs):
    return [Candidate("m", "search", n, 0, 7, each) for n, each in enumerate(knobs)]


# ------------------------------------------------------------------------------ the rules alone


def test_finalists_came_furthest_then_highest_and_are_different_configurations():
    trials = searched({"a": 1}, {"a": 2}, {"a": 3}, {"a": 1}, {"a": 4}, {"a": 5})
    outcomes = {
        0: Outcome(4, 0.9),
        1: Outcome(8, 0.5),
        2: Outcome(8, 0.7),
        3: Outcome(8, 0.6),
        4: Outcome(),
        5: Outcome(4, 0.9),
    }
    assert [each.index for each in different(trials, outcomes)] == [2, 3, 1, 5]
    assert different(trials, dict.fromkeys(range(6), Outcome())) == ()


@pytest.mark.parametrize(
    ("scores", "place"),
    [
        ([{1: 0.5, 2: 0.5}, {1: 0.6, 2: 0.5}], 1),
        ([{1: 0.3, 2: 0.3, 3: 0.0}, {1: 0.1, 2: 0.2, 3: 0.3}], 0),  # a tie but for the last bit
        ([{1: 0.9}, {1: 0.4, 2: 0.4}, {1: 0.3, 2: 0.6}], 2),  # one with a failure loses
        ([{1: 0.9}, {2: 0.95}], 0),  # nothing in common
        ([{1: 0.9, 3: 0.1}, {2: 0.8, 3: 0.2}], 1),  # by what they have in common alone
        ([{}, {}, {}], 0),  # all have failed: as the search has it
        ([{}], 0),
    ],
)
def test_the_best_mean_over_shared_seeds_is_chosen(scores, place):
    assert choice(scores) == place


@given(
    places=st.integers(1, 4),
    turns=st.integers(1, 3),
    values=st.lists(st.sampled_from([None, 0.1, 0.2, 0.3]), min_size=12, max_size=12),
    order=st.randoms(use_true_random=False),
)
def test_whichever_trial_ends_first_the_same_is_chosen(places, turns, values, order):
    """And where no trial fails, it is the highest mean by plain arithmetic."""
    seeds = list(range(10, 10 + turns))
    made = Choosing(searched(*({"a": n} for n in range(places))), seeds, Course(4))
    dealt = list(iter(made.next, None))
    assert [(each.index, each.seed, each.stage) for each in dealt] == [
        (index, seeds[index // places], "choose") for index in range(places * turns)
    ]
    chosen = set()
    for _ in range(4):
        told = Choosing(made.finalists, seeds, Course(4), dealt=len(dealt))
        for candidate in order.sample(dealt, len(dealt)):
            assert told.chosen() is None
            value = values[candidate.index]
            told.complete(candidate.index, Outcome() if value is None else Outcome(4, value))
        chosen.add(told.chosen().index)
    (place,) = chosen
    own = [values[each : places * turns : places] for each in range(places)]
    if all(None not in each for each in own):
        means = [round(statistics.fmean(each), 9) for each in own]
        assert place == means.index(max(means))


def test_a_plan_counts_finalists():
    """27 + 24 + 8 rounds: search, 3 · 1 finalists of 8 rounds, one test."""
    plan = make_plan(methods=["a", "b"], trials=4, generation=4, eta=2, seeds=1, finalists=3,
                     finalist_seeds=1)  # fmt: skip
    assert plan.planned("a") == {"search": 4, "choose": 3, "confirm": 1}
    assert plan.total_trials() == 16
    assert plan.total_rounds() == 2 * (plan.search_rounds() + 24 + 8)


@pytest.mark.parametrize(
    ("budget", "number"),
    [
        ({"trials": 2, "finalists": 3}, 6),
        ({"trials": 1, "finalists": 3}, 0),
        ({"trials": 8}, 0),
        ({"trials": 8, "finalists": 1, "finalist_seeds": 4}, 4),
    ],
)
def test_there_are_no_more_finalists_than_trials_and_none_of_a_single_one(budget, number):
    assert Budget(**budget).planned()["choose"] == number
    assert Budget(**budget).planned(searched=False)["choose"] == 0


# ------------------------------------------------------------------------ in the whole comparison


def test_finalists_are_trained_to_the_end_with_fresh_seeds_before_one_is_tested(alone):
    for method in PLAN.methods:
        search = alone.dealer.searches[method]
        best = different(search.candidates, search.outcomes)[:3]
        trials = [trial.candidate for trial in alone.of(method, "choose")]
        assert [each.knobs for each in trials] == [each.knobs for each in best] * 2
        assert [each.seed for each in trials] == [
            validation_seed(0, turn) for turn in (1, 2) for _ in range(3)
        ]
        ended = [trial.last_result for trial in alone.of(method, "choose")]
        assert {each["round"] for each in ended} == {8}
        scores = [each["score"] for each in ended]
        means = [round(statistics.fmean(scores[place::3]), 9) for place in range(3)]
        (tested,) = alone.of(method, "confirm")
        assert tested.candidate.knobs == best[means.index(max(means))].knobs
        assert search.best() == best[means.index(max(means))]
    assert len(alone.trials) == PLAN.total_trials()
    assert sum(t.last_result["round"] for t in alone.trials) == PLAN.total_rounds()


@pytest.mark.parametrize("workers", [2, 3, 7])
def test_workers_and_delays_choose_the_same(alone, failing, workers):
    assert Simulation(PLAN, workers, seed=workers).run().outcome() == alone.outcome()
    other = Simulation(PLAN, workers, seed=workers, failures=FAILING).run()
    assert other.outcome() == failing.outcome()


def test_a_finalist_with_a_failure_is_chosen_only_over_those_with_more(failing):
    for method in PLAN.methods:
        search = failing.dealer.searches[method]
        broken = {
            index % 3 for name, stage, index in FAILING if (name, stage) == (method, "choose")
        }
        assert search.choosing.finalists.index(search.best()) not in broken


def test_where_all_finalists_fail_the_search_decides():
    failures = {("fedavg", "choose", index): CRASH for index in range(6)}
    ended = Simulation(PLAN, 2, failures=failures).run()
    search = ended.dealer.searches["fedavg"]
    assert search.best() == different(search.candidates, search.outcomes)[0]
    assert len(ended.of("fedavg", "confirm")) == 1


def test_what_has_nothing_to_search_has_no_finalists():
    from dataclasses import replace

    plan = replace(PLAN, unsearched=frozenset({"fedavg"}))
    ended = Simulation(plan).run()
    assert ended.of("fedavg", "choose") == []
    assert len(ended.of("fedperfix", "choose")) == 6
    assert len(ended.trials) == plan.total_trials()


def test_fewer_different_configurations_are_fewer_finalists():
    """Only one of seven search trials does not fail."""
    failures = {("fedavg", "search", index): CRASH for index in range(6)}
    ended = Simulation(PLAN, failures=failures).run()
    assert [trial.candidate.index for trial in ended.of("fedavg", "choose")] == [0, 1]
    assert len(ended.of("fedavg", "confirm")) == 1


@settings(max_examples=15)
@given(data=st.data(), workers=st.integers(1, 4), seed=st.integers(0, 1000))
def test_killed_and_resumed_it_is_dealt_the_same(alone, data, workers, seed):
    """Whatever of it is known to the store, and wherever it is killed."""
    rounds = data.draw(st.lists(st.integers(0, 8), min_size=28, max_size=28))
    store = store_of(alone, dict(zip(sorted(alone.ledger.names()), rounds, strict=True)))
    killed = killed_after(
        data.draw(st.integers(0, 250)), plan=PLAN, workers=workers, seed=seed, store=store
    )
    lines = killed.lines[: data.draw(st.integers(0, len(killed.lines)))]
    ended = Simulation(PLAN, workers, seed + 1, lines=lines, store=store).run()
    assert ended.outcome() == alone.outcome()
    assert told_of(ended.seat) == told_of(alone.seat)


def test_a_seed_of_a_finalist_that_was_trained_before_is_not_trained_again(alone):
    """More seeds of the same finalists, and another test: only these are new."""
    store = Store()
    Simulation(PLAN, store=store).run()
    more = make_plan(
        every=2, methods=METHODS[:2], trials=7, generation=4, eta=2, seeds=1, finalists=3,
        finalist_seeds=3,
    )  # fmt: skip
    grown = Simulation(more, store=store).run()
    trained = {trial.candidate.name for trial in grown.trials if trial.candidate.stage == "choose"}
    assert trained == {f"{method}-choose-{n}" for method in more.methods for n in (6, 7, 8)}
    assert told_of(grown.seat) == told_of(Simulation(more).run().seat)


# ------------------------------------------------------------------------ record, report, audit


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    """A results folder with a small search that was really trained."""
    folder = tmp_path_factory.mktemp("tuned") / "results"
    budget = Budget(trials=4, generation=4, eta=2, seeds=1, finalists=2, finalist_seeds=2)
    compare_small(folder, "one", ["fedavg"], budget)
    return folder


def test_no_finalist_was_given_test_data(tuned):
    (method,) = read_results(tuned, "one").methods
    chosen = [trial for trial in method.trials if trial.started.stage == "choose"]
    assert len(chosen) == 4
    for trial in chosen:
        assert trial.ended.selected["test"] == []
        assert not [name for name in trial.metrics if "test" in name]


def test_the_report_tells_how_far_the_chosen_one_fell(tuned):
    result = read_results(tuned, "one")
    (method,) = result.methods
    first, second = method.finalists
    assert first.values.keys() == second.values.keys()
    assert len(first.values) == 2
    finalist = chosen_finalist(method)
    assert (
        finalist.mean == max(first.mean, second.mean) == statistics.fmean(finalist.values.values())
    )
    search = search_of(method, {}, {})
    assert search.winner.knobs == method.best
    found = fall_of(method, search.winner)
    assert found.searched == search.winner.value
    assert (found.place, found.trials) == (1 if finalist is first else 2, 4)
    assert math.isclose(found.points, 100 * (search.winner.value - finalist.mean))
    assert (found.validation_seeds, found.test_seeds) == (2, 1)
    told = search_words.fall(search)
    assert f"; {100 * finalist.mean:.2f} % with 2 fresh seeds; test accuracy " in told
    assert "The best 2 were trained again with 2 fresh validation" in search_words.budget_note(
        result
    )
    assert (result.ended, result.planned) == (9, 9)


@pytest.fixture(scope="module")
def honest(tuned):
    return pfltune.certify("one", results=tuned)


def test_its_certificate_holds(honest):
    verdict = pfltune.verify(honest, sample=0)
    assert verdict.holds, verdict.faults


def test_a_forged_score_of_a_finalist_is_found(honest, tmp_path):
    """Another one would have been chosen; and trained again, the trial has another figure."""
    content = json.loads(honest.read_text())
    del content["digest"]
    trials = {f"{t['method']}-{t['stage']}-{t['index']}": t for t in content["trials"]}
    tested = trials["fedavg-confirm-0"]["knobs"]
    for trial in (each for each in trials.values() if each["stage"] == "choose"):
        if trial["knobs"] != tested:
            trial["scores"] = [0.99 for _ in trial["scores"]]
            trial["figures"]["selected/val_accuracy"] = 0.99
            trial["figures"]["selected/round"] = 1
    path = tmp_path / "forged.json"
    path.write_bytes(canonical({**content, "digest": digest(canonical(content))}))
    verdict = pfltune.verify(path, trials=["fedavg-choose-0", "fedavg-choose-1"])
    assert any("fedavg-confirm-0 has lr=" in fault for fault in verdict.faults)
    assert "differs" in [check.answer for check in verdict.checks]
