"""Several independent searches of each method, their control, and what suggests configurations."""

from collections import Counter
from dataclasses import replace

import numpy as np
import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_search import METHODS, SPACES, Simulation, Store, make_plan, told_of

from pfltune.budget import SAMPLER_NAMES, Budget
from pfltune.errors import UserError
from pfltune.randomness import derive
from pfltune.ranking import Outcome
from pfltune.report.balance import balanced, spread
from pfltune.search.candidate import (
    Candidate,
    confirmation_seed,
    study_seed,
    validation_seed,
)
from pfltune.search.sampled import Sampled
from pfltune.search.samplers import SAMPLERS, check_sampler
from pfltune.search.searches import ComparisonDealer
from pfltune.tracking.events import MethodEnded, TrialStarted, from_json, to_json

pytestmark = pytest.mark.usefixtures("png_alone")

SMALL = {
    "every": 2,
    "methods": METHODS[:2],
    "trials": 5,
    "generation": 3,
    "eta": 2,
    "seeds": 2,
    "finalists": 2,
    "finalist_seeds": 1,
}
ONE = make_plan(**SMALL)
THREE = make_plan(**SMALL, studies=3, control=True)


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def ended(simulation: Simulation) -> dict:
    """All that the journal says of each trial, and what is chosen."""
    dealer = simulation.dealer
    return {"told": told_of(simulation.seat), "best": dealer.best(), "chosen": dealer.chosen()}


@pytest.fixture(scope="module")
def one():
    return Simulation(ONE).run()


@pytest.fixture(scope="module")
def three():
    return Simulation(THREE, store=Store()).run()


# ------------------------------------------------------------------------------- what is dealt


def test_the_first_study_is_the_search_without_others(one, three):
    assert told_of(one.seat).items() <= told_of(three.seat).items()


def test_each_study_has_its_own_seeds_and_all_share_those_of_the_confirmation(three):
    for study in range(3):
        seed = study_seed(0, study)
        assert seed == (derive(0, "study", study) % 2**31 if study else 0)
        own = [t.candidate for t in three.trials if t.candidate.study == study]
        wanted = {
            "search": {validation_seed(seed, 0)},
            "choose": {validation_seed(seed, 1)},
            "confirm": {confirmation_seed(0, n) for n in range(2)},
        }
        for stage, seeds in wanted.items():
            assert {each.seed for each in own if each.stage == stage} <= seeds
    assert len({study_seed(0, study) for study in range(1000)}) == 1000


def test_studies_begin_with_the_start_values_and_then_suggest_differently(three):
    for method in THREE.methods:
        first, *rest = zip(
            *(three.dealer.studies[method, n].candidates for n in range(3)), strict=True
        )
        assert [each.knobs for each in first] == [SPACES[method].start[0]] * 3
        assert len({tuple(each.knobs.items()) for trials in rest for each in trials}) > len(rest)


def test_what_is_planned_is_what_there_is(three):
    assert THREE.planned("fedavg") == {"search": 15, "choose": 6, "confirm": 6, "control": 2}
    assert len(three.ledger.names()) == THREE.total_trials()
    assert THREE.total_rounds() == 2 * (3 * THREE.search_rounds() + (6 + 6 + 2) * 8)


@settings(max_examples=15)
@given(workers=st.integers(1, 4), seed=st.integers(0, 1000), stored=st.booleans())
def test_the_order_of_arrival_changes_nothing(three, workers, seed, stored):
    again = Simulation(THREE, workers, seed, **({"store": Store()} if stored else {})).run()
    assert ended(again) == ended(three)


@settings(max_examples=15)
@given(data=st.data(), workers=st.integers(1, 4), steps=st.integers(0, 300))
def test_killed_and_resumed_it_is_the_same(three, data, workers, steps):
    store = Store()
    killed = Simulation(THREE, workers, steps, store=store)
    if killed.has_work():
        for _ in range(steps):
            if killed.over:
                break
            killed.step()
    lines = killed.lines[: data.draw(st.integers(0, len(killed.lines)))]
    assert ended(Simulation(THREE, 2, steps + 1, lines=lines, store=store).run()) == ended(three)


def test_more_studies_of_what_is_there_equal_as_many_at_once(three):
    store = Store()
    first = Simulation(ONE, store=store).run()
    more = Simulation(THREE, 2, store=store).run()
    assert ended(more) == ended(three)
    known = set(told_of(first.seat))
    assert not known & {trial.candidate.name for trial in more.trials}


def test_what_two_studies_choose_alike_is_trained_once():
    """Without anything to search, every study and the control test the same."""
    plan = replace(THREE, methods=("fedavg",), unsearched=frozenset({"fedavg"}))
    for workers in (1, 2, 4):
        ran = Simulation(plan, workers, workers, store=Store()).run()
        tested = [t.candidate for t in ran.trials if t.candidate.stage in ("confirm", "control")]
        assert sorted(each.seed for each in tested) == sorted({each.seed for each in tested})
        told = Counter(e.stage for e in ran.lines if isinstance(e, TrialStarted))
        assert told == {"search": 3, "confirm": 6, "control": 2}


def test_a_study_that_fails_leaves_the_others_and_their_choice():
    failures = {("fedavg", "search", n) for n in range(5)}

    class Failing(Simulation):
        """Every search trial of the second study diverges."""

    plan = make_plan(**{**SMALL, "methods": ("fedavg",), "finalists": 0}, studies=2)
    dealer = ComparisonDealer(plan, {"fedavg": SPACES["fedavg"]})
    while (candidate := dealer.deal()) is not None:
        fails = candidate.study == 1 and candidate.stage == "search"
        assert not fails or (candidate.method, "search", candidate.index) in failures
        dealer.complete(candidate, Outcome() if fails else Outcome(8, 0.5))
    assert dealer.exhausted
    first, second = dealer.chosen()["fedavg"]
    assert second is None
    assert dealer.best()["fedavg"] == first


def test_of_several_studies_the_one_is_the_best_that_validates_best_with_the_shared_seeds():
    """Whatever it had in its own search; equal ones go to the earlier."""
    plan = make_plan(**{**SMALL, "methods": ("fedavg",), "finalists": 0}, studies=3)
    for worth, best in (([0.4, 0.9, 0.6], 1), ([0.9, 0.9, 0.6], 0)):
        dealer = ComparisonDealer(plan, {"fedavg": SPACES["fedavg"]})
        while (candidate := dealer.deal()) is not None:
            value = (
                worth[candidate.study]
                if candidate.stage == "confirm"
                else 0.5 - candidate.study / 10 + candidate.index / 100
            )
            dealer.complete(candidate, Outcome(8, value))
        assert len({tuple(knobs.items()) for knobs in dealer.chosen()["fedavg"]}) == 3
        assert dealer.best()["fedavg"] == dealer.chosen()["fedavg"][best]


def test_names_of_trials_are_unique_and_those_of_the_first_study_as_ever():
    assert Candidate("fedavg", "search", 3, 0, 1, {}).name == "fedavg-search-3"
    assert Candidate("fedavg", "search", 3, 0, 1, {}, 2).name == "fedavg-search-s2-3"


def test_events_of_earlier_versions_have_no_study():
    started = TrialStarted("m-search-0", "m", "search", 0, 0, 7, {"lr": 0.1}, 5)
    before = to_json(started).replace(', "study": 0', "")
    assert from_json(before) == started
    assert from_json(to_json(replace(started, study=2))).study == 2
    over = MethodEnded("m", {"lr": 0.1}, 5, [{"lr": 0.1}, None])
    assert from_json(to_json(over)) == over
    assert (
        from_json('{"event": "MethodEnded", "method": "m", "best": null, "time": 5}').chosen == []
    )


def test_a_budget_grows_in_studies_and_never_shrinks():
    grown = Budget().grown(None, None, None, studies=3, control=True)
    assert (grown.studies, grown.control) == (3, True)
    with pytest.raises(UserError, match="there are 3 studies; 2 would be fewer"):
        grown.grown(None, None, None, studies=2)
    with pytest.raises(UserError, match="there is a control"):
        grown.grown(None, None, None, control=False)


# ------------------------------------------------------------------- which runs count, and how far


def test_runs_count_with_the_seeds_that_every_study_has():
    assert balanced([(0, 5), (0, 6), (1, 6), (0, 7), (1, 7)]) == [(0, 6), (0, 7), (1, 6), (1, 7)]
    assert balanced([(0, 5), (0, 6)]) == [(0, 5), (0, 6)]
    assert balanced([(0, 5), (1, 6), (1, 7)]) == [(1, 6), (1, 7)], "none is shared"
    assert balanced([(0, 5), (1, 6)]) == [(0, 5)]
    assert balanced([]) == []


def test_the_spread_of_one_study_is_that_of_its_seeds():
    assert spread([[0.1, 0.4, 0.2]]) == np.std([0.1, 0.4, 0.2], ddof=1)
    assert spread([[0.1], [0.4], [0.2]]) == np.std([0.1, 0.4, 0.2], ddof=1)
    assert np.isnan(spread([[0.3]]))


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(2, 4))
def test_the_spread_is_the_sum_of_the_variance_components(seed, studies, seeds):
    """Those of the two-way layout without repetition, by their mean squares (Searle 1971)."""
    table = np.random.default_rng(seed).normal(size=(studies, seeds))
    of_study = seeds * np.var(table.mean(1), ddof=1)
    of_seed = studies * np.var(table.mean(0), ddof=1)
    rest = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    both = np.square(rest).sum() / ((studies - 1) * (seeds - 1))
    total = (of_study - both) / seeds + (of_seed - both) / studies + both
    assert spread(table) ** 2 == pytest.approx(total)


# ------------------------------------------------------------------------------------- samplers


def suggested(plan, method="fedavg", values=None) -> list:
    """The configurations of a search whose trials have these values, told by generations."""
    strategy, found = Sampled(method, plan, SPACES[method]), []
    for generation in plan.generations(method):
        members = range(generation.first, generation.first + generation.size)
        found += [strategy.propose(index) for index in members]
        for index in members:
            value = -((np.log10(found[index]["lr"]) + 1) ** 2)
            strategy.hear(index, Outcome(8, value), {})
    return found


@pytest.mark.parametrize("sampler", SAMPLER_NAMES)
def test_every_sampler_begins_with_the_start_and_repeats_itself(sampler):
    if SAMPLERS[sampler].package:
        pytest.importorskip(SAMPLERS[sampler].package)
    plan = make_plan(trials=6, generation=3, halving=False, sampler=sampler)
    check_sampler(replace(plan, methods=("fedavg",)), {"fedavg": SPACES["fedavg"]})
    found = suggested(plan)
    assert found[0] == SPACES["fedavg"].start[0]
    assert found == suggested(plan)
    assert found != suggested(plan.of_study(1))
    assert len({each["lr"] for each in found}) == 6


def test_every_sampler_that_a_budget_takes_is_there():
    assert tuple(SAMPLERS) == SAMPLER_NAMES


def test_random_and_qmc_learn_nothing_and_tpe_does():
    def told(sampler, sign):
        plan = make_plan(trials=20, generation=10, halving=False, sampler=sampler)
        strategy = Sampled("fedavg", plan, SPACES["fedavg"])
        first = [strategy.propose(n) for n in range(10)]
        for n, knobs in enumerate(first):
            strategy.hear(n, Outcome(8, sign * knobs["lr"]), {})
        return [strategy.propose(n) for n in range(10, 20)]

    assert told("random", 1) == told("random", -1)
    assert told("qmc", 1) == told("qmc", -1)
    assert told("tpe", 1) != told("tpe", -1)


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_what_learns_from_whole_trials_alone_is_refused_with_halving(sampler, monkeypatch):
    monkeypatch.setattr("pfltune.search.samplers.find_spec", lambda name: object())
    spaces = {"fedavg": SPACES["fedavg"]}
    halved = make_plan(methods=["fedavg"], trials=8, generation=4, sampler=sampler)
    with pytest.raises(UserError) as refused:
        check_sampler(halved, spaces)
    assert str(refused.value) == (
        f"--sampler {sampler} learns from trials alone that run all 8 rounds, and halving stops "
        "most of them after round 3: give --no-halving, or --generation 1"
    )
    for kwargs in ({"generation": 4, "halving": False}, {"generation": 1}):
        check_sampler(make_plan(methods=["fedavg"], trials=8, sampler=sampler, **kwargs), spaces)


def test_a_space_that_a_sampler_cannot_search_is_refused(monkeypatch):
    spaces = {"fedperfix": SPACES["fedperfix"]}
    for sampler in ("qmc", "gp"):
        plan = make_plan(methods=["fedperfix"], sampler=sampler, halving=False)
        with pytest.raises(UserError, match=rf"--sampler {sampler} searches a box, and \w+ is"):
            check_sampler(plan, spaces)
    plan = make_plan(methods=["fedperfix"], sampler="cmaes", halving=False)
    monkeypatch.setattr("pfltune.search.samplers.find_spec", lambda name: object())
    with pytest.raises(UserError, match=r"--sampler cmaes searches numbers, and \w+ has choices"):
        check_sampler(plan, spaces)
    monkeypatch.setattr("pfltune.search.samplers.find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the package cmaes"):
        check_sampler(plan, spaces)
    check_sampler(make_plan(methods=["fedperfix"], sampler="random"), spaces)


def test_a_trial_that_was_stopped_is_told_with_its_score_at_every_rung():
    """Optuna's pruned trial: TPE reads the last of them, and ranks by how far that is."""
    plan = make_plan(rounds=8, trials=4, generation=4, eta=2)
    assert plan.rungs(4) == [2, 4]
    strategy = Sampled("fedavg", plan, SPACES["fedavg"])
    for index in range(4):
        strategy.propose(index)
    strategy.hear(0, Outcome(2, 0.9), {2: 0.9})
    strategy.hear(1, Outcome(4, 0.3), {2: 0.2, 4: 0.3})
    strategy.hear(2, Outcome(8, 0.4), {2: 0.1, 4: 0.2})
    strategy.hear(3, Outcome(), {2: 0.5})
    told = [(t.state.name, t.value, t.intermediate_values) for t in strategy.study.trials]
    assert told == [
        ("PRUNED", 0.9, {2: 0.9}),
        ("PRUNED", 0.3, {2: 0.2, 4: 0.3}),
        ("COMPLETE", 0.4, {2: 0.1, 4: 0.2}),
        ("PRUNED", None, {}),
    ]


def test_without_halving_every_trial_runs_to_its_end():
    plan = make_plan(**{**SMALL, "seeds": 1}, halving=False)
    ran = Simulation(plan, 2).run()
    assert plan.all_rungs() == ()
    for trial in ran.trials:
        assert trial.last_result["round"] == 8
