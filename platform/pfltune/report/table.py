"""The tables of a report, for the terminal and for Markdown."""

from rich import box
from rich.table import Table

from pfltune.report.analysis import Analysis
from pfltune.report.columns import TERMINAL, Column, cells, resource_columns, result_columns
from pfltune.report.results import ComparisonResult
from pfltune.report.words import test_note


def terminal_table(result: ComparisonResult) -> Table:
    """For a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in TERMINAL:
        table.add_column(column.title.replace(" ", "\n"), justify="right", vertical="bottom")
    for method in result.methods:
        table.add_row(method.title, *cells(method, TERMINAL))
    return table


def markdown_table(analysis: Analysis) -> str:
    """For a README: results, then resources, each with what it needs to be understood."""
    return "\n".join(
        (
            markdown(result_columns(analysis), analysis),
            test_note(analysis) + "\n",
            markdown(resource_columns(analysis), analysis),
        )
    )


def markdown(columns: tuple[Column, ...], analysis: Analysis) -> str:
    """One table."""
    lines = [["method", *(column.title for column in columns)], ["---", *["---:"] * len(columns)]]
    lines += [[method.title, *cells(method, columns)] for method in analysis.result.methods]
    return "".join("| " + " | ".join(map(_escaped, line)) + " |\n" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")
