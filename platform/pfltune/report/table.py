"""The tables of a report, for the terminal and for Markdown."""

import html
import os
import sys
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table

from pfltune.report.analysis import Analysis
from pfltune.report.columns import (
    ACCURACY,
    CLIENT_STD,
    MB_PER_ROUND,
    PERSONAL,
    SECONDS,
    SHARED,
    STEPS,
    TOTAL_MB,
    Column,
    cells,
    resource_columns,
    result_columns,
)
from pfltune.report.results import ComparisonResult
from pfltune.report.words import origin_note, seeds_of, test_note
from pfltune.text import plain

TERMINAL = (ACCURACY, CLIENT_STD, MB_PER_ROUND, TOTAL_MB, PERSONAL, SHARED, STEPS, SECONDS)
LEAST_WANTED = (SECONDS, SHARED, STEPS, MB_PER_ROUND, PERSONAL, CLIENT_STD, TOTAL_MB)
"""The first to go where there is no room."""
WIDE = 100
"""Columns where nobody looks at a terminal."""


def print_table(console: Console, result: ComparisonResult) -> None:
    """Print the table that fits, and where the rest of it is."""
    width = console.width if console.is_terminal or "COLUMNS" in os.environ else WIDE
    shown = fitting_columns(result, width)
    wide = Console(file=console.file, width=width, markup=False, quiet=console.quiet)
    wide.print(terminal_table(result, shown))
    left = [column.title for column in TERMINAL if column not in shown]
    if left:
        wide.print(f"no room here for {', '.join(left)}: see the report", highlight=False)
    if result.confirmed:
        many = max(len(method.runs) for method in result.confirmed) > 1
        spread = f" ± std over {seeds_of(result.confirmed)}" if many else ", 1 seed"
        wide.print(
            f"test accuracy: mean over clients{spread}, at the round chosen on validation",
            highlight=False,
        )


def fitting_columns(result: ComparisonResult, width: int) -> tuple[Column, ...]:
    """The columns of a terminal of ``width`` characters; the accuracy is always there."""
    shown = list(TERMINAL)
    endless = Console(width=sys.maxsize)
    for column in LEAST_WANTED:
        if endless.measure(terminal_table(result, shown)).maximum <= width:
            break
        shown.remove(column)
    return tuple(shown)


def terminal_table(result: ComparisonResult, columns: Sequence[Column] = TERMINAL) -> Table:
    """For a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in columns:
        head = column.title.replace(" ", "\n")
        table.add_column(head, justify="right", vertical="bottom", no_wrap=True)
    for method in result.methods:
        table.add_row(plain(method.title), *cells(method, columns))
    return table


def markdown_table(analysis: Analysis) -> str:
    """For a README: results, then resources, each with what it needs to be understood."""
    methods = analysis.result.methods
    said = (origin_note(analysis.result), test_note(analysis))
    note = escaped(" ".join(filter(None, said)))
    results, resources = (
        markdown(
            [
                ["method", *(column.title for column in columns)],
                *([method.title, *cells(method, columns)] for method in methods),
            ]
        )
        for columns in (result_columns(analysis), resource_columns(analysis))
    )
    return "\n".join((results, *([note + "\n"] if note else []), resources))


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table, the headings first; all but the first column stand to the right."""
    heads, *rows = [[escaped(text) for text in line] for line in lines]
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "".join("| " + " | ".join(line) + " |\n" for line in [heads, rule, *rows])


def escaped(text: str) -> str:
    """``text`` as Markdown shows it, in one line: no HTML, no links, no new cell."""
    shown = html.escape(plain(text), quote=False)
    return "".join(f"\\{char}" if char in "\\|`*[]" else char for char in shown)
