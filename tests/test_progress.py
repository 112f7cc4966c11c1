"""The live view, from the journal's events."""

import io
import random
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from pfltune.budget import Budget
from pfltune.cli.live import ComparisonProgress, sparkline
from pfltune.federation.federation import Rounds
from pfltune.federation.trial_budget import budget_of
from pfltune.ranking import Outcome, best_index
from pfltune.search.plan import Plan
from pfltune.studies import method_progress, progress
from pfltune.studies.method_progress import MethodProgress
from pfltune.tracking.events import MethodEnded, RoundDone, TrialEnded, TrialStarted

PLAN = Plan(
    ("fedavg", "local"),
    Budget(trials=2, generation=2, seeds=1),
    Rounds(rounds=4, sampled_clients=1, local_epochs=1, batch_size=1),
)


def trial(method, stage, index, outcome, scores, failure="", **knobs):
    name = f"{method}-{stage}-{index}"
    yield TrialStarted(name, method, stage, index, 0, 7, knobs)
    for number, value in enumerate(scores, start=1):
        yield RoundDone(name, number, value, {})
    if outcome:
        yield TrialEnded(name, outcome, len(scores), failure)


EVENTS = [
    *trial("fedavg", "search", 0, "finished", [0.2, 0.4, 0.4, 0.8]),
    *trial("fedavg", "search", 1, "stopped early", [0.1]),
    *trial("fedavg", "confirm", 0, None, [0.3, 0.5]),
    *trial("local", "search", 0, "failed", [0.4], "diverged"),
]


def shown(*, terminal: bool, before=(), width=120, plan=PLAN, events=EVENTS) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    view = ComparisonProgress(plan, console)
    for event in before:
        view.apply(event)
    view.start()
    for event in events[len(before) :]:
        view.apply(event)
    view.close()
    return out.getvalue()


def test_the_live_table_has_a_row_for_each_method():
    last = shown(terminal=True).rpartition("method")[2].splitlines()
    fedavg, local = (next(line for line in last if name in line) for name in ("fedavg", "local"))
    for words in ("2/2", "0/1", "80.0 %", "1 running, round 2 of 4"):
        assert words in fedavg
    assert "1/2" in local
    assert "1 failed" in local
    assert "%" not in local, "its only trial failed"


def test_elsewhere_the_last_line_says_how_far_it_came():
    line = shown(terminal=False).splitlines()[-1]
    assert "fedavg 2/3 best 80.0 | local 1/3 best 0.0" in line
    # 2 · (2 search trials, 1 seed: 4 rounds each), less 3 of the failed trial and 3 of the stopped.
    assert f"8 of {PLAN.total_rounds() - 3 - 3} rounds" in line


TUNING = replace(
    PLAN,
    methods=("fedperfix",),
    budget=Budget(trials=3, generation=3, seeds=1, finalists=3, finalist_seeds=2),
    fixed={"fedperfix": {"prefix": "tokens"}},
)
LONG = {"prefix": "tokens", "lr": 0.031234, "prefix_length": 8, "learn_alpha": True}
SEARCHED = [
    *trial("fedperfix", "search", 0, "stopped early", [0.9], **{**LONG, "lr": 1.0}),
    *trial("fedperfix", "search", 1, None, [0.2, 0.5], **LONG),
    *trial("fedperfix", "search", 2, "failed", [0.1, 0.2, 0.7], "diverged", **LONG),
]
CHOOSING = [
    *SEARCHED,
    TrialEnded("fedperfix-search-1", "finished", 2),
    *trial("fedperfix", "choose", 0, "finished", [0.4], **LONG),
    *trial("fedperfix", "choose", 1, None, [0.4], **LONG),
]
TESTED = [
    *CHOOSING,
    TrialEnded("fedperfix-choose-1", "finished", 4),
    *trial("fedperfix", "confirm", 0, None, [0.4], **{**LONG, "lr": 0.5}),
]


@pytest.mark.parametrize("width", [80, 120])
def test_tuning_shows_the_best_values_so_far_without_what_is_held(width):
    """Of the trial that came furthest, with its accuracy: one that failed is none."""
    last = shown(terminal=True, width=width, plan=TUNING, events=SEARCHED)
    table, _, values = last.rpartition("method")[2].partition("best 50.0: ")
    assert values.splitlines()[0].rstrip() == "lr=0.031 prefix_length=8 learn_alpha=True"
    for words in ("search", "choose", "confirm", "2/3", "0/6", "0/1"):
        assert words in table
    line = shown(terminal=False, plan=TUNING, events=SEARCHED).splitlines()[-1]
    assert line.endswith(
        "fedperfix search 2/3, choose 0/6, confirm 0/1 | "
        "best 50.0: lr=0.031 prefix_length=8 learn_alpha=True"
    )


def test_finalists_are_counted_and_fewer_when_there_are_no_more():
    line = shown(terminal=False, plan=TUNING, events=CHOOSING).splitlines()[-1]
    assert "search 3/3, choose 1/6, confirm 0/1 | best 50.0: " in line
    ended = shown(terminal=False, plan=TUNING, events=TESTED).splitlines()[-1]
    assert "search 3/3, choose 2/2, confirm 0/1 | chosen: lr=0.5 prefix_length=8" in ended
    # 4 · 4 rounds of finalists do not come, nor 3 of the first; and the search took 6 of 8.
    assert f"of {TUNING.total_rounds() - 16 - 3 - 2} rounds" in ended


def spending(stage, index, outcome, *shares):
    """A trial of fedavg that has spent these shares of its budget after its rounds."""
    name = f"fedavg-{stage}-{index}"
    yield TrialStarted(name, "fedavg", stage, index, 0, 7, {})
    for number, share in enumerate(shares, start=1):
        yield RoundDone(name, number, 0.5, {"budget/spent": share, "budget/ahead": share + 0.2})
    if outcome:
        yield TrialEnded(name, outcome, len(shares))


def test_what_is_left_of_budgets_is_known_once_a_stage_is_over():
    """By the plan two trials to the half and one to the end, then four tests: 1.5 + 4."""
    rules = PLAN.protocol.model_copy(update={"budget": budget_of("10MB")})
    budget = Budget(trials=2, generation=2, eta=2, seeds=4)
    plan = replace(PLAN, methods=("fedavg",), budget=budget, protocol=rules)
    searched = [
        *spending("search", 0, "stopped early", 0.3, 0.6),
        *spending("search", 1, "finished", 0.3, 0.6, 0.9),
    ]
    tested = [*searched, *spending("confirm", 0, "finished", 0.95)]
    tested += spending("confirm", 1, "failed", 0.25)
    ended = [*tested, MethodEnded("fedavg", {})]
    for events, words in (
        (searched[:3], "0.60 of 5.5 trial budgets"),
        (searched, "1.50 of 5.5 trial budgets"),
        (tested, "2.70 of 4.7 trial budgets"),
        (ended, "2.70 of 2.7 trial budgets"),
    ):
        assert words in shown(terminal=False, plan=plan, events=events).splitlines()[-1]


def test_what_a_limit_has_stopped_is_not_waited_for():
    """Four rounds of each of two trials were planned; both are over after their first."""
    budget = PLAN.budget.model_copy(update={"max_mb": 1.0})
    plan = replace(PLAN, methods=("fedavg",), budget=budget)
    events = [e for n in (0, 1) for e in trial("fedavg", "search", n, "stopped early", [0.2])]
    line = shown(terminal=False, plan=plan, events=[*events, MethodEnded("fedavg", None)])
    assert "2 of 2 rounds" in line.splitlines()[-1]


def test_a_method_without_a_free_knob_has_one_search_trial():
    plan = replace(TUNING, unsearched=frozenset({"fedperfix"}))
    last = shown(terminal=True, plan=plan, events=[]).rpartition("method")[2]
    assert "0/1       0/1" in last
    assert "choose" not in last


def test_a_comparison_shows_best_values_where_there_is_room():
    events = [*trial("fedavg", "search", 0, None, [0.4], lr=0.25), *EVENTS[-3:]]
    wide, narrow = (shown(terminal=True, width=w, events=events) for w in (120, 60))
    assert "lr=0.25" in wide
    assert "lr=0.25" not in narrow


def test_what_earlier_sessions_did_is_counted_but_not_timed():
    assert "8 of" in shown(terminal=False, before=EVENTS[:6])
    done = shown(terminal=False, before=EVENTS).splitlines()[-1]
    assert "left" not in done, "nothing was done in this session to estimate from"


def test_the_time_left_does_not_count_how_long_the_first_round_took(monkeypatch):
    """The first round ends after 60 s, of which 59 are spent on imports; then one ends a second."""
    clock = iter([0.0, 0.0, 60.0])
    now = 60.0
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock, now)))
    rounds = Rounds(rounds=100, sampled_clients=1, local_epochs=1, batch_size=1)
    plan = Plan(("fedavg",), Budget(trials=1, seeds=1), rounds)
    view = ComparisonProgress(plan, Console(file=io.StringIO(), width=200))
    view.start()
    view.apply(TrialStarted("a", "fedavg", "search", 0, 0, 7, {}))
    told = []
    for number in range(1, 21):
        now = 59.0 + number
        view.apply(RoundDone("a", number, 0.5, {}))
        told.append(view._clock())
    assert not any("left" in line for line in told[:10]), "ten rounds are too few to tell"
    assert "3:00 left, 20 of 200 rounds" in told[-1]


@pytest.mark.parametrize("width", [40, 60, 80, 120])
def test_the_live_table_fits_its_terminal_and_never_wraps(width):
    last = shown(terminal=True, width=width).rpartition("method")[2].splitlines()
    assert all(len(line) <= width for line in last)
    (fedavg,) = (line for line in last if line.startswith("fedavg"))
    assert "2/2" in fedavg


def test_the_best_so_far_is_found_without_looking_through_all_trials_in_every_round(monkeypatch):
    looked = []

    def counted(outcomes, course):
        known = dict(outcomes)
        looked.append(len(known))
        return best_index(known.items(), course)

    monkeypatch.setattr(method_progress, "best_index", counted)
    rng, state = random.Random(0), MethodProgress({"search": 200})
    for index in range(200):
        for done in range(1, 5):
            falls = rng.random() < 0.02
            state.hear((0, index), None if falls else Outcome(done, rng.random()))
            best = best_index(state.searched.items())
            assert state.best == (state.searched[best].value if best else 0.0)
    assert sum(looked) < 10_000, "200 trials of 4 rounds: all in every round would be 80,000"


def test_a_sparkline_rises_as_its_values_do():
    assert sparkline([0.0, 0.5, 1.0], 1.0) == "▁▅█"
    assert sparkline([0.25], 0.5) == "▅"
    assert sparkline([], 1.0) == ""
    assert sparkline([0.0], 0.0) == ""
    long = sparkline([i / 1000 for i in range(1001)], 1.0)
    assert len(long) == 16
    assert list(long) == sorted(long)
    assert long[-1] == "█", "the newest value is always there"
