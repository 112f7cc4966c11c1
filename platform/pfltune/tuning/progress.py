"""The live view of a comparison: one table in a terminal, plain lines elsewhere."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pfltune.registry import short_name
from pfltune.tracking.events import Event, RoundDone, TrialEnded, TrialStarted
from pfltune.tuning.plan import Plan

SECONDS_BETWEEN_LINES = 15.0
SECONDS_BETWEEN_FRAMES = 0.25
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 16
"""Characters of a sparkline."""


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
        self._rounds_before = 0
        self._rounds_saved = 0
        self._began = time.monotonic()
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
        self._rounds_before = self._rounds_done
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
        if self._trials[event.trial].phase == "search":
            progress.bests.append(max(progress.best, event.objective))

    def _count_end(self, event: TrialEnded) -> None:
        progress = self._of(event.trial)
        progress.rounds.pop(event.trial, None)
        failed = event.outcome == "failed"
        progress.failed += failed
        if failed:
            self._rounds_saved += self._plan.protocol.rounds - event.round
        if self._trials[event.trial].phase == "confirm":
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
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        for column in ("method", "search", "stopped early", "confirm", "best val. accuracy", "now"):
            table.add_column(column)
        budget = self._plan.budget
        highest = max(state.best for state in self._methods.values())
        for name, state in self._methods.items():
            table.add_row(
                name,
                f"{state.ended}/{budget.trials}",
                str(state.stopped) + (f", {state.failed} failed" if state.failed else ""),
                f"{state.confirmed}/{budget.seeds}",
                f"{100 * state.best:4.1f} % {sparkline(state.bests, highest)}"
                if state.best
                else "",
                self._running(state),
            )
        return Group(table, Text(self._clock(), style="dim"))

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
        elapsed = time.monotonic() - self._began
        total = max(self._plan.total_rounds() - self._rounds_saved, self._rounds_done)
        done = self._rounds_done
        new = done - self._rounds_before
        left = _minutes(elapsed * (total - done) / new) if new else "?"
        return f"{_minutes(elapsed)} elapsed, {left} left, {done} of {total} rounds"


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
