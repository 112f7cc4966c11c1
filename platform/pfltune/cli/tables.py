"""What a command found, as tables in the terminal."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TypeVar

from rich import box
from rich.console import Console
from rich.table import Table

from pfltune.report import draws_words
from pfltune.report.columns import (
    MB_PER_ROUND,
    PERSONAL,
    Column,
    cells,
    terminal_columns,
)
from pfltune.report.draws import DrawsResult
from pfltune.report.draws_table import rows as draw_rows
from pfltune.report.draws_table import terminal_columns as draw_columns
from pfltune.report.grid import GridResult
from pfltune.report.grid_table import GridColumn, best_first, columns
from pfltune.report.results import ComparisonResult, MethodResult
from pfltune.report.sensitivity import Cells, heads, rows
from pfltune.report.side_by_side import scenario_columns
from pfltune.report.sweep import SweepResult
from pfltune.report.words import seeds_of
from pfltune.text import count, plain

C = TypeVar("C")
LEAST_WANTED = (7, 5, 6, 2, 4, 1, 3)
"""Places of the columns that are the first to go where there is no room."""
LEAST_OF_A_CELL = (
    *("difference", "rounds chosen", MB_PER_ROUND.title, "p (Holm)", PERSONAL.title),
    "to the best",
)
MOST_CELLS = 15
"""Of a grid, in a terminal."""
WIDE = 100
"""Columns where nobody looks at a terminal."""


def wide_enough(console: Console) -> Console:
    """The console with its own width, or a common one where nobody looks at a terminal."""
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else WIDE
    return Console(file=console.file, width=width, markup=False, quiet=console.quiet)


def fitting(
    columns: Iterable[C],
    least_wanted: Iterable[C],
    table: Callable[[Sequence[C]], Table],
    width: int,
    wraps: bool = False,
) -> list[C]:
    """The columns that a table has room for.

    Args:
        columns: all that there could be.
        least_wanted: those that need not be, the first to go first.
        table: of some of them.
        width: characters that there are.
        wraps: whether its lines may be broken.
    """
    shown = list(columns)
    endless = Console(width=sys.maxsize, markup=False)
    for column in least_wanted:
        needed = endless.measure(table(shown))
        if (needed.minimum if wraps else needed.maximum) <= width:
            break
        shown = [each for each in shown if each != column]
    return shown


def print_table(console: Console, result: ComparisonResult) -> None:
    """Print the table that fits, and where the rest of it is."""
    wide = wide_enough(console)
    shown = fitting_columns(result, wide.width)
    wide.print(comparison_table(result, shown))
    titles = [column.title for column in shown]
    every = (column.title for column in terminal_columns(result.goal))
    left = [title for title in every if title not in titles]
    if left:
        wide.print(f"no room here for {', '.join(left)}: see the report", highlight=False)
    if result.confirmed:
        many = max(len(method.runs) for method in result.confirmed) > 1
        spread = f" ± std over {seeds_of(result.confirmed)}" if many else ", 1 seed"
        wide.print(
            f"test {result.goal.noun}: mean over clients{spread}, at the round chosen on "
            "validation",
            highlight=False,
        )


def fitting_columns(result: ComparisonResult, width: int) -> list[Column]:
    """The columns of a terminal of ``width`` characters; the first is always there."""
    every = terminal_columns(result.goal)
    least = [every[place] for place in LEAST_WANTED]
    return fitting(every, least, partial(comparison_table, result), width)


def comparison_table(result: ComparisonResult, columns: Sequence[Column] | None = None) -> Table:
    """For a terminal."""
    shown = terminal_columns(result.goal) if columns is None else columns
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in shown:
        head = column.title.replace(" ", "\n")
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    for method in result.methods:
        table.add_row(plain(method.title), *cells(method, shown))
    return table


def print_sweep(console: Console, found: SweepResult) -> None:
    """Print the test figure of each method in each cell, as many as fit, and what is missing."""
    wide = wide_enough(console)
    every = list(scenario_columns(found.table))
    but_rank = reversed(every[:-1])
    shown = fitting(every, but_rank, partial(_sweep_table, found), wide.width)
    wide.print(_sweep_table(found, shown))
    if left := len(every) - len(shown):
        wide.print(f"no room here for {count(left, 'more cell')}: see the report", highlight=False)
    for name, reason in found.missing.items():
        wide.print(f"{name} is missing: {plain(reason)}", highlight=False, soft_wrap=True)


def _sweep_table(found: SweepResult, columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    titled = ((found.table.titles[method.name], method) for method in found.table.methods)
    return _filled(table, columns, titled)


def print_draws(console: Console, found: DrawsResult) -> None:
    """Print the table over all draws, as many of its columns as fit, and what it says."""
    wide = wide_enough(console)
    every = draw_columns(found)
    shown = fitting(every, reversed(every[1:]), partial(_draws_table, found), wide.width)
    wide.print(_draws_table(found, shown))
    if left := [column.title.removesuffix(" %") for column in every if column not in shown]:
        wide.print(f"no room here for {', '.join(left)}: see the report", highlight=False)
    said = (draws_words.in_short(found), draws_words.finding(found), draws_words.setting(found))
    for line in filter(None, said):
        wide.print(line, highlight=False)
    for name, told in draws_words.statuses(found):
        wide.print(f"{name} {told}", highlight=False, soft_wrap=True)


def _draws_table(found: DrawsResult, columns: Sequence[Column]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    titled = ((found.by_name[method.name].title, method) for method in draw_rows(found))
    return _filled(table, columns, titled)


def _filled(
    table: Table, columns: Sequence[Column], methods: Iterable[tuple[str, MethodResult]]
) -> Table:
    """A table with a row for each method under its title."""
    table.add_column("method", no_wrap=True)
    for column in columns:
        head = column.title.removesuffix(" %").replace(" ", "\n")
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    for title, method in methods:
        table.add_row(plain(title), *cells(method, columns))
    return table


def print_grid(console: Console, result: GridResult) -> None:
    """Print the best cells, as much of them as fits, and what has no room."""
    wide = wide_enough(console)
    every = columns(result)
    # Cells and accuracies are always there.
    least = [column for title in LEAST_OF_A_CELL for column in every if column.title == title]
    shown = fitting(every, least, partial(_grid_table, result), wide.width)
    wide.print(_grid_table(result, shown))
    titles = [column.title for column in shown]
    left = [column.title for column in every if column.title not in titles]
    if left:
        wide.print(f"no room here for {', '.join(left)}: see the report", highlight=False)
    if (more := len(result.cells) - MOST_CELLS) > 0:
        wide.print(f"and {count(more, 'cell')} below these: see the report", highlight=False)


def _grid_table(result: GridResult, shown: Sequence[GridColumn]) -> Table:
    """The best cells first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in shown:
        head = column.title if column.title in result.over else column.title.replace(" ", "\n")
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    for cell in best_first(result)[:MOST_CELLS]:
        table.add_row(*(column.text(cell) for column in shown))
    return table


def sensitivity_table(cells: Cells) -> Table:
    """For a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    first, *others = heads(cells)
    table.add_column(first, no_wrap=True)
    for head in others:
        table.add_column(head, justify="right")
    for line in rows(cells):
        table.add_row(*line)
    return table
