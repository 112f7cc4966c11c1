"""The search as a pure function of its plan: workers and delays change nothing.

Ray is not started. ``Simulation`` stands in for its TuneController: the same calls in the same
order (see ray/tune/execution/tune_controller.py), with workers and durations that a test chooses.
"""

import errno
import heapq
import itertools
import json
import math
import os
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler
from ray.tune.search import Searcher
from ray.tune.utils import flatten_dict

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.federation.federation import Rounds
from pfltune.federation.trial_budget import Spending
from pfltune.randomness import derive
from pfltune.ranking import Outcome, Standing, best_index
from pfltune.running.callback import JournalCallback
from pfltune.running.dealt import DealtTrials
from pfltune.running.finished import NOTHING
from pfltune.running.given import sitting_of
from pfltune.running.ledger import Ledger
from pfltune.running.ray_search import DealtSearch
from pfltune.running.scheduler import RungScheduler
from pfltune.running.stopping import Stopped, Stopping
from pfltune.running.trial_log import TrialLog
from pfltune.search.bracket import Bracket
from pfltune.search.candidate import SCORE, Candidate, confirmation_seed, validation_seed
from pfltune.search.plan import Plan
from pfltune.search.sampled import Sampled
from pfltune.search.searches import ComparisonDealer, MethodSearch
from pfltune.search.space import load_space
from pfltune.stages import sees_test
from pfltune.tracking.events import TrialEnded, TrialStarted
from pfltune.trials.stored import StoredRound, StoredTrial

pytestmark = pytest.mark.thorough

METHODS = ("fedavg", "fedperfix", "fedrep")
SPACES = {method: load_space(method) for method in METHODS}
STAGES = ("search", "choose", "confirm")
CRASH, DIVERGE, SPOIL = "crash", "diverge", "spoil"


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def make_plan(rounds=8, every=1, methods=METHODS, of_trial=None, **budget) -> Plan:
    protocol = Rounds(
        rounds=rounds,
        budget=of_trial,
        sampled_clients=1,
        local_epochs=1,
        batch_size=1,
        evaluate_every=every,
    )
    return Plan(tuple(methods), Budget(**budget), protocol)


PLAN = make_plan(every=2, trials=7, generation=4, eta=2, seeds=2)
SPENDING = make_plan(of_trial="24MB", trials=7, generation=4, eta=2, seeds=2)


# ---------------------------------------------------------------------- the bracket by itself


def at(round_number: int, score: float) -> Standing:
    return Standing.of(round_number, score, {})


def bracket(size, rungs=(2,), eta=2, arrived=None) -> Bracket:
    """A bracket whose generation has been dealt; some trials are at the first rung."""
    made = Bracket(size, list(rungs), make_plan(eta=eta))
    for index in range(size):
        made.add(index)
    for index, value in (arrived or {}).items():
        made.reach(index, at(rungs[0], value))
    return made


def verdicts(made: Bracket) -> list[str]:
    return [made.verdict(index) for index in range(made.size)]


def test_a_bracket_decides_once_all_have_arrived_and_keeps_the_best():
    half = bracket(4, arrived={0: 0.1, 1: 0.4, 2: 0.3})
    assert verdicts(half) == ["wait", "wait", "wait", "go on"]
    half.reach(3, at(2, 0.2))
    assert half.survivors(1) == [1, 2]
    assert verdicts(half) == ["stop", "go on", "go on", "stop"]


def test_a_bracket_waits_for_trials_that_do_not_exist_yet():
    half = Bracket(3, [2], make_plan(eta=2))
    for index in range(2):
        half.add(index)
        half.reach(index, at(2, 0.5))
    assert half.survivors(1) is None, "the third trial has not been dealt"
    half.add(2)
    assert half.survivors(1) is None, "the third trial is still running"
    half.reach(2, at(2, 0.9))
    assert half.survivors(1) == [2]


def test_ties_go_to_the_earlier_trial_whoever_arrives_first():
    for order in itertools.permutations(range(4)):
        assert bracket(4, arrived=dict.fromkeys(order, 0.5)).survivors(1) == [0, 1]


@pytest.mark.parametrize(
    ("size", "eta", "kept"), [(1, 2, 1), (2, 2, 1), (5, 2, 2), (6, 3, 2), (2, 3, 1), (9, 3, 3)]
)
def test_one_of_eta_trials_survives_a_rung(size, eta, kept):
    survivors = bracket(size, eta=eta, arrived={i: i / 10 for i in range(size)}).survivors(1)
    assert survivors == sorted(range(size), reverse=True)[:kept], "the highest value first"


def test_a_trial_that_fails_lets_the_others_settle_among_themselves():
    half = bracket(5, arrived={0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4})
    assert half.survivors(1) is None
    half.leave(4)
    assert half.survivors(1) == [3, 2]


def test_a_trial_that_fails_after_the_rung_keeps_its_place_whenever_that_becomes_known():
    """Else the survivors would depend on whether the failure or the last arrival came first."""
    for leave_first in (False, True):
        half = bracket(3, arrived={0: 0.9, 1: 0.2})
        if leave_first:
            half.leave(0)
        half.reach(2, at(2, 0.3))
        half.leave(0)
        assert half.survivors(1) == [0]


def test_a_bracket_of_failures_keeps_nobody():
    half = bracket(2)
    half.leave(0)
    half.leave(1)
    assert half.survivors(1) == []


def test_survivors_are_halved_again_at_the_next_rung():
    half = bracket(4, rungs=(2, 4), arrived={i: i / 10 for i in range(4)})
    assert verdicts(half) == ["stop", "stop", "go on", "go on"]
    half.reach(2, at(3, 0.8))
    assert half.verdict(2) == "go on", "there is no rung at round 3"
    half.reach(2, at(4, 0.9))
    assert half.verdict(2) == "wait"
    half.reach(3, at(4, 0.8))
    assert (half.verdict(2), half.verdict(3)) == ("go on", "stop")


@given(st.data())
def test_a_bracket_told_in_any_order_decides_the_same(data):
    """What makes an interrupted search go on as it would have gone on."""
    size, rungs = data.draw(st.integers(1, 5)), [1, 2, 4]
    told = [("add", (index,)) for index in range(size)]
    for index in range(size):
        reached = data.draw(st.integers(0, 4))
        values = data.draw(st.lists(st.floats(0, 1), min_size=4, max_size=4))
        told += [("reach", (index, at(r, values[r - 1]))) for r in range(1, reached + 1)]
        told += [("leave", (index,))] * (reached < 4)
    outcomes = []
    for order in (told, data.draw(st.permutations(told))):
        made = Bracket(size, list(rungs), make_plan(eta=2))
        for hook, arguments in order:
            getattr(made, hook)(*arguments)
        outcomes.append((verdicts(made), [made.survivors(level) for level in (1, 2, 3)]))
    assert outcomes[0] == outcomes[1]


def test_the_best_trial_came_furthest_then_highest_then_first():
    outcomes = [
        (0, Outcome(2, 0.99)),
        (1, Outcome(8, 0.5)),
        (2, Outcome(8, 0.7)),
        (3, Outcome(8, 0.7)),
        (4, Outcome()),
    ]
    assert best_index(outcomes) == 2
    assert best_index(outcomes[:2]) == 1, "stopped early is lost, however high"
    assert best_index(outcomes[:1] + outcomes[4:]) == 0
    assert best_index([(0, Outcome()), (1, Outcome())]) is None, "every trial failed"


# ------------------------------------------------------------------ Tune, without its processes


@dataclass(eq=False)
class FakeTrial:
    """What searcher and scheduler see of a Tune trial."""

    trial_id: str
    config: dict
    status: str = Trial.PENDING
    last_result: dict = field(default_factory=dict)
    run_metadata: SimpleNamespace = field(default_factory=SimpleNamespace)
    placement_group_factory: None = None
    error_file: None = None
    num_failures: int = 4

    @property
    def candidate(self) -> Candidate:
        return Candidate.from_config(self.config)

    @property
    def key(self) -> tuple[str, str, int]:
        return (self.candidate.method, self.candidate.stage, self.candidate.index)

    @property
    def ended(self) -> bool:
        return self.status in (Trial.TERMINATED, Trial.ERROR)


class Store:
    """Finished trials in memory, by what their figures depend on."""

    def __init__(self, full=False) -> None:
        self.kept, self.full, self.asked = {}, full, 0

    def find(self, candidate):
        self.asked += 1
        return self.kept.get(self.key(candidate))

    def keep(self, candidate, trial) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        before = self.kept.get(self.key(candidate))
        if before is None or before.round < trial.round:
            self.kept[self.key(candidate)] = trial
        shorter = min(before.round, trial.round) if before else 0
        assert not before or before.rounds[:shorter] == trial.rounds[:shorter]

    @staticmethod
    def key(candidate):
        knobs = json.dumps(dict(candidate.knobs), sort_keys=True)
        return (candidate.method, sees_test(candidate.stage), candidate.seed, knobs)


class Seat:
    """One comparison of a simulation.

    Args:
        plan: what is searched.
        failures: (method, stage, index) → CRASH or DIVERGE, in round 1 + index mod 3, or SPOIL:
            the trial's first pause cannot be saved.
        lines: the journal of an earlier simulation, to go on with; its checkpoints are as good.
        store: finished trials.
        objects: another strategy or halving.
    """

    def __init__(self, plan=PLAN, failures=None, lines=(), store=NOTHING, **objects) -> None:
        self.plan, self.failures, self.store = plan, failures or {}, store
        self.ledger, self.lines, self.warnings = Ledger(), [], []
        for line in lines:
            self.note(line)
        self.dealer = ComparisonDealer(plan, {m: SPACES[m] for m in plan.methods}, **objects)
        log = TrialLog(self.note, self.ledger, store, "/nowhere/at/all", self.warnings.append)
        self.dealt = DealtTrials(self.dealer, self.ledger, log, store)

    def note(self, event) -> None:
        """As the journal does."""
        self.lines.append(event)
        self.ledger.apply(event)


class Simulation:
    """A discrete-event model of Ray's TuneController with W workers.

    Args:
        plan, failures, lines, store, objects: see :class:`Seat`.
        workers: trials that run side by side.
        seed: of the durations of rounds and pauses, and of the order of the controller's steps.
        beside: other comparisons that share the workers.
    """

    def __init__(self, plan=PLAN, workers=1, seed=0, failures=None, beside=(), **seat):
        self.plan, self.workers, self.seat = plan, workers, Seat(plan, failures, **seat)
        self.ledger, self.lines, self.dealer = self.seat.ledger, self.seat.lines, self.seat.dealer
        self.seats = {f"seat-{n}": each for n, each in enumerate([self.seat, *beside])}
        dealt = {name: seat.dealt for name, seat in self.seats.items()}
        self.searcher = DealtSearch(dealt)
        self.stopping = Stopping()
        settle = [each.settle for each in dealt.values()]
        self.scheduler = RungScheduler(dealt, self.stopping, settle)
        self.callback = JournalCallback(dealt)
        self.rng = random.Random(seed)
        self.clock = 0.0
        self.events: list[tuple[float, int, str, str]] = []
        self.order = itertools.count()
        self.trials: list[FakeTrial] = []
        self.finished_searching = False

    def has_work(self) -> bool:
        return any([seat.dealt.has_work() for seat in self.seats.values()])

    def run(self):
        if self.has_work():
            while not self.over:
                self.step()
        for seat in self.seats.values():
            seat.dealt.settle()
        return self

    def hear(self, what: str, trial: FakeTrial, **info) -> None:
        getattr(self.callback, f"on_trial_{what}")(0, self.trials, trial, **info)

    def seat_of(self, trial: FakeTrial) -> Seat:
        return self.seats[sitting_of(trial)]

    @property
    def over(self) -> bool:
        return all(trial.ended for trial in self.trials) and self.search_is_over

    @property
    def search_is_over(self) -> bool:
        """As SearchGenerator.is_finished."""
        return self.finished_searching or len(self.trials) >= sum(
            seat.plan.total_trials() for seat in self.seats.values()
        )

    def get_trials(self) -> list[FakeTrial]:
        return self.trials

    def stop_trial(self, trial: FakeTrial) -> None:
        if trial.ended:
            return
        if trial.status == Trial.RUNNING:
            self.scheduler.on_trial_complete(self, trial, dict(trial.last_result))
            self.searcher.on_trial_complete(trial.trial_id, result=flatten_dict(trial.last_result))
        else:
            self.scheduler.on_trial_remove(self, trial)
            self.searcher.on_trial_complete(trial.trial_id)
        trial.status = Trial.TERMINATED
        self.hear("complete", trial)

    def step(self) -> None:
        """One turn of the controller: ask, start, handle at most one event."""
        moved = self._ask() | self._start()
        if self.events and not (moved and self.rng.random() < 0.5):
            self.clock, _, event, trial_id = heapq.heappop(self.events)
            trial = next(t for t in self.trials if t.trial_id == trial_id)
            getattr(self, f"_on_{event}")(trial)
        elif not moved and not self.over:
            stuck = {trial.key: trial.status for trial in self.trials if not trial.ended}
            raise AssertionError(f"nothing runs and nothing can start; unfinished: {stuck}")

    def _ask(self) -> bool:
        """Tune keeps one pending trial when the searcher is a custom one."""
        pending = any(trial.status == Trial.PENDING for trial in self.trials)
        if pending or self.search_is_over:
            return False
        trial_id = f"t{len(self.trials)}"
        config = self.searcher.suggest(trial_id)
        if config == Searcher.FINISHED:
            self.finished_searching = True
            return True
        if config is None:
            return False
        trial = FakeTrial(trial_id, config)
        self._assert_earlier_generations_have_ended(trial.candidate, sitting_of(trial))
        self.trials.append(trial)
        self.scheduler.on_trial_add(self, trial)
        return True

    def _start(self) -> bool:
        ended = sum(trial.ended for trial in self.trials)
        chosen = self.scheduler.choose_trial_to_run(self)
        if chosen is not None:
            assert chosen.status in (Trial.PENDING, Trial.PAUSED), chosen.status
            chosen.status = Trial.PENDING
        started = False
        for trial in self.trials:
            busy = sum(t.status == Trial.RUNNING for t in self.trials)
            if trial.status == Trial.PENDING and busy < self.workers:
                trial.status = Trial.RUNNING
                self.hear("start", trial)
                self._later("round", trial)
                started = True
        return started or sum(trial.ended for trial in self.trials) > ended

    def _later(self, event: str, trial: FakeTrial) -> None:
        duration = self.rng.expovariate(1.0)
        heapq.heappush(
            self.events, (self.clock + duration, next(self.order), event, trial.trial_id)
        )

    def _on_round(self, trial: FakeTrial) -> None:
        """In a trial's process: find its checkpoint, of whatever session, or train a round."""
        seat = self.seat_of(trial)
        known = seat.ledger.find(trial.candidate.name)
        if known and known.round and not trial.last_result and not known.started.reused:
            *history, latest = [_result(trial, done, seat.plan) for done in known.standings]
            self._take(trial, {**latest, "history": history})
            return
        number = trial.last_result.get("round", 0) + 1
        failure = seat.failures.get(trial.key)
        if failure in (CRASH, DIVERGE) and number == 1 + trial.candidate.index % 3:
            self._fail(trial, failure, number)
        else:
            self._take(trial, _result(trial, number, seat.plan))

    def _take(self, trial: FakeTrial, result: dict) -> None:
        decision = TrialScheduler.STOP
        if not result.get("done"):
            decision = self.scheduler.on_trial_result(self, trial, dict(result))
        if decision == TrialScheduler.STOP:
            result["done"] = True
        else:
            self.searcher.on_trial_result(trial.trial_id, dict(result))
        self.hear("result", trial, result=result)
        trial.last_result = result
        if decision == TrialScheduler.STOP:
            self.stop_trial(trial)
        elif decision == TrialScheduler.PAUSE:
            self._later("saved", trial)
        else:
            self._later("round", trial)

    def _on_saved(self, trial: FakeTrial) -> None:
        """A pause takes effect once the trial's state is saved; until then it is RUNNING."""
        if self.seat_of(trial).failures.get(trial.key) == SPOIL:
            self._crash(trial)
        else:
            trial.status = Trial.PAUSED

    def _fail(self, trial: FakeTrial, failure: str, number: int) -> None:
        if failure == CRASH:
            self._crash(trial)
        else:
            why = {"failure": "diverged", "own_fault": True}
            self._take(trial, {"round": number - 1, SCORE: 0.0, **why, "done": True})

    def _crash(self, trial: FakeTrial) -> None:
        self.scheduler.on_trial_error(self, trial)
        self.searcher.on_trial_complete(trial.trial_id, error=True)
        trial.status = Trial.ERROR
        self.hear("error", trial)

    def _assert_earlier_generations_have_ended(self, dealt: Candidate, dealt_to: str) -> None:
        if dealt.stage == "control":
            return  # of nothing that is searched
        now = (STAGES.index(dealt.stage), dealt.generation)
        running = [
            trial.key
            for trial in self.trials
            if not trial.ended
            and sitting_of(trial) == dealt_to
            and (trial.candidate.method, trial.candidate.study) == (dealt.method, dealt.study)
            and trial.candidate.stage != "control"
            and (STAGES.index(trial.candidate.stage), trial.candidate.generation) < now
        ]
        assert not running, f"{dealt} was dealt while {running} had not ended"

    # What came out of it, in an order that does not depend on time.

    def of(self, method: str, stage: str) -> list[FakeTrial]:
        """The trials of one method and stage by their index."""
        found = [trial for trial in self.trials if trial.key[:2] == (method, stage)]
        return sorted(found, key=lambda trial: trial.candidate.index)

    def survivors(self) -> dict:
        """How far every trial came, and with which value, in whatever session."""
        return {
            name: (record.ended.round, record.ended.outcome, record.standings)
            for name, record in self.ledger._records.items()
            if record.ended
        }

    def told(self) -> dict:
        """What Optuna was asked and told, per method in the order of its own numbers."""
        studies = {m: s.strategy.study for m, s in self.dealer.searches.items()}
        return {
            m: [(t.params, t.value, t.state.name) for t in study.trials]
            for m, study in studies.items()
        }

    def outcome(self) -> dict:
        """Everything that the comparison depends on."""
        return {
            "configurations": {
                name: (record.started.seed, record.started.knobs)
                for name, record in self.ledger._records.items()
            },
            "survivors": self.survivors(),
            "told": self.told(),
            "best": {m: s.best() for m, s in self.dealer.searches.items()},
        }


def _result(trial: FakeTrial, number: int, plan: Plan) -> dict:
    score = objective(trial.candidate, number, plan)
    result = {"round": number, SCORE: score, "val/accuracy": score / 2, "time/round_s": number}
    result["comm/total_mb"] = number / 8
    is_over = number == plan.protocol.rounds
    if plan.protocol.budget is not None:
        spending = Spending()
        for done in range(1, number + 1):
            spending = spending.after(spending.spent + price(trial.candidate, done))
        ahead = plan.protocol.ahead(number, spending)
        is_over = ahead > 1
        result["budget/spent"] = plan.protocol.spent(number, spending)
        if is_over or plan.protocol.evaluates(number):
            result["budget/ahead"] = ahead
    if is_over:
        test = [score, score / 2] if sees_test(trial.candidate.stage) else []
        selected = {"round": number, "val": [score], "test": test}
        result |= {"done": True, "selected": selected}
    return result


def price(candidate: Candidate, number: int) -> float:
    """Bytes of a round, by the configuration; nothing of the method fedrep."""
    if candidate.method == "fedrep":
        return 0.0
    key = json.dumps(dict(candidate.knobs), sort_keys=True)
    return 1e6 * (1 + derive(0, f"price/{key}") % 4) + 1e5 * (number % 3)


def objective(candidate: Candidate, number: int, plan: Plan) -> float:
    """Best accuracy so far: a learning curve that depends on the configuration alone.

    Quality and speed are independent, so that curves cross; one decimal, so that there are ties.
    """
    key = json.dumps([candidate.method, candidate.seed, dict(candidate.knobs)], sort_keys=True)
    quality, speed = (derive(0, f"{word}/{key}") % 1000 / 1000 for word in ("quality", "speed"))
    evaluated = (
        number
        if plan.protocol.evaluates(number)
        else number - number % (plan.protocol.evaluate_every)
    )
    return round(quality * (1 - math.exp(-evaluated * (0.1 + speed))), 1)


@pytest.fixture(scope="module")
def alone():
    """The comparison on one worker, which every other run must repeat."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return Simulation().run()


# ----------------------------------------------------------------------- what a comparison promises


@pytest.mark.parametrize("workers", [1, 2, 4, 16])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_workers_and_delays_change_nothing(alone, workers, seed):
    other = Simulation(workers=workers, seed=seed).run()
    assert other.outcome() == alone.outcome()


@pytest.fixture(scope="module")
def spending_alone():
    """A search under a budget of each trial, on one worker."""
    return Simulation(SPENDING).run()


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("seed", [1, 2])
def test_workers_and_delays_change_nothing_under_a_budget(spending_alone, workers, seed):
    assert Simulation(SPENDING, workers, seed).run().outcome() == spending_alone.outcome()


@pytest.mark.parametrize("steps", [5, 40, 200])
def test_a_search_under_a_budget_that_is_killed_goes_on_as_if_nothing_had_been(
    spending_alone, steps
):
    killed = killed_after(steps, plan=SPENDING, workers=2, seed=1)
    again = Simulation(SPENDING, 3, 2, lines=killed.lines).run()
    assert again.outcome() == spending_alone.outcome()


JUMPING = make_plan(of_trial="5MB", trials=7, generation=4, eta=2, seeds=2)
"""A round costs up to 4.2 MB, so that some trials end beyond both rungs in their first."""


@pytest.fixture(scope="module")
def jumping():
    return Simulation(JUMPING).run()


def test_a_trial_that_ends_beyond_a_rung_was_there_whenever_that_becomes_known(jumping):
    """Tune asks nothing about a last result; a journal tells it like all others."""
    ended = [t.last_result for t in jumping.trials if t.candidate.stage == "search"]
    assert any(result["round"] == 1 and "selected" in result for result in ended)
    assert any("selected" not in result for result in ended)
    for cut in range(1, len(jumping.lines), 3):
        again = Simulation(JUMPING, 2, cut, lines=jumping.lines[:cut]).run()
        assert again.outcome() == jumping.outcome()


def test_what_is_told_from_kept_trials_ends_as_it_did(jumping):
    """Beyond a rung as well as with too many MB that only the last round shows."""
    heavy = make_plan(1, 1, METHODS[:1], trials=4, generation=4, eta=2, seeds=1, max_mb=0.01)
    for plan in (JUMPING, heavy):
        store = Store()
        first = Simulation(plan, 2, store=store).run()
        again = Simulation(plan, 3, 1, store=store).run()
        assert not again.trials
        assert again.outcome() == first.outcome()
    assert {outcome for _, outcome, _ in again.survivors().values()} == {"finished"}
    assert again.dealer.best() == {"fedavg": None}


def test_under_a_budget_trials_are_halved_by_what_they_have_spent(spending_alone):
    """At 1/4 and 1/2 of 24 MB; rounds differ, and no trial is over its budget."""
    assert SPENDING.rungs(4) == [0.25, 0.5]
    rounds = set()
    for trial in spending_alone.trials:
        result, candidate = trial.last_result, trial.candidate
        spent = sum(price(candidate, n) for n in range(1, result["round"] + 1)) / 24e6
        if candidate.method == "fedrep":
            assert result["budget/spent"] == result["round"] / 8
            continue
        assert result["budget/spent"] == pytest.approx(spent)
        assert spent <= 1
        rounds.add(result["round"])
        if "selected" in result:
            assert result["budget/ahead"] > 1
        else:
            assert result["budget/ahead"] > 0.25
    assert len(rounds) > 2
    ended = Counter("selected" in t.last_result for t in spending_alone.of("fedrep", "search"))
    assert ended == {True: 2, False: 5}, "what spends nothing is halved by its rounds"


@settings(max_examples=12)
@given(
    workers=st.integers(2, 8),
    seed=st.integers(0, 10_000),
    rounds=st.integers(1, 9),
    every=st.integers(1, 3),
    trials=st.integers(1, 8),
    generation=st.integers(1, 5),
    eta=st.integers(2, 3),
    broken=st.sets(st.integers(0, 7), max_size=4),
)
def test_no_plan_depends_on_workers_or_delays(
    workers, seed, rounds, every, trials, generation, eta, broken
):
    plan = make_plan(
        rounds, every, METHODS[:2], trials=trials, generation=generation, eta=eta, seeds=2
    )
    failures = {("fedavg", "search", i): (CRASH, DIVERGE)[i % 2] for i in broken}
    one = Simulation(plan, 1, 0, failures).run()
    assert Simulation(plan, workers, seed, failures).run().outcome() == one.outcome()


@pytest.mark.parametrize("workers", [1, 3])
def test_every_method_gets_the_same_number_of_trials_and_the_same_seeds(workers):
    simulation = Simulation(workers=workers, seed=workers).run()
    budget = PLAN.budget
    expected = [confirmation_seed(budget.seed, index) for index in range(budget.seeds)]
    for method in METHODS:
        search, confirmation = simulation.of(method, "search"), simulation.of(method, "confirm")
        assert [t.candidate.index for t in search] == list(range(budget.trials))
        assert [t.candidate.seed for t in confirmation] == expected
        assert {t.candidate.seed for t in search} == {validation_seed(budget.seed, 0)}
    assert len(simulation.trials) == PLAN.total_trials()


def test_confirmation_seeds_are_new_and_differ_from_each_other():
    kinds = (validation_seed, confirmation_seed)
    seeds = [seed(of, index) for seed in kinds for of in (0, 1) for index in range(20)]
    assert len(set(seeds)) == len(seeds)


def test_generations_are_dealt_as_planned(alone):
    for method in METHODS:
        dealt = [trial.candidate.generation for trial in alone.of(method, "search")]
        assert dealt == [0] * 4 + [1] * 3


def test_start_points_are_tried_first(alone):
    for method in METHODS:
        for point, trial in zip(SPACES[method].start, alone.of(method, "search"), strict=False):
            assert trial.candidate.knobs == point


def test_later_generations_learn_from_earlier_ones(alone):
    """Another objective leaves the first generation as it is and changes the second."""
    broken = {("fedavg", "search", index): CRASH for index in (0, 1, 2)}
    other = Simulation(failures=broken).run()
    knobs = [[t.candidate.knobs for t in run.of("fedavg", "search")] for run in (alone, other)]
    assert knobs[0][:4] == knobs[1][:4]
    assert knobs[0][4:] != knobs[1][4:]


def test_rounds_are_spent_as_planned(alone):
    """7 trials in generations of 4 and 3, η = 2, R = 8, evaluated every 2.

    Rungs: 4 → 2 → 1 at rounds 2 and 4; 3 → 1 at round 4. So 2 trials stop at 2, 1 and 2 at 4,
    and 1 of each generation reaches 8: 2·2 + 3·4 + 2·8 = 32 = 4·2 + 2·2 + 1·4 + 3·4 + 1·4.
    """
    assert PLAN.rungs(4) == [2, 4]
    assert PLAN.rungs(3) == [4]
    for method in METHODS:
        ended = Counter(t.last_result["round"] for t in alone.of(method, "search"))
        assert ended == {2: 2, 4: 3, 8: 2}
        assert all(t.last_result["round"] == 8 for t in alone.of(method, "confirm"))
    spent = sum(trial.last_result["round"] for trial in alone.trials)
    assert spent == PLAN.total_rounds() == 3 * (32 + 2 * 8)


def test_nobody_is_stopped_for_the_benefit_of_a_worse_trial(alone):
    """At each rung of the first generation, what goes on is at least as good as what stops."""
    for method in METHODS:
        members = alone.of(method, "search")[:4]
        for rung in PLAN.rungs(4):
            there = [t for t in members if t.last_result["round"] >= rung]
            values = {t: objective(t.candidate, rung, PLAN) for t in there}
            stopped = [values[t] for t in there if t.last_result["round"] == rung]
            going_on = [values[t] for t in there if t.last_result["round"] > rung]
            assert min(going_on) >= max(stopped)


def test_optuna_is_told_the_value_at_which_each_trial_ended(alone):
    for method in METHODS:
        ended = [
            (
                dict(t.candidate.knobs),
                t.last_result[SCORE],
                "COMPLETE" if t.last_result["round"] == 8 else "PRUNED",
            )
            for t in alone.of(method, "search")
        ]
        assert alone.told()[method] == ended
        study = alone.dealer.searches[method].strategy.study
        for trial, told in zip(alone.of(method, "search"), study.trials, strict=True):
            reached = trial.last_result["round"]
            rungs = [rung for rung in PLAN.rungs(4) if rung <= reached]
            scores = {rung: objective(trial.candidate, rung, PLAN) for rung in rungs}
            assert told.intermediate_values == scores


def test_the_search_takes_a_failure_for_worse_than_all_that_was_stopped_early():
    """As TPE ranks what it is told: finished, stopped late, stopped early, failed."""
    from optuna.samplers._tpe.sampler import _split_trials

    plan = make_plan(trials=4, generation=4)
    strategy = Sampled("fedavg", plan, SPACES["fedavg"])
    for index in range(4):
        strategy.propose(index)
    for index, outcome in enumerate([Outcome(), Outcome(2, 0.9), Outcome(4, 0.1), Outcome(8, 0.0)]):
        strategy.hear(index, outcome, {})
    ranked = [_split_trials(strategy.study, strategy.study.trials, n)[0] for n in (1, 2, 3)]
    assert [{trial.number for trial in best} for best in ranked] == [{3}, {2, 3}, {1, 2, 3}]


def test_the_confirmation_retrains_the_best_configuration(alone):
    for method in METHODS:
        full = [t for t in alone.of(method, "search") if t.last_result["round"] == 8]
        best = max(full, key=lambda t: t.last_result[SCORE])
        assert alone.dealer.searches[method].best() == best.candidate
        for trial in alone.of(method, "confirm"):
            assert trial.candidate.knobs == best.candidate.knobs


def test_whoever_has_been_dealt_least_is_served_first():
    """The first generation of all methods is dealt in turns."""
    searcher = Simulation().searcher
    dealt = [searcher.suggest(f"t{i}")["method"] for i in range(12)]
    assert dealt == list(METHODS) * 4
    assert searcher.suggest("t12") is None, "all methods wait for their first generation"


def test_optuna_hears_of_a_generation_only_as_a_whole():
    """A trial may end before the last of its generation is dealt: it must not be heard of yet."""
    plan, space = make_plan(trials=4, generation=2), SPACES["fedavg"]
    search = MethodSearch("fedavg", plan, space, strategy := Sampled("fedavg", plan, space))
    study = strategy.study
    search.next()
    search.complete(0, Outcome(8, 0.5))
    assert study.get_trials(states=[TrialState.COMPLETE]) == []
    search.next()
    assert search.next() is None, "the second generation waits for the first"
    search.complete(1, Outcome(8, 0.7))
    assert [t.value for t in study.get_trials(states=[TrialState.COMPLETE])] == [0.5, 0.7]
    assert search.next().generation == 1


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_failed_trials_do_not_stop_the_comparison(workers):
    failures = {
        ("fedavg", "search", 1): CRASH,
        ("fedavg", "search", 4): DIVERGE,
        ("fedrep", "search", 0): DIVERGE,
        ("fedrep", "confirm", 0): CRASH,
        ("fedperfix", "confirm", 1): DIVERGE,
    }
    simulation = Simulation(workers=workers, seed=workers, failures=failures).run()
    for method in METHODS:
        assert len(simulation.of(method, "search")) == PLAN.budget.trials
        assert len(simulation.of(method, "confirm")) == PLAN.budget.seeds
        best = simulation.dealer.searches[method].best()
        assert (method, "search", best.index) not in failures
    told = simulation.told()
    assert told["fedavg"][1][1:] == (None, "PRUNED"), "a failure is told, without a score"
    assert told["fedrep"][0][1:] == (None, "PRUNED")


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("index", range(4))
def test_a_trial_that_fails_while_it_pauses_does_not_stop_the_comparison(workers, index):
    failures = {(method, "search", index): SPOIL for method in METHODS}
    simulation = Simulation(workers=workers, seed=index, failures=failures).run()
    assert len(simulation.trials) == PLAN.total_trials()
    for search in simulation.dealer.searches.values():
        assert search.best().index != index or search.outcomes[index].round


@pytest.mark.parametrize("failure", [CRASH, DIVERGE])
@pytest.mark.parametrize("workers", [1, 4])
def test_a_method_whose_trials_all_fail_gets_no_confirmation(failure, workers):
    failures = {("fedrep", "search", index): failure for index in range(PLAN.budget.trials)}
    simulation = Simulation(workers=workers, seed=1, failures=failures).run()
    assert len(simulation.of("fedrep", "search")) == PLAN.budget.trials
    assert simulation.of("fedrep", "confirm") == []
    assert simulation.dealer.searches["fedrep"].best() is None
    assert len(simulation.of("fedavg", "confirm")) == PLAN.budget.seeds
    assert simulation.searcher.suggest("one more") == Searcher.FINISHED


def test_a_comparison_whose_trials_all_fail_ends():
    failures = {(m, "search", i): CRASH for m in METHODS for i in range(PLAN.budget.trials)}
    simulation = Simulation(workers=2, failures=failures).run()
    assert len(simulation.trials) == len(failures)
    assert simulation.searcher.suggest("one more") == Searcher.FINISHED


def test_without_confirmation_seeds_the_search_is_all():
    plan = make_plan(methods=METHODS[:1], trials=3, generation=2, eta=2, seeds=0)
    simulation = Simulation(plan).run()
    assert [trial.candidate.stage for trial in simulation.trials] == ["search"] * 3
    assert simulation.searcher.suggest("one more") == Searcher.FINISHED


def test_one_method_does_not_influence_another(alone):
    """The same suggestions and survivors with other methods beside it, or none."""
    plan = Plan(("fedrep",), PLAN.budget, PLAN.protocol)
    single = Simulation(plan, workers=2).run()
    assert single.told()["fedrep"] == alone.told()["fedrep"]
    assert single.survivors().items() <= alone.survivors().items()


def test_another_seed_is_another_search(alone):
    plan = make_plan(every=2, trials=7, generation=4, eta=2, seeds=2, seed=1)
    assert Simulation(plan).run().told() != alone.told()


# ----------------------------------------------------------- another strategy, another halving


class Repeating:
    """Proposes the first start point of a space, again and again, and remembers what it heard."""

    def __init__(self, method, plan, space) -> None:
        self.point, self.heard = dict(space.start[0]), []

    def propose(self, index):
        return self.point

    def hear(self, index, outcome, rungs) -> None:
        self.heard.append((index, outcome.round))


def test_a_dealer_hears_the_same_of_trials_that_run_are_known_or_are_reused():
    def heard(store=NOTHING, lines=()) -> tuple[dict, Simulation]:
        told = {}
        simulated = Simulation(seed=3, store=store, lines=lines)
        complete = simulated.dealer.complete

        def note(candidate, outcome):
            told[candidate.name] = outcome
            complete(candidate, outcome)

        simulated.dealer.complete = note
        simulated.run()
        return told, simulated

    store = Store()
    live, simulated = heard(store)
    assert heard(lines=simulated.lines)[0] == live, "told from the journal"
    assert heard(store=store)[0] == live, "told from the store"
    for name, outcome in live.items():
        assert outcome.mb == outcome.round / 8
        tested = 0.75 * outcome.value if "confirm" in name else math.nan
        assert outcome.test == pytest.approx(tested, nan_ok=True)


class Everybody:
    """No halving."""

    def __init__(self, plan, generation) -> None:
        pass

    def add(self, index) -> None:
        pass

    def reach(self, index, standing) -> None:
        pass

    def leave(self, index) -> None:
        pass

    def verdict(self, index):
        return "go on"


@pytest.mark.parametrize("workers", [1, 3])
def test_another_strategy_and_another_halving_take_their_place(workers):
    plan = make_plan(methods=METHODS[:2], trials=5, generation=2, eta=2, seeds=1)
    objects = {"strategy": Repeating, "halving": Everybody}
    simulation = Simulation(plan, workers, seed=workers, **objects).run()
    for method in plan.methods:
        trials = simulation.of(method, "search")
        assert [t.candidate.knobs for t in trials] == [SPACES[method].start[0]] * 5
        assert {t.last_result["round"] for t in trials} == {8}, "nobody is stopped"
        heard = simulation.dealer.searches[method].strategy.heard
        assert heard == [(index, 8) for index in range(5)]


# ------------------------------------------------------------------------- killed and resumed


@pytest.mark.parametrize("steps", [0, 3, 30, 80, 150, 10_000])
@pytest.mark.parametrize("workers", [1, 3])
def test_a_killed_search_goes_on_as_if_nothing_had_happened(alone, steps, workers):
    simulation = killed_after(steps, workers=workers, seed=7)
    resumed = Simulation(workers=workers, seed=8, lines=simulation.lines).run()
    assert resumed.outcome() == alone.outcome()


@settings(max_examples=25)
@given(
    steps=st.lists(st.integers(0, 120), max_size=5),
    workers=st.integers(1, 4),
    broken=st.dictionaries(st.integers(0, 6), st.sampled_from([CRASH, DIVERGE]), max_size=3),
    lost=st.integers(0, 3),
)
def test_a_search_killed_many_times_ends_as_it_would_have(steps, workers, broken, lost):
    """With failing trials too, and with the last lines of the journal lost by a dying machine.

    What is lost of a trial comes back with its checkpoint or by training again: the same figures.
    """
    failures = {("fedrep", "search", index): kind for index, kind in broken.items()}
    lines = []
    for number, count in enumerate(steps):
        session = killed_after(count, workers=workers, seed=number, failures=failures, lines=lines)
        lines = session.lines[: len(session.lines) - lost]
    ended = Simulation(workers=workers, seed=99, failures=failures, lines=lines).run()
    assert ended.outcome() == Simulation(failures=failures).run().outcome()


def killed_after(steps, **settings) -> Simulation:
    simulation = Simulation(**settings)
    for _ in range(steps if simulation.has_work() else 0):
        if not simulation.over:
            simulation.step()
    return simulation


def test_what_has_ended_is_not_run_again(alone):
    again = Simulation(lines=alone.lines)
    assert not again.has_work()
    assert again.dealer.best() == alone.dealer.best()
    half = alone.lines[: len(alone.lines) // 2]
    resumed = Simulation(lines=half).run()
    ended = {event.trial for event in half if isinstance(event, TrialEnded)}
    assert ended
    assert ended.isdisjoint(trial.candidate.name for trial in resumed.trials)


# ------------------------------------------------------------------- trials that are known already


def told_of(seat) -> dict:
    """All that the journal says of each trial, but when, and whether it was trained here."""
    found = {}
    for event in seat.lines:
        content = {k: v for k, v in vars(event).items() if k not in ("time", "reused")}
        found.setdefault(event.trial, []).append((type(event).__name__, content))
    return found


def stored(record, rounds: int, failures=None, plan=PLAN) -> StoredTrial:
    """What would be kept of a trial that was trained for so many rounds, or until it failed."""
    candidate = candidate_in(record, plan)
    trial = FakeTrial("stored", candidate.to_config())
    failure = 1 + candidate.index % 3 if trial.key in (failures or {}) else math.inf
    results = [_result(trial, n, plan) for n in range(1, min(rounds, failure - 1) + 1)]
    done = tuple(
        StoredRound(r["round"], r[SCORE], {k: v for k, v in r.items() if "/" in k}) for r in results
    )
    if rounds >= failure:
        return StoredTrial(done, "failed", "diverged")
    if rounds < plan.protocol.rounds:
        return StoredTrial(done, "reached")
    return StoredTrial(done, "finished", selected=results[-1]["selected"])


def candidate_in(record, plan) -> Candidate:
    """The methods of these tests have their short names as references."""
    begun = record.started
    names = ("method", "stage", "index", "generation", "seed", "knobs")
    return Candidate(**{name: getattr(begun, name) for name in names})


def store_of(trained: Simulation, lengths: dict, failures=None) -> Store:
    """A store that knows some trials of a comparison for so many rounds; of 0, nothing."""
    store = Store()
    for name, record in trained.ledger._records.items():
        if rounds := lengths.get(name, 0):
            known = stored(record, rounds, failures, trained.plan)
            store.kept.setdefault(Store.key(candidate_in(record, trained.plan)), known)
    return store


DIVERGING = {("fedavg", "search", 1): DIVERGE, ("fedrep", "search", 5): DIVERGE}


@pytest.fixture(scope="module")
def diverging():
    """The comparison on one worker, where two trials fail by their own fault."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return Simulation(failures=DIVERGING).run()


@settings(max_examples=40)
@given(data=st.data(), workers=st.integers(1, 4), seed=st.integers(0, 1000))
def test_trials_that_are_found_are_told_as_if_they_were_trained(diverging, data, workers, seed):
    """Whatever is known of whichever trial, wherever the comparison is killed on its way, and
    whether the store is still there when it goes on.
    """
    names = sorted(diverging.ledger.names())
    lengths = dict(zip(names, data.draw(st.lists(st.integers(0, 8), min_size=23)), strict=False))
    kwargs = {"workers": workers, "failures": DIVERGING}
    store = store_of(diverging, lengths, DIVERGING)
    killed = killed_after(data.draw(st.integers(0, 200)), seed=seed, store=store, **kwargs)
    lines = killed.lines[: data.draw(st.integers(0, len(killed.lines)))]
    left = data.draw(st.sampled_from([store, NOTHING]))
    ended = Simulation(lines=lines, seed=seed + 1, store=left, **kwargs).run()
    assert ended.outcome() == diverging.outcome()
    assert told_of(ended.seat) == told_of(diverging.seat)


def test_what_is_known_as_a_whole_needs_no_training(diverging):
    store = Store()
    first = Simulation(failures=DIVERGING, store=store).run()
    assert len(store.kept) == len({Store.key(t.candidate) for t in first.trials})
    again = Simulation(workers=3, store=store)
    assert not again.has_work()
    assert told_of(again.seat) == told_of(first.seat) == told_of(diverging.seat)
    assert all(e.reused for e in again.lines if isinstance(e, TrialStarted))
    assert again.outcome() == diverging.outcome()


def test_a_trial_goes_no_further_than_its_bracket_lets_it(alone):
    """Though the store knows all of it."""
    everything = store_of(alone, dict.fromkeys(alone.ledger.names(), 8))
    again = Simulation(store=everything)
    assert not again.has_work()
    assert told_of(again.seat) == told_of(alone.seat)
    assert Counter(e.round for e in again.lines if isinstance(e, TrialEnded))[2] == 6


def test_a_trial_that_is_known_up_to_a_rung_waits_there_and_is_trained_when_it_may_go_on(alone):
    lengths = {name: 2 for name in alone.ledger.names() if "search" in name}
    again = Simulation(store=store_of(alone, lengths)).run()
    trained = {trial.candidate.name for trial in again.trials if "search" in trial.candidate.name}
    beyond = {
        name
        for name, record in alone.ledger._records.items()
        if record.started.stage == "search" and record.round > 2
    }
    assert trained == beyond
    assert told_of(again.seat) == told_of(alone.seat)


def test_what_a_machine_did_to_a_trial_is_not_kept_and_what_it_did_itself_is():
    failures = {("fedavg", "search", 1): CRASH, ("fedavg", "search", 2): DIVERGE}
    store = Store()
    simulation = Simulation(failures=failures, store=store).run()
    crashed, diverged = simulation.of("fedavg", "search")[1:3]
    assert store.find(crashed.candidate) is None
    assert store.find(diverged.candidate).outcome == "failed"
    ended = {e.trial: e.own_fault for e in simulation.lines if isinstance(e, TrialEnded)}
    assert ended[crashed.candidate.name] is False
    assert ended[diverged.candidate.name] is True


def test_a_store_that_cannot_be_written_is_told_once_and_stops_nothing(alone):
    simulation = Simulation(workers=2, store=Store(full=True)).run()
    assert simulation.outcome() == alone.outcome()
    (warning,) = simulation.seat.warnings
    assert "No space left on device" in warning


def test_what_other_code_began_is_kept_for_nobody_else():
    ledger, store, lines = Ledger(), Store(), []
    log = TrialLog(
        lines.append, ledger, store, "/nowhere/at/all", print, unkept={"fedavg-search-0"}
    )
    for index in (0, 1):
        candidate = Candidate("fedavg", "search", index, 0, 7, {"lr": index})
        log.begin(candidate)
        ledger.apply(lines[-1])
        log.keep_and_end(candidate, TrialEnded(candidate.name, "stopped early", 0))
    assert [key[-1] for key in store.kept] == ['{"lr": 1}']


# ------------------------------------------------------------------- several comparisons at once


@pytest.mark.parametrize("workers", [1, 3])
def test_comparisons_that_share_the_workers_are_what_they_are_alone(alone, workers):
    small = make_plan(methods=METHODS[:2], trials=4, generation=4, eta=2, seeds=1)
    beside = [Seat(small), Seat(PLAN, DIVERGING)]
    both = Simulation(workers=workers, seed=4, beside=beside).run()
    assert told_of(both.seat) == told_of(alone.seat)
    assert told_of(beside[0]) == told_of(Simulation(small).run().seat)
    assert told_of(beside[1]) == told_of(Simulation(failures=DIVERGING).run().seat)
    assert all(seat.dealt.over for seat in both.seats.values())


def test_trials_are_dealt_evenly_over_comparisons():
    both = Simulation(beside=[Seat()])
    dealt = Counter(both.searcher.suggest(f"t{n}")["sitting"] for n in range(20))
    assert dealt == {"seat-0": 10, "seat-1": 10}


@pytest.mark.parametrize("workers", [1, 3])
def test_comparisons_side_by_side_may_share_a_store(alone, workers):
    """Both may train the same trial; the first is kept."""
    store = Store()
    beside = Seat(store=store)
    both = Simulation(workers=workers, seed=5, store=store, beside=[beside]).run()
    assert told_of(both.seat) == told_of(beside) == told_of(alone.seat)
    assert len(store.kept) == len({Store.key(t.candidate) for t in alone.trials})


def test_a_trial_that_would_be_another_one_is_refused(alone):
    started = next(event for event in alone.lines if isinstance(event, TrialStarted))
    other = replace(started, knobs={**started.knobs, "lr": 0.123})
    with pytest.raises(UserError, match=rf"{started.trial} was started with .*0\.123"):
        Simulation(lines=[other]).has_work()


def test_whoever_asks_to_stop_gets_every_trial_paused_after_its_round():
    simulation = Simulation(workers=2, seed=3)
    for _ in range(20):
        simulation.step()
    simulation.stopping.ask()
    with pytest.raises(Stopped):
        simulation.run()
    assert {trial.status for trial in simulation.trials} <= {
        Trial.PAUSED, Trial.PENDING, Trial.TERMINATED,
    }  # fmt: skip


def test_a_candidate_survives_the_way_through_ray():
    candidate = Candidate("fedrep", "search", 3, 1, 42, {"lr": 0.1, "head_epochs": 2})
    assert Candidate.from_config(candidate.to_config()) == candidate
    assert Candidate.from_config(json.loads(json.dumps(candidate.to_config()))) == candidate
