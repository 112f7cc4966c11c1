"""The tables of a report as Markdown."""

import html
from collections.abc import Iterable, Iterator, Sequence

from pfltune.report.analysis import Analysis
from pfltune.report.columns import Column, cells, resource_columns, result_columns, within_columns
from pfltune.report.results import MethodResult
from pfltune.report.spending import SPENT
from pfltune.report.words import origin_note, test_note, trial_budget_note, within_note
from pfltune.text import plain


def markdown_table(analysis: Analysis) -> str:
    """For a README: results, then resources, each with what it needs to be understood."""
    result = analysis.result
    said = (origin_note(result), trial_budget_note(result), test_note(analysis))
    note = escaped(" ".join(filter(None, said)))
    results, resources = (
        markdown(lines_of(analysis.result.methods, columns))
        for columns in (result_columns(analysis), resource_columns(analysis))
    )
    tables = (results, *([note + "\n"] if note else []), resources, *_within(analysis))
    return "\n".join(tables)


def _within(analysis: Analysis) -> Iterator[str]:
    """Test figures within budgets of each kind, and what that is."""
    found = [within_columns(analysis, figure) for figure in SPENT]
    methods = analysis.result.confirmed
    yield from (markdown(lines_of(methods, columns)) for columns in found if columns)
    if any(found):
        yield f"{escaped(within_note(analysis))}\n"


def lines_of(methods: Iterable[MethodResult], columns: Sequence[Column]) -> list[list[str]]:
    """What columns show of methods, the headings first."""
    heads = ["method", *(column.title for column in columns)]
    return [heads, *([method.title, *cells(method, columns)] for method in methods)]


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table, the headings first; all but the first column stand to the right."""
    heads, *rows = [[escaped(text) for text in line] for line in lines]
    rule = ["---", *["---:"] * (len(heads) - 1)]
    return "".join("| " + " | ".join(line) + " |\n" for line in [heads, rule, *rows])


def escaped(text: str) -> str:
    """``text`` as Markdown shows it, in one line: no HTML, no links, no new cell."""
    shown = html.escape(plain(text), quote=False)
    return "".join(f"\\{char}" if char in "\\|`*[]" else char for char in shown)
