"""Accuracy and bytes at once: what the search does is a function of its plan, not of time."""

import itertools
import json

import optuna
import pytest
import test_search
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.samplers._tpe.sampler import _split_trials
from test_search import (
    CRASH,
    DIVERGE,
    METHODS,
    SPACES,
    Simulation,
    make_plan,
    store_of,
    told_of,
    verdicts,
)

from pfltune.budget import Budget
from pfltune.dominance import fronts
from pfltune.errors import UserError
from pfltune.randomness import derive
from pfltune.ranking import Outcome, Standing
from pfltune.scenario import load_scenario
from pfltune.search.bracket import Bracket
from pfltune.search.candidate import Candidate, confirmation_seed, validation_seed
from pfltune.search.sampled import Sampled
from pfltune.search.searches import MethodSearch
from pfltune.search.several import SampledFronts, front_of
from pfltune.settings import validated
from pfltune.studies.comparison import plan_methods
from pfltune.studies.draws import draws_of
from pfltune.tracking.events import MethodEnded, from_json, to_json

BOTH = {"objective": "accuracy,comm"}
MB = (0.25, 0.5, 0.75, 1.0)
"""Of a round, by configuration."""
SIZES = {"trials": 15, "generation": (5, 2, 2, 2, 2, 2)}
PLAN = make_plan(methods=METHODS[:2], **SIZES, eta=2, seeds=2, front=2, **BOTH)
LIMITED = make_plan(
    methods=METHODS[:2], trials=10, generation=5, eta=2, seeds=2, front=2, max_mb=6.5, **BOTH
)
ALONE_LIMITED = make_plan(methods=METHODS[:2], trials=8, generation=4, eta=2, seeds=1, max_mb=4.5)
PLANS = {"both": PLAN, "both, limited": LIMITED, "limited": ALONE_LIMITED}


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def mb_of(candidate: Candidate) -> float:
    """MB of a round: on the whole the more, the better the configuration is in the search."""
    knobs = [candidate.method, validation_seed(0, 0), dict(candidate.knobs)]
    key = json.dumps(knobs, sort_keys=True)
    quality, more = derive(0, f"quality/{key}") % 1000, derive(0, f"mb/{key}") % 2
    return MB[quality * 3 // 1000 + more]


@pytest.fixture(autouse=True)
def bytes_by_configuration(monkeypatch):
    """Trials of a simulation send what their configuration says."""
    made = test_search._result

    def result(trial, number, plan):
        return made(trial, number, plan) | {"comm/total_mb": number * mb_of(trial.candidate)}

    monkeypatch.setattr(test_search, "_result", result)


class Several(Simulation):
    """A simulation of whatever objectives."""

    def told(self) -> dict:
        studies = {m: s.strategy.study for m, s in self.dealer.searches.items()}
        return {
            m: [(t.params, t.values, t.state.name, t.constraints) for t in study.trials]
            for m, study in studies.items()
        }

    def outcome(self) -> dict:
        chosen = {m: s.chosen() for m, s in self.dealer.searches.items()}
        return super().outcome() | {"chosen": chosen, "fronts": self.dealer.fronts()}


def killed_after(steps, *plan, **others) -> Several:
    simulation = Several(*plan, **others)
    for _ in range(steps if simulation.has_work() else 0):
        if not simulation.over:
            simulation.step()
    return simulation


# ---------------------------------------------------------------------------------- the halving


def bracket(values, rungs=(2,), eta=2, rounds=8, **budget) -> Bracket:
    """A generation that is at its first rung with these accuracies and MB so far."""
    made = Bracket(len(values), list(rungs), make_plan(rounds, eta=eta, **budget))
    for index, (score, mb) in enumerate(values):
        made.add(index)
        made.reach(index, Standing(rungs[0], score, ahead=rungs[0] + 1.0, mb=mb))
    return made


def test_the_first_front_goes_on_and_of_the_last_the_ends():
    """0, 1, 3 are on the first front; two of them may go on: the most accurate, the cheapest."""
    values = [(0.5, 1.0), (0.9, 4.0), (0.4, 2.0), (0.6, 2.0), (0.3, 9.0)]
    half = bracket(values, front=1, **BOTH)
    assert half.survivors(1) == [1, 0]
    assert verdicts(half) == ["go on", "go on", "stop", "stop", "stop"]
    assert bracket([*values, (0.2, 8.0)], front=1, **BOTH).survivors(1) == [1, 0, 3]
    assert bracket(values, front=4, **BOTH).survivors(1) == [1, 0, 3, 2]


def test_one_objective_is_halved_as_ever():
    values = [(0.5, 1.0), (0.9, 4.0), (0.4, 2.0), (0.6, 2.0)]
    assert bracket(values).survivors(1) == [1, 3]


def test_equal_trials_go_to_the_earlier_one_whatever_else_is_on_the_front():
    two = {"front": 2, **BOTH}
    assert bracket([(0.5, 1.0)] * 4, **two).survivors(1) == [0, 1]
    assert bracket([(0.5, 1.0), (0.5, 1.0), (0.9, 2.0), (0.1, 3.0)], **two).survivors(1) == [2, 0]


def test_a_trial_that_sends_too_much_is_stopped_at_once_and_no_one_waits_for_it():
    """8 rounds of 2 MB would be 16 MB."""
    made = Bracket(3, [2], make_plan(8, eta=2, max_mb=15.0))
    for index in range(3):
        made.add(index)
    made.reach(0, Standing(1, 0.9, ahead=2.0, mb=2.0))
    assert verdicts(made) == ["stop", "go on", "go on"]
    for index, score in ((1, 0.2), (2, 0.3)):
        made.reach(index, Standing(2, score, ahead=3.0, mb=2.0))
    assert verdicts(made) == ["stop", "stop", "go on"]
    assert made.survivors(1) == [2]


def test_a_trial_that_sends_too_much_at_a_rung_has_no_place_there():
    made = bracket([(0.9, 4.0), (0.5, 1.0), (0.4, 1.0)], max_mb=15.0)
    assert made.survivors(1) == [1]
    assert verdicts(made) == ["stop", "go on", "stop"]


def test_a_generation_that_sends_too_much_keeps_nobody():
    made = bracket([(0.9, 4.0), (0.5, 4.0)], max_mb=15.0, **BOTH)
    assert made.survivors(1) == []
    assert verdicts(made) == ["stop", "stop"]


@given(st.data())
def test_a_bracket_told_in_any_order_decides_the_same(data):
    size, rungs = data.draw(st.integers(1, 6)), [1, 2, 4]
    told = [("add", (index,)) for index in range(size)]
    for index in range(size):
        reached = data.draw(st.integers(0, 4))
        scores = data.draw(st.lists(st.integers(0, 4), min_size=4, max_size=4))
        sent = data.draw(st.lists(st.integers(0, 4), min_size=4, max_size=4))
        for number in range(1, reached + 1):
            mb = float(sum(sent[:number]))
            standing = Standing(number, scores[number - 1] / 4, ahead=number + 1.0, mb=mb)
            told.append(("reach", (index, standing)))
        told += [("leave", (index,))] * (reached < 4)
    outcomes = []
    for order in (told, data.draw(st.permutations(told))):
        made = Bracket(size, list(rungs), make_plan(eta=2, front=1, max_mb=20.0, **BOTH))
        for hook, arguments in order:
            getattr(made, hook)(*arguments)
        outcomes.append((verdicts(made), [made.survivors(level) for level in (1, 2, 3)]))
    assert outcomes[0] == outcomes[1]


# ------------------------------------------------------------------------ workers, delays, kills


@pytest.fixture(scope="module")
def alone():
    """Each plan on one worker, which every other run must repeat; made when it is asked for."""
    found = {}

    def run(name):
        if name not in found:
            found[name] = Several(PLANS[name]).run()
        return found[name]

    return run


@pytest.mark.parametrize("workers", [2, 4, 16])
@pytest.mark.parametrize("name", PLANS)
def test_workers_and_delays_change_nothing(alone, name, workers):
    other = Several(PLANS[name], workers=workers, seed=workers).run()
    assert other.outcome() == alone(name).outcome()


@settings(max_examples=10)
@given(
    workers=st.integers(2, 8),
    seed=st.integers(0, 10_000),
    rounds=st.integers(1, 9),
    trials=st.integers(1, 8),
    generation=st.integers(1, 5),
    front=st.integers(1, 3),
    limit=st.sampled_from([None, 0.3, 0.6, 0.8]),
    broken=st.sets(st.integers(0, 7), max_size=4),
)
def test_no_plan_depends_on_workers_or_delays(
    workers, seed, rounds, trials, generation, front, limit, broken
):
    more = {"trials": trials, "generation": generation, "eta": 2, "seeds": 2, "front": front}
    more["max_mb"] = None if limit is None else limit * rounds
    plan = make_plan(rounds, 1, METHODS[:2], **more, **BOTH)
    failures = {("fedavg", "search", i): (CRASH, DIVERGE)[i % 2] for i in broken}
    one = Several(plan, 1, 0, failures).run()
    assert Several(plan, workers, seed, failures).run().outcome() == one.outcome()


@pytest.mark.parametrize("steps", [3, 30, 60, 90, 10_000])
@pytest.mark.parametrize("name", PLANS)
def test_a_killed_search_goes_on_as_if_nothing_had_happened(alone, name, steps):
    killed = killed_after(steps, PLANS[name], workers=3, seed=7)
    resumed = Several(PLANS[name], workers=2, seed=8, lines=killed.lines).run()
    assert resumed.outcome() == alone(name).outcome()


@pytest.mark.parametrize("name", PLANS)
def test_trials_that_are_known_already_lead_to_the_same(alone, name):
    trained = alone(name)
    store = store_of(trained, dict.fromkeys(trained.ledger.names(), 8))
    again = Several(PLANS[name], workers=2, seed=5, store=store).run()
    assert again.outcome() == alone(name).outcome()


# --------------------------------------------------------------------- what is chosen and tested


@pytest.mark.parametrize("name", PLANS)
def test_nothing_that_sends_too_much_is_trained_on_or_tested(alone, name):
    simulation, budget = alone(name), PLANS[name].budget
    over = 0
    for trial in simulation.trials:
        fits = budget.max_mb is None or 8 * mb_of(trial.candidate) <= budget.max_mb
        over += not fits
        assert fits or (trial.candidate.stage, trial.last_result["round"]) == ("search", 1)
    assert (over > 0) == (budget.max_mb is not None), "else the plan shows nothing"


def test_a_front_is_what_no_finisher_beats_and_each_of_it_has_every_seed(alone):
    simulation = alone("both")
    for method in PLAN.methods:
        search = simulation.dealer.searches[method]
        ended = {n: o for n, o in search.outcomes.items() if o.round == 8}
        points = {n: (o.value, o.mb) for n, o in ended.items()}
        best = [list(points)[n] for n in fronts(list(points.values()))[0]]
        chosen = [each.index for each in search.chosen()]
        assert set(chosen) <= set(best)
        assert 1 <= len(chosen) <= 2
        assert [points[n][0] for n in chosen] == sorted(
            (points[n][0] for n in chosen), reverse=True
        )
        confirmed = [t.candidate for t in simulation.of(method, "confirm")]
        seeds = [confirmation_seed(0, turn) for turn in range(2)]
        wanted = [(each.knobs, seed) for seed in seeds for each in search.chosen()]
        assert [(each.knobs, each.seed) for each in confirmed] == wanted
        assert [each.index for each in confirmed] == list(range(len(wanted)))
    assert any(len(search.chosen()) > 1 for search in simulation.dealer.searches.values())


def searched(*knobs) -> list[Candidate]:
    return [Candidate("fedavg", "search", n, 0, 7, {"lr": lr}) for n, lr in enumerate(knobs)]


def chosen(plan, *outcomes, knobs=None) -> list[int]:
    trials = searched(*(knobs or range(len(outcomes))))
    return [each.index for each in front_of(plan, trials, dict(enumerate(outcomes)))]


def test_the_front_by_hand():
    three = make_plan(trials=5, front=3, **BOTH)
    found = [
        Outcome(8, 0.5, mb=1.0),
        Outcome(8, 0.9, mb=9.0),
        Outcome(8, 0.8, mb=8.0),
        Outcome(8, 0.6, mb=4.0),
    ]
    assert chosen(three, *found) == [1, 3, 0], "0.8 for 8 MB is near 0.9 for 9 MB"
    assert chosen(make_plan(trials=5, front=1, **BOTH), *found) == [1], "the most accurate"
    assert chosen(make_plan(trials=5, front=9, **BOTH), *found) == [1, 2, 3, 0]
    assert chosen(three, *found, Outcome(2, 0.95, mb=0.1)) == [1, 3, 0], "stopped early"


def test_a_front_of_one_of_none_and_of_equals():
    plan = make_plan(trials=5, front=3, **BOTH)
    assert chosen(plan, Outcome(8, 0.5, mb=1.0), Outcome(8, 0.5, mb=2.0)) == [0]
    assert chosen(plan, Outcome(8, 0.5, mb=1.0)) == [0]
    assert chosen(plan, Outcome(), Outcome()) == []
    assert chosen(plan) == []
    same = [Outcome(8, 0.5, mb=1.0), Outcome(8, 0.5, mb=1.0)]
    assert chosen(plan, *same) == [0, 1], "different configurations of equal figures"
    assert chosen(plan, *same, knobs=[0.1, 0.1]) == [0], "the same one once"


def test_where_all_that_went_on_have_failed_those_that_came_furthest_are_chosen_from():
    plan = make_plan(trials=5, front=3, **BOTH)
    found = [Outcome(), Outcome(2, 0.5, mb=1.0), Outcome(2, 0.7, mb=2.0), Outcome(1, 0.9, mb=0.1)]
    assert chosen(plan, *found) == [2, 1]


@pytest.mark.parametrize("more", [{}, BOTH])
def test_a_search_in_which_nothing_fits_tests_nothing(more):
    plan = make_plan(methods=("fedavg",), trials=4, generation=2, seeds=2, max_mb=0.01, **more)
    simulation = Several(plan).run()
    assert simulation.dealer.best() == {"fedavg": None}
    assert simulation.dealer.fronts() == {}
    assert simulation.dealer.exhausted
    assert {t.candidate.stage for t in simulation.trials} == {"search"}
    assert {t.last_result["round"] for t in simulation.trials} == {1}


def test_a_search_in_which_everything_failed_tests_nothing():
    plan = make_plan(methods=("fedavg",), trials=3, generation=3, **BOTH)
    failures = {("fedavg", "search", n): DIVERGE for n in range(3)}
    simulation = Several(plan, failures=failures).run()
    assert simulation.dealer.best() == {"fedavg": None}
    assert all(t.candidate.stage == "search" for t in simulation.trials)


def test_one_trial_is_a_front():
    plan = make_plan(methods=("fedavg",), trials=1, generation=1, seeds=2, **BOTH)
    simulation = Several(plan).run()
    assert len(simulation.of("fedavg", "confirm")) == 2 == plan.planned("fedavg")["confirm"]
    assert simulation.dealer.fronts() == {}


def test_fewer_are_tested_than_planned_where_a_front_has_fewer(alone):
    for method in PLAN.methods:
        tested = len(alone("both").of(method, "confirm"))
        assert tested <= PLAN.planned(method)["confirm"] == 4


def test_a_front_that_grows_is_that_of_a_search_that_was_asked_for_all_at_once(alone):
    """What is known is not trained again; with a larger front more trials go on at a rung."""
    more = make_plan(methods=METHODS[:2], **SIZES, eta=2, seeds=3, front=3, **BOTH)
    fresh = Several(more).run()
    trained = alone("both")
    lengths = {name: trained.ledger.find(name).round for name in trained.ledger.names()}
    grown = Several(more, store=store_of(trained, lengths)).run()
    assert grown.outcome() == fresh.outcome()
    assert len(grown.trials) < len(fresh.trials)


# --------------------------------------------------------------------------- what Optuna is told


def told(strategy, *outcomes):
    for index in range(len(outcomes)):
        strategy.propose(index)
    for index, outcome in enumerate(outcomes):
        strategy.hear(index, outcome, {})
    return strategy.study


def ranking(study, *numbers):
    """The trials that TPE takes for the best so many."""
    found = [_split_trials(study, study.trials, number)[0] for number in numbers]
    return [{trial.number for trial in best} for best in found]


def test_tpe_ranks_fronts_then_what_was_stopped_and_last_what_sends_too_much():
    plan = make_plan(trials=6, generation=6, max_mb=10.0, **BOTH)
    study = told(
        SampledFronts("fedavg", plan, SPACES["fedavg"]),
        Outcome(1, 0.9, mb=5.0),  # 40 MB of 10
        Outcome(2, 0.9, mb=1.0),
        Outcome(8, 0.5, mb=4.0),
        Outcome(8, 0.4, mb=8.0),
        Outcome(1, 0.9, mb=2.0),  # 16 MB of 10
        Outcome(8, 0.6, mb=8.0),
    )
    assert ranking(study, 2, 3, 4, 5) == [{2, 5}, {2, 3, 5}, {1, 2, 3, 5}, {1, 2, 3, 4, 5}]
    states = [trial.state.name for trial in study.trials]
    assert states == ["PRUNED", "PRUNED", "COMPLETE", "COMPLETE", "PRUNED", "COMPLETE"]
    assert study.trials[0].constraints == {"max_mb": 3.0}
    assert study.trials[2].constraints == {"max_mb": 0.0}
    assert {trial.number for trial in study.best_trials} == {2, 5}


def test_tpe_of_one_objective_hears_of_the_limit_too():
    plan = make_plan(trials=3, generation=3, max_mb=10.0)
    outcomes = Outcome(1, 0.9, mb=5.0), Outcome(2, 0.3, mb=1.0), Outcome(8, 0.5, mb=4.0)
    study = told(Sampled("fedavg", plan, SPACES["fedavg"]), *outcomes)
    assert ranking(study, 1, 2) == [{2}, {1, 2}]
    assert study.best_trial.number == 2


def test_without_a_limit_optuna_is_told_no_constraint():
    study = told(Sampled("fedavg", make_plan(trials=3), SPACES["fedavg"]), Outcome(8, 0.5, mb=4.0))
    assert study.trials[0].constraints == {}


def test_later_generations_learn_from_bytes():
    """Another size of every message leaves the first generation as it is and changes the last."""
    plan = make_plan(methods=("fedavg",), trials=24, generation=12, eta=2, **BOTH)
    runs = []
    for order in (1, -1):
        search = MethodSearch(
            "fedavg", plan, SPACES["fedavg"], SampledFronts("fedavg", plan, SPACES["fedavg"])
        )
        for _ in range(12):
            search.next()
        for index in range(12):
            search.complete(index, Outcome(8, 0.5, mb=float(20 + order * index)))
        runs.append([dict(search.next().knobs) for _ in range(12)])
        first = [dict(each.knobs) for each in search.candidates[:12]]
        runs.append(first)
    assert runs[1] == runs[3]
    assert runs[0] != runs[2]


# --------------------------------------------------------------------------------- what is asked


def test_what_the_objective_can_be():
    assert Budget(trials=2).objective == ("accuracy",)
    assert not Budget(trials=2).several
    assert Budget(trials=2, objective=["accuracy", "comm"]).several
    assert Budget(trials=2, objective=" accuracy, comm ").objective == ("accuracy", "comm")
    for wrong in ("comm", "accuracy,accuracy", "comm,accuracy", "speed", "", 3):
        with pytest.raises(UserError, match="accuracy, or accuracy,comm"):
            validated(Budget, {"trials": 2, "objective": wrong}, "budget")


def test_finalists_and_a_front_do_not_go_together():
    with pytest.raises(UserError, match="the front is confirmed, see --front"):
        validated(Budget, {"trials": 2, "finalists": 2, **BOTH}, "budget")


@pytest.mark.parametrize(
    "more", [{"studies": 2}, {"control": True}, {"decide": "best"}, {"sampler": "gp"}]
)
def test_what_needs_one_chosen_configuration_is_refused(more):
    with pytest.raises(UserError, match="is for one objective"):
        validated(Budget, {"trials": 2, **more, **BOTH}, "budget")


@pytest.mark.parametrize("sampler", ["random", "qmc"])
def test_other_samplers_search_for_fronts_too(sampler):
    plan = make_plan(methods=("fedavg",), trials=8, generation=4, sampler=sampler, **BOTH)
    assert Several(plan).run().outcome() == Several(plan, workers=3, seed=2).run().outcome()


def test_a_front_can_grow_and_not_shrink():
    budget = Budget(trials=4, front=2, **BOTH)
    assert budget.grown(None, None, None, front=4).front == 4
    with pytest.raises(UserError, match="there are 2 configurations of a front; 1 would be fewer"):
        budget.grown(None, None, None, front=1)
    assert Budget(trials=4).grown(5, None, None).front == 3


def test_a_limit_is_of_all_rounds():
    budget = Budget(trials=2, max_mb=10.0)
    assert budget.fits(1, 1.0, 10)
    assert budget.fits(10, 10.0, 10)
    assert not budget.fits(1, 1.001, 10)
    assert not budget.fits(10, 10.001, 10)
    assert budget.fits(0, float("nan"), 10), "nothing is known of a trial without a round"
    assert budget.fits(3, float("nan"), 10)
    assert Budget(trials=2).fits(1, 1e9, 10)
    assert budget.excess(1, 2.0, 10) == pytest.approx(1.0)


@given(st.floats(1e-3, 1e3), st.integers(1, 50))
def test_a_trial_that_sends_just_as_much_as_it_may_fits(mb, rounds):
    budget = Budget(trials=1, max_mb=mb * rounds)
    assert all(budget.fits(number, mb * number, rounds) for number in range(1, rounds + 1))


def test_a_generation_leaves_a_whole_front():
    """9 trials, one of 3 goes on at each rung, but no fewer than 2: 9 → 3 → 2."""
    plan = make_plan(rounds=9, trials=9, generation=9, eta=3, front=2, **BOTH)
    assert plan.rungs(9) == [1, 3]
    assert [plan.survivors(running) for running in (9, 3, 2, 1)] == [3, 2, 2, 1]
    assert plan.search_rounds() == 9 + 3 * 2 + 2 * 6
    one = make_plan(rounds=9, trials=9, generation=9, eta=3, front=2)
    assert [one.survivors(running) for running in (9, 3, 2, 1)] == [3, 1, 1, 1]


def test_a_method_that_ended_with_a_front_is_written_and_read_again():
    front = [{"lr": 0.1}, {"lr": 0.2}]
    for event in (MethodEnded("a", {"lr": 0.1}, 5, front), MethodEnded("a", None, 5)):
        assert from_json(to_json(event)) == event
    assert "front" not in to_json(MethodEnded("a", {"lr": 0.1}, 5)), "as ever with one objective"


def test_the_journal_is_the_same_for_any_number_of_workers(alone):
    other = Several(PLAN, workers=4, seed=11).run()
    assert told_of(other.seat) == told_of(alone("both").seat)
    assert list(itertools.islice(other.lines, 1))


def test_several_draws_are_refused(tmp_path):
    more = {"partitions": 2, "objective": "accuracy,comm", "results": tmp_path}
    with pytest.raises(UserError, match="--partitions is for one objective"):
        draws_of(more)
    with pytest.raises(UserError, match="accuracy, or accuracy,comm"):
        draws_of({**more, "objective": "speed"})


@pytest.mark.parametrize("more", [{"objective": "accuracy,comm"}, {"max_mb": 5.0}])
def test_trials_with_a_budget_of_their_own_are_refused(more):
    protocol = load_scenario("digits", ["protocol.budget=20MB"]).protocol
    with pytest.raises(UserError, match="give one of the two"):
        plan_methods(["fedavg"], Budget(trials=2, **more), protocol, {})
