"""The live view of a comparison: one table in a terminal, plain lines elsewhere."""

import sys
from collections.abc import Mapping, Sequence
from functools import partial

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from pfltune.search.plan import Plan
from pfltune.studies.progress import ComparisonLines, Lines, MethodProgress, SweepLines
from pfltune.text import plain

SECONDS_BETWEEN_FRAMES = 0.25
LONGEST_NAME = 28
BARS = "▁▂▃▄▅▆▇█"
WIDTH = 16
"""Characters of a sparkline."""
COLUMNS = ("method", "search", "confirm", "best val. accuracy", "stopped early", "now")
"""Of the live table; the last is the first to go where there is no room."""


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
    """

    def __init__(self, plan: Plan, console: Console) -> None:
        super().__init__(plan, partial(console.print, soft_wrap=True, highlight=False))
        self._console = console
        self._draw_on(console)

    def _table(self) -> Group:
        """As many columns as the terminal has room for; the method and how far it is are there."""
        rows = [self._row(name, state) for name, state in self._methods.items()]
        endless = Console(width=sys.maxsize, markup=False)
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

    def _running(self, state: MethodProgress) -> str:
        reached = sorted(state.rounds.values(), reverse=True)
        shown = ", ".join(map(str, reached[:4])) + (" …" if len(reached) > 4 else "")
        of = f"{len(reached)} running, round {shown} of {self._plan.protocol.rounds}"
        return of if reached else ""


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


def _short(name: str) -> str:
    shown = plain(name)
    return shown if len(shown) <= LONGEST_NAME else f"{shown[: LONGEST_NAME - 1]}…"
