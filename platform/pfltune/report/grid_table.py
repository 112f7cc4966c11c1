"""The table of a grid, cell by cell: its columns, and as Markdown, LaTeX and CSV."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import isnan

from pfltune import figures
from pfltune.goal import Goal
from pfltune.knobs import Value, written
from pfltune.report import latex
from pfltune.report.columns import NO_FIGURE, bare_p
from pfltune.report.grid import GridCell, GridResult, mean, standard_error
from pfltune.report.grid_words import accuracy_note, of_seeds, validated
from pfltune.report.markdown import markdown
from pfltune.report.spreadsheet import cell_text, digits, text
from pfltune.text import plain

PLANE = 2
"""Knobs of a grid that is printed as a table of rows and columns."""


@dataclass(frozen=True)
class GridColumn:
    """A column of the table.

    Attributes:
        title: its heading.
        text: a cell's.
        sort: what it sorts by: a number, or a text; empty where it stays below.
    """

    title: str
    text: Callable[[GridCell], str]
    sort: Callable[[GridCell], str]


def columns(result: GridResult) -> list[GridColumn]:
    """What is told of each cell."""
    compared = _compared(result) if any(gap.is_tested for _, gap in result.gaps) else []
    return [*_named(result), *_figures(result), *compared, MB, PERSONAL, ROUNDS]


def of_validation(goal: Goal) -> GridColumn:
    """What cells are judged by."""
    return GridColumn(f"val. {goal.noun}{goal.unit}", _seeds, lambda cell: _figure_of(goal, cell))


def _figure_of(goal: Goal, cell: GridCell) -> str:
    return digits(goal.score(cell.mean))


def _of_tests(goal: Goal) -> GridColumn:
    return GridColumn(
        goal.heading(),
        lambda cell: of_seeds(goal, cell.tests) if cell.tests else NO_FIGURE,
        lambda cell: digits(goal.score(mean(cell.tests))),
    )


def _figures(result: GridResult) -> list[GridColumn]:
    tests = [_of_tests(result.goal)] if result.budget.test else []
    return [of_validation(result.goal), *tests]


def best_first(result: GridResult) -> list[GridCell]:
    """The cells by their mean validation score, the best one above; those without last."""
    shown = sorted(result.shown, key=lambda cell: (cell is not result.best, -cell.mean))
    return [*shown, *(cell for cell in result.cells if not cell.values)]


def markdown_table(result: GridResult) -> str:
    """For a README."""
    shown = columns(result)
    lines = [[column.title for column in shown]]
    lines += [[column.text(cell) for column in shown] for cell in result.cells]
    return "\n".join((markdown(lines), accuracy_note(result) + "\n"))


def latex_table(result: GridResult) -> str:
    """For a paper: over two knobs rows and columns, otherwise a row for each cell."""
    if len(result.over) == PLANE:
        return "\n".join(_plane(result, method) for method in result.methods)
    named, figures_of = _named(result), _figures(result)
    shown = [*named, *figures_of, MB, PERSONAL]
    rows = [
        [
            latex.cell(column.text(cell), bold=cell is result.best and column is figures_of[0])
            for column in shown
        ]
        for cell in result.cells
    ]
    heads = [latex.escaped(column.title) for column in shown]
    scenario = latex.escaped(result.record.scenario.name)
    caption = f"Validation {result.goal.noun} over {_listed(result.over)} on {scenario}."
    return str(latex.Tabular(heads, rows, caption, _note(result), latex.label(result.record.name)))


def csv_table(result: GridResult) -> str:
    """One row per cell and seed, with every figure; of a failed trial how it failed."""
    told = [(cell, seed, trial) for cell in result.cells for seed, trial in cell.trials.items()]
    names = sorted({name for *_, trial in told for name in trial.metrics})
    rows = [
        [
            *_places(cell),
            seed,
            trial.outcome,
            plain(trial.ended.failure) if trial.ended else "",
            *(digits(trial.metrics.get(name)) for name in names),
        ]
        for cell, seed, trial in told
    ]
    return text(["method", *result.over, "seed", "outcome", "failure", *names], rows)


def csv_summary(result: GridResult) -> str:
    """One row per cell: means, standard errors, difference to the best one, costs."""
    found = list(summary_rows(result))
    rows = [[_in_csv(value) for value in row.values()] for row in found]
    return text([*found[0]], rows)


def summary_rows(result: GridResult) -> Iterator[dict[str, object]]:
    """What is said of each cell, all figures as they are; NaN or None where there is none."""
    goal = result.goal
    for cell in result.cells:
        gap = result.gap(cell)
        tested = (
            {
                goal.of("test").name: goal.score(mean(cell.tests)),
                "test/standard_error": standard_error(cell.tests),
            }
            if result.budget.test
            else {}
        )
        yield {
            "method": cell.method,
            **cell.at,
            "state": cell.state,
            "seeds": len(cell.values),
            goal.of("val").name: goal.score(cell.mean),
            "val/standard_error": cell.standard_error,
            **tested,
            "difference": goal.score(gap.mean) if gap else None,
            "difference_standard_error": gap.standard_error if gap else None,
            "p": gap.raw_p if gap else None,
            "p_holm": gap.p if gap else None,
            "verdict": _verdict(result, cell),
            figures.MB_PER_ROUND.name: cell.mb_per_round,
            figures.PERSONAL.name: cell.personal,
            figures.CHOSEN.name: mean(cell.chosen),
        }


def _plane(result: GridResult, method: str) -> str:
    """The cells of a method, rows over the first knob and columns over the second."""
    (first, downward), (second, across) = result.over.items()
    own = {tuple(cell.at.values()): cell for cell in result.cells if cell.method == method}

    def shown(row: Value, column: Value) -> str:
        cell = own[row, column]
        return latex.cell(validated(cell), bold=cell is result.best)

    rows = [[_tex(row), *(shown(row, column) for column in across)] for row in downward]
    heads = [latex.escaped(first), *(latex.escaped(f"{second}={written(v)}") for v in across)]
    scenario = latex.escaped(result.record.scenario.name)
    of = latex.escaped(result.methods[method])
    caption = f"Validation {result.goal.noun} of {of} over {_listed(result.over)} on {scenario}."
    several = f"-{method}" if len(result.methods) > 1 else ""
    name = latex.label(result.record.name + several)
    return str(latex.Tabular(heads, rows, caption, _note(result), name))


def _note(result: GridResult) -> str:
    seeds = result.budget.seeds
    if not result.shown:
        return ""
    spread = rf"Mean $\pm$ standard error over {seeds} seeds" if seeds > 1 else "One seed"
    best = ", the best cell in bold." if len(result.cells) > 1 else "."
    return f"{spread}{best}"


def _named(result: GridResult) -> list[GridColumn]:
    """Which cell it is."""
    method = GridColumn("method", lambda cell: cell.title, lambda cell: cell.title)
    return [*([method] if len(result.methods) > 1 else []), *map(_knob, result.over)]


def _knob(name: str) -> GridColumn:
    def sort(cell: GridCell) -> str:
        value = cell.at[name]
        return plain(written(value)) if isinstance(value, bool | str) else repr(float(value))

    return GridColumn(name, lambda cell: plain(written(cell.at[name])), sort)


def _compared(result: GridResult) -> list[GridColumn]:
    """Each cell against the best one."""

    def difference(cell: GridCell) -> str:
        gap = result.gap(cell)
        if gap is None or isnan(gap.mean):
            return "best" if cell is result.best else NO_FIGURE
        error = gap.standard_error
        spread = "" if isnan(error) else f" ± {result.goal.spread(error)}"
        return result.goal.signed(gap.mean) + spread

    def sort(cell: GridCell) -> str:
        gap = result.gap(cell)
        return digits(0.0 if cell is result.best else gap.mean if gap else None)

    def p(cell: GridCell) -> str:
        gap = result.gap(cell)
        return digits(gap.p if gap else None)

    def bare(cell: GridCell) -> str:
        gap = result.gap(cell)
        return bare_p(gap.p) if gap and gap.is_tested else NO_FIGURE

    return [
        GridColumn("difference", difference, sort),
        GridColumn("p (Holm)", bare, p),
        GridColumn("to the best", lambda cell: _verdict(result, cell), p),
    ]


def _verdict(result: GridResult, cell: GridCell) -> str:
    """In words: what is not told apart may differ all the same."""
    if cell is result.best:
        return "best"
    gap = result.gap(cell)
    if gap is None:
        return NO_FIGURE
    if not gap.is_tested:
        return "no test"
    return "apart" if gap.is_apart else "not told apart"


def _rounds(cell: GridCell) -> str:
    """``12 – 15``, or one number where all seeds have it."""
    if not cell.chosen:
        return NO_FIGURE
    low, high = min(cell.chosen), max(cell.chosen)
    return str(low) if low == high else f"{low} – {high}"


def _figure(figure: figures.Figure, value: Callable[[GridCell], float]) -> GridColumn:
    def shown(cell: GridCell) -> str:
        return NO_FIGURE if isnan(value(cell)) else figure.text(value(cell))

    return GridColumn(figure.heading, shown, lambda cell: digits(value(cell)))


def _seeds(cell: GridCell) -> str:
    """The validation figure, and over how many seeds where that is not all."""
    fewer = (
        f" ({len(cell.values)} of {cell.planned})" if 0 < len(cell.values) < cell.planned else ""
    )
    return f"{validated(cell)}{fewer}"


MB = _figure(figures.MB_PER_ROUND, lambda cell: cell.mb_per_round)
PERSONAL = _figure(figures.PERSONAL, lambda cell: cell.personal)
ROUNDS = GridColumn("rounds chosen", _rounds, lambda cell: digits(mean(cell.chosen)))


def _places(cell: GridCell) -> list[str]:
    return [cell.method, *(written(value) for value in cell.at.values())]


def _listed(names: Iterable[str]) -> str:
    return " and ".join(latex.escaped(name) for name in names)


def _tex(value: Value) -> str:
    return latex.escaped(written(value))


def _in_csv(value: object) -> object:
    return written(value) if isinstance(value, bool) else cell_text(value)
