"""The live view, from the journal's events."""

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from pfltune.budget import Budget
from pfltune.cli.live import ComparisonProgress, sparkline
from pfltune.federation.federation import Rounds
from pfltune.search.plan import Plan
from pfltune.studies import progress
from pfltune.tracking.events import RoundDone, TrialEnded, TrialStarted

PLAN = Plan(
    ("fedavg", "local"),
    Budget(trials=2, generation=2, seeds=1),
    Rounds(rounds=4, sampled_clients=1, local_epochs=1, batch_size=1),
)


def trial(method, stage, index, outcome, scores, failure=""):
    name = f"{method}-{stage}-{index}"
    yield TrialStarted(name, method, stage, index, 0, 7, {})
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


def shown(*, terminal: bool, before=(), width=120) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, color_system=None)
    view = ComparisonProgress(PLAN, console)
    for event in before:
        view.apply(event)
    view.start()
    for event in EVENTS[len(before) :]:
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
    assert "40.0 %" in local


def test_elsewhere_the_last_line_says_how_far_it_came():
    line = shown(terminal=False).splitlines()[-1]
    assert "fedavg 2/3 best 80.0 | local 1/3 best 40.0" in line
    # 2 · (2 search trials: 4 + 1 rounds by the plan, 1 seed: 4 rounds), less 3 of the failed trial.
    assert f"8 of {PLAN.total_rounds() - 3} rounds" in line


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


def test_a_sparkline_rises_as_its_values_do():
    assert sparkline([0.0, 0.5, 1.0], 1.0) == "▁▅█"
    assert sparkline([0.25], 0.5) == "▅"
    assert sparkline([], 1.0) == ""
    assert sparkline([0.0], 0.0) == ""
    long = sparkline([i / 1000 for i in range(1001)], 1.0)
    assert len(long) == 16
    assert list(long) == sorted(long)
    assert long[-1] == "█", "the newest value is always there"
