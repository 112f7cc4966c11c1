"""The live view of a comparison: one table in a terminal, plain lines elsewhere."""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pfltune.registry import short_name
from pfltune.search.plan import Plan
from pfltune.text import count, plain
from pfltune.tracking.events import Event, RoundDone, TrialEnded, TrialStarted

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_FRAMES = 0.25
FEWEST_ROUNDS = 10
"""Rounds without which the time left is not estimated."""
LONGEST_NAME = 28
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 16
"""Characters of a sparkline."""
COLUMNS = ("method", "search", "confirm", "best val. accuracy", "stopped early", "now")
"""Of the live table; the last is the first to go where there is no room."""


@dataclass
class MethodProgress:
    """What is known of one method's trials.

    Attributes:
        ended: search trials that have ended, those stopped early and failed included.
        stopped: of these, stopped early at a rung.
        failed: trials of both phases that failed.
        confirmed: confirmation trials that have ended.
        bests: best validation accuracy of the search after each of its rounds.
        rounds: the round that each running trial has reached.
    """

    ended: int = 0
    stopped: int = 0
    failed: int = 0
    confirmed: int = 0
    bests: list[float] = field(default_factory=list)
    rounds: dict[str, int] = field(default_factory=dict)

    @property
    def best(self) -> float:
        """Best validation accuracy of the search so far; 0 before the first."""
        return self.bests[-1] if self.bests else 0.0


class ComparisonProgress:
    """Follows the journal and shows where the comparison stands.

    Args:
        plan: how much there is to do.
        console: where to show it.
    """

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._methods = {short_name(method): MethodProgress() for method in plan.methods}
        self._trials: dict[str, TrialStarted] = {}
        self._rounds_done = 0
        self._rounds_saved = 0
        self._began = time.monotonic()
        self._first: tuple[float, int] | None = None
        self._last_shown = self._began
        self._shown = False
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def apply(self, event: Event) -> None:
        """Count a trial, a round or an end."""
        if isinstance(event, TrialStarted):
            self._trials[event.trial] = event
        elif isinstance(event, RoundDone):
            self._count_round(event)
        elif isinstance(event, TrialEnded):
            self._count_end(event)
        if self._shown:
            self._show()

    def start(self) -> None:
        """Show what there is, and time from here on."""
        self._shown = True
        self._began = time.monotonic()
        if self._live:
            self._live.start()

    def close(self) -> None:
        """Leave the last state on the screen, also after an interruption."""
        if self._live:
            self._live.update(self._table(), refresh=True)
            self._live.stop()
        else:
            self._console.print(self._line(), soft_wrap=True, highlight=False)

    def _count_round(self, event: RoundDone) -> None:
        progress = self._of(event.trial)
        progress.rounds[event.trial] = event.round
        self._rounds_done += 1
        if self._shown and self._first is None:
            self._first = (time.monotonic(), self._rounds_done)
        if self._trials[event.trial].stage == "search":
            progress.bests.append(max(progress.best, event.score))

    def _count_end(self, event: TrialEnded) -> None:
        progress = self._of(event.trial)
        progress.rounds.pop(event.trial, None)
        failed = event.outcome == "failed"
        progress.failed += failed
        if failed:
            self._rounds_saved += self._plan.protocol.rounds - event.round
        if self._trials[event.trial].stage == "confirm":
            progress.confirmed += 1
        else:
            progress.ended += 1
            progress.stopped += event.outcome == "stopped early"

    def _of(self, trial: str) -> MethodProgress:
        return self._methods[self._trials[trial].method]

    def _show(self) -> None:
        every = SECONDS_BETWEEN_FRAMES if self._live else SECONDS_BETWEEN_LINES
        if time.monotonic() - self._last_shown < every:
            return
        self._last_shown = time.monotonic()
        if self._live:
            self._live.update(self._table(), refresh=True)
        else:
            self._console.print(self._line(), soft_wrap=True, highlight=False)

    def _table(self) -> Group:
        """As many columns as the terminal has room for; the method and how far it is are there."""
        rows = [self._row(name, state) for name, state in self._methods.items()]
        endless = Console(width=sys.maxsize)
        for shown in range(len(COLUMNS), 2, -1):
            table = Table(box=None, pad_edge=False, padding=(0, 2))
            for column in COLUMNS[:shown]:
                table.add_column(column, no_wrap=True, overflow="ellipsis")
            for row in rows:
                table.add_row(*row[:shown])
            if endless.measure(table).maximum <= self._console.width:
                break
        return Group(table, Text(self._clock(), style="dim", no_wrap=True, overflow="ellipsis"))

    def _row(self, name: str, state: MethodProgress) -> tuple[Text, ...]:
        budget = self._plan.budget
        highest = max(each.best for each in self._methods.values())
        best = f"{100 * state.best:4.1f} % {sparkline(state.bests, highest)}" if state.best else ""
        cells = (
            _short(name),
            f"{state.ended}/{budget.trials}",
            f"{state.confirmed}/{budget.seeds}",
            best,
            str(state.stopped) + (f", {state.failed} failed" if state.failed else ""),
            self._running(state),
        )
        return tuple(Text(cell) for cell in cells)

    def _line(self) -> str:
        budget = self._plan.budget
        states = (
            f"{name} {s.ended + s.confirmed}/{budget.trials + budget.seeds} best {100 * s.best:.1f}"
            for name, s in self._methods.items()
        )
        return f"{self._clock()} | " + " | ".join(states)

    def _running(self, state: MethodProgress) -> str:
        reached = sorted(state.rounds.values(), reverse=True)
        shown = ", ".join(map(str, reached[:4])) + (" …" if len(reached) > 4 else "")
        of = f"{len(reached)} running, round {shown} of {self._plan.protocol.rounds}"
        return of if reached else ""

    def _clock(self) -> str:
        now = time.monotonic()
        total = max(self._plan.total_rounds() - self._rounds_saved, self._rounds_done)
        rounds = f"{self._rounds_done} of {count(total, 'round')}"
        elapsed = f"{_minutes(now - self._began)} elapsed"
        left = self._left(now, total)
        return (
            f"{elapsed}, {rounds}"
            if left is None
            else f"{elapsed}, {_minutes(left)} left, {rounds}"
        )

    def _left(self, now: float, total: int) -> float | None:
        """Seconds that the other rounds will take; None while that would be a guess.

        Counted from the end of this session's first round: before it, processes start, torch and
        timm are imported and data read, none of which comes again.
        """
        if self._first is None:
            return None
        since, rounds_then = self._first
        timed = self._rounds_done - rounds_then
        if timed < FEWEST_ROUNDS:
            return None
        return (now - since) * (total - self._rounds_done) / timed


def sparkline(values: Sequence[float], highest: float) -> str:
    """Values from 0 to ``highest`` as bars, at most ``WIDTH`` of them; empty if all are 0."""
    if highest <= 0:
        return ""
    step = max(len(values) / WIDTH, 1.0)
    shown = [values[int(i * step)] for i in range(min(len(values), WIDTH))]
    levels = [round(value / highest * (len(BARS) - 1)) for value in [*shown[:-1], *values[-1:]]]
    return "".join(BARS[level] for level in levels)


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _short(name: str) -> str:
    shown = plain(name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"
