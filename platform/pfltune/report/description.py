"""What MLflow says of a comparison and of its methods: descriptions in Markdown."""

from collections.abc import Iterable, Sequence

from pfltune.budget import Budget
from pfltune.report.analysis import Analysis
from pfltune.report.columns import result_columns
from pfltune.report.grid import GridResult
from pfltune.report.grid_table import best_first, columns
from pfltune.report.grid_words import finding as grid_finding
from pfltune.report.grid_words import status as grid_status
from pfltune.report.markdown import escaped, lines_of, markdown
from pfltune.report.results import ComparisonResult, MethodResult
from pfltune.report.sensitivity import Cells, heads, rows
from pfltune.report.tuning.advice import advice
from pfltune.report.tuning.gained import gained
from pfltune.report.tuning.repeated import agreement
from pfltune.report.tuning.sentence import sentences
from pfltune.report.tuning.table import best_ten, lines, ten_columns
from pfltune.report.tuning.tuned import Tuned, is_tuning, tuned_of
from pfltune.report.tuning.words import finding as found_in
from pfltune.report.words import accuracy_note, finding, status
from pfltune.text import count
from pfltune.tracking.runs import ALL

LONGEST = 4_800
"""Characters; MLflow cuts off or refuses what is longer than its store takes."""


def of_comparison(analysis: Analysis) -> str:
    """What was found, the table, and where to look next."""
    result = analysis.result
    if is_tuning(result):
        return _of_tuning(tuned_of(analysis))
    told = [status(result), finding(analysis), accuracy_note([result]), *gained(analysis)]
    table = lines_of(result.methods, result_columns(analysis))
    return fitting(told, table, where_next(result.name, more=_more(result)))


def _of_tuning(tuned: Tuned) -> str:
    step, table = advice(tuned), lines(ten_columns(tuned), best_ten(tuned))
    first = [f"{escaped(step.why)} `{step.command}`"] if step else []
    return fitting(sentences(tuned), table, where_next(tuned.result.name, *first))


def of_method(analysis: Analysis, method: MethodResult) -> str:
    """What its search found, its row of the table, and where to look next."""
    search = analysis.searches.get(method.name)
    told = [found_in(search)] if search else [method.title]
    told.append(agreement(analysis.studies.get(method.name, ())))
    rows = [row for row in analysis.result.methods if row.method == method.name]
    table = lines_of(rows, result_columns(analysis))
    here = "The trials are the runs below this one; `best.json` has the chosen configuration"
    return fitting(told, table, where_next(analysis.result.name, here))


def of_study(name: str, cells: Cells) -> str:
    """The table of a sensitivity study, and where to look next."""
    said = "Test figures and MB per round with one kind of layer personal, alone and with the head"
    places = where_next(name)[:-1]  # `report` is for comparisons
    return fitting([f"{said}."], [heads(cells), *rows(cells)], places)


def of_grid(result: GridResult) -> str:
    """What the grid found, its cells, the best first, and where to look next."""
    shown = columns(result)
    cells = [[column.text(cell) for column in shown] for cell in best_first(result)]
    told = [grid_status(result), grid_finding(result)]
    return fitting(
        told, [[column.title for column in shown], *cells], where_next(result.record.name)
    )


def where_next(name: str, *first: str, more: Iterable[str] = ()) -> list[str]:
    """Places and commands, one each; those that every comparison has, and ``first`` before them."""
    return [
        *first,
        f"The report: `report/report.html` of the run *{ALL}*, and `{name}/report/report.html` in "
        "the results folder",
        f"`pfltune ui {name}` opens the saved views",
        f"`pfltune report {name}` writes the report anew",
        *more,
    ]


def fitting(said: Iterable[str], table: Sequence[Sequence[str]], places: Iterable[str]) -> str:
    """A description that is short enough; of a table that is too long, the first rows."""
    text = escaped(" ".join(filter(None, said)))
    listed = "".join(f"- {place}\n" for place in places)
    for shown in range(len(table), 0, -1):
        left_out = len(table) - shown
        rest = f"\nand {count(left_out, 'more row')}, in the report\n" if left_out else ""
        told = f"{text}\n\n{markdown(table[:shown])}{rest}\n{listed}"
        if len(told) <= LONGEST:
            return told
    rest = f" …\n\n{listed}"
    return text[: LONGEST - len(rest)] + rest


def _more(result: ComparisonResult) -> list[str]:
    budget = result.record.budget
    if not isinstance(budget, Budget) or not budget.trials:
        return []
    trials = budget.trials + budget.generations[0]
    return [f"`pfltune extend {result.name} --trials {trials}` goes on with the search"]
