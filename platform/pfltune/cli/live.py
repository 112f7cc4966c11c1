"""The live view of a comparison: one table in a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pfltune.goal import ACCURACY, Goal
from pfltune.search.plan import Plan
from pfltune.stages import Stage
from pfltune.studies.method_progress import MethodProgress
from pfltune.studies.progress import ComparisonLines, Lines, SweepLines
from pfltune.text import plain

SECONDS_BETWEEN_FRAMES = 0.25
LONGEST_NAME = 28
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 16
"""Characters of a sparkline."""
STAGES: tuple[Stage, ...] = ("search", "choose", "confirm", "control")
COLUMNS = ("stopped early", "now", "best values")
"""After the method and its stages; the last is the first to go where there is no room."""


class Redrawn(Lines):
    """Lines of which a terminal shows one table instead, drawn anew each time."""

    _live: Live | None

    def _draw_on(self, console: Console) -> None:
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        if self._live:
            self.seconds_between = SECONDS_BETWEEN_FRAMES

    def start(self) -> None:
        """Show where it stands, and time from here on."""
        super().start()
        if self._live:
            self._live.start()

    def close(self) -> None:
        """Leave the last state on the screen, also after an interruption."""
        super().close()
        if self._live:
            self._live.stop()

    def _show(self) -> None:
        if self._live:
            self._live.update(self._table(), refresh=True)
        else:
            super()._show()

    def _table(self) -> Group:
        raise NotImplementedError


class ComparisonProgress(Redrawn, ComparisonLines):
    """Follows the journal and shows where the comparison stands.

    Args:
        plan: how much there is to do.
        console: where to show it.
        goal: what the searches go by.
    """

    def __init__(self, plan: Plan, console: Console, goal: Goal = ACCURACY) -> None:
        super().__init__(plan, partial(console.print, soft_wrap=True, highlight=False), goal)
        self._goal = goal
        self._console = console
        self._draw_on(console)

    def _table(self) -> Group:
        """As many columns as the terminal has room for; the method and how far it is are there.

        The best values of a single method have a line of their own.
        """
        states = self._methods.values()
        stages = [s for s in STAGES if any(state.planned.get(s) for state in states)]
        heads = ("method", *stages, f"best val. {self._goal.noun}", *COLUMNS)
        rows = [self._row(name, state, stages) for name, state in self._methods.items()]
        endless = Console(width=sys.maxsize, markup=False)
        for shown in range(len(heads) - (len(rows) == 1), len(stages), -1):
            table = Table(box=None, pad_edge=False, padding=(0, 2))
            for column in heads[:shown]:
                table.add_column(column, no_wrap=True, overflow="ellipsis")
            for row in rows:
                table.add_row(*row[:shown])
            if endless.measure(table).maximum <= self._console.width:
                break
        values = [state.best_words for state in states] if len(rows) == 1 else []
        return Group(table, *map(_line, [*values, self._clock()]))

    def _row(self, name: str, state: MethodProgress, stages: Sequence[Stage]) -> tuple[Text, ...]:
        goal = self._goal
        best = f"{state.best_text:>4}{goal.unit} {self._spark(state)}"
        if state.best == goal.nothing:
            best = ""
        cells = (
            _short(name),
            *map(state.of, stages),
            best,
            str(state.stopped) + (f", {state.failed} failed" if state.failed else ""),
            self._running(state),
            state.values,
        )
        return tuple(Text(cell) for cell in cells)

    def _spark(self, state: MethodProgress) -> str:
        """The course of the best so far; of what has no worst figure, from the worst that was."""
        every = [each.bests for each in self._methods.values()]
        known = [b for bests in every for b in bests if b != self._goal.nothing] or [0.0]
        floor = min(known) if self._goal.nothing else 0.0
        heights = [max(best - floor, 0.0) for best in state.bests]
        return sparkline(heights, max(known) - floor)

    def _running(self, state: MethodProgress) -> str:
        protocol, rounds = self._plan.protocol, sorted(state.rounds.values(), reverse=True)
        spent = [f"{100 * each:.0f} %" for each in sorted(state.spent.values(), reverse=True)]
        reached, of = [str(each) for each in rounds], f"round {{}} of {protocol.rounds}"
        if protocol.budget is not None:
            reached, of = spent, f"{{}} of {protocol.budget}"
        shown = ", ".join(reached[:4]) + (" …" if len(reached) > 4 else "")
        return f"{len(reached)} running, {of.format(shown)}" if reached else ""


class SweepProgress(Redrawn, SweepLines):
    """Follows the cells of a sweep and shows where they stand.

    Args:
        plans: of the cells, by what they are called.
        console: where to show it.
    """

    def __init__(self, plans: Mapping[str, Plan], console: Console) -> None:
        super().__init__(plans, partial(console.print, soft_wrap=True, highlight=False))
        self._draw_on(console)

    def _table(self) -> Group:
        table = Table(box=None, pad_edge=False, padding=(0, 2))
        for column in ("cell", "trials"):
            table.add_column(column, no_wrap=True, overflow="ellipsis")
        for label, trials in self.trials().items():
            table.add_row(Text(_short(label)), trials)
        return Group(table, Text(self.time(), style="dim", no_wrap=True, overflow="ellipsis"))


def sparkline(values: Sequence[float], highest: float) -> str:
    """Values from 0 to ``highest`` as bars, at most ``WIDTH`` of them; empty if all are 0."""
    if highest <= 0:
        return ""
    step = max(len(values) / WIDTH, 1.0)
    shown = [values[int(i * step)] for i in range(min(len(values), WIDTH))]
    levels = [round(value / highest * (len(BARS) - 1)) for value in [*shown[:-1], *values[-1:]]]
    return "".join(BARS[level] for level in levels)


def _line(text: str) -> Text:
    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


def _short(name: str) -> str:
    shown = plain(name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"
