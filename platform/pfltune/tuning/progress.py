"""The live view of a comparison: one table in a terminal, plain lines elsewhere."""

import time
from dataclasses import dataclass, field
from typing import Any

from ray.tune.experiment import Trial
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pfltune.registry import short_name
from pfltune.tuning.callback import DriverCallback
from pfltune.tuning.candidate import OBJECTIVE, Candidate
from pfltune.tuning.plan import Plan

SECONDS_BETWEEN_LINES = 15.0


@dataclass
class MethodProgress:
    """What is known of one method's trials.

    Attributes:
        ended: search trials that have ended, those stopped early and failed included.
        stopped: of these, stopped early at a rung.
        failed: trials of both phases that failed.
        confirmed: confirmation trials that have ended.
        best: best validation accuracy of the search so far.
        rounds: the round that each running trial has reached.
    """

    ended: int = 0
    stopped: int = 0
    failed: int = 0
    confirmed: int = 0
    best: float = 0.0
    rounds: dict[str, int] = field(default_factory=dict)


class ProgressCallback(DriverCallback):
    """Follows Tune's trials and shows where the comparison stands.

    Args:
        plan: how much there is to do.
        console: where to show it.
    """

    def __init__(self, plan: Plan, console: Console) -> None:
        self._plan = plan
        self._console = console
        self._methods = {short_name(method): MethodProgress() for method in plan.methods}
        self._rounds_done = 0
        self._rounds_saved = 0
        self._began = time.monotonic()
        self._last_line = self._began
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None

    def setup(self, **info: Any) -> None:
        """Start the live table."""
        self._began = time.monotonic()
        if self._live:
            self._live.start()

    def on_trial_result(
        self, iteration: int, trials: list, trial: Trial, result: dict, **info: Any
    ) -> None:
        """Count a round."""
        candidate = Candidate.from_config(trial.config)
        progress = self._methods[short_name(candidate.method)]
        progress.rounds[trial.trial_id] = result["round"]
        self._rounds_done += 1
        if candidate.phase == "search":
            progress.best = max(progress.best, result.get(OBJECTIVE, 0.0))
        self._show()

    def on_trial_complete(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Count a trial that ended or was stopped."""
        self._end(trial, failed=bool((trial.last_result or {}).get("failure")))

    def on_trial_error(self, iteration: int, trials: list, trial: Trial, **info: Any) -> None:
        """Count a trial that crashed."""
        self._end(trial, failed=True)

    def close(self) -> None:
        """Leave the last state on the screen, also after an interruption."""
        if self._live:
            self._live.update(self._table(), refresh=True)
            self._live.stop()
        else:
            self._console.print(self._line(), soft_wrap=True, highlight=False)

    def get_state(self) -> dict[str, Any]:
        """Counts, for a restored driver."""
        return {"methods": self._methods, "rounds_done": self._rounds_done}

    def set_state(self, state: dict[str, Any]) -> None:
        """The inverse of :meth:`get_state`."""
        self._methods, self._rounds_done = state["methods"], state["rounds_done"]

    def _end(self, trial: Trial, *, failed: bool) -> None:
        candidate = Candidate.from_config(trial.config)
        progress = self._methods[short_name(candidate.method)]
        reached = progress.rounds.pop(trial.trial_id, 0)
        progress.failed += failed
        if failed:
            self._rounds_saved += self._plan.protocol.rounds - reached
        if candidate.phase == "confirm":
            progress.confirmed += 1
        else:
            progress.ended += 1
            progress.stopped += reached < self._plan.protocol.rounds and not failed
        self._show()

    def _show(self) -> None:
        if self._live:
            self._live.update(self._table(), refresh=True)
        elif time.monotonic() - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            self._console.print(self._line(), soft_wrap=True, highlight=False)

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        for column in ("method", "search", "stopped early", "confirm", "best val. accuracy", "now"):
            table.add_column(column)
        budget = self._plan.budget
        for name, state in self._methods.items():
            table.add_row(
                name,
                f"{state.ended}/{budget.trials}",
                str(state.stopped) + (f", {state.failed} failed" if state.failed else ""),
                f"{state.confirmed}/{budget.seeds}",
                f"{100 * state.best:.1f} %" if state.best else "",
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
        return f"round {shown} of {self._plan.protocol.rounds}" if reached else ""

    def _clock(self) -> str:
        elapsed = time.monotonic() - self._began
        total = max(self._plan.total_rounds() - self._rounds_saved, self._rounds_done)
        done = self._rounds_done
        left = _minutes(elapsed * (total - done) / done) if done else "?"
        return f"{_minutes(elapsed)} elapsed, {left} left, {done} of {total} rounds"


def _minutes(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"
