"""Writing the report of a grid."""

from pathlib import Path

from pfltune.ownership import published, see_inside
from pfltune.report import grid_words, words
from pfltune.report.canvas import Drawing
from pfltune.report.figures import written
from pfltune.report.grid import GridCell, GridResult, read_grid
from pfltune.report.grid_figures import drawings_of
from pfltune.report.grid_table import (
    columns,
    csv_summary,
    csv_table,
    latex_table,
    markdown_table,
    of_validation,
)
from pfltune.report.page import Cell, Grid, Row, pictures, rendered
from pfltune.report.styles import styles_of
from pfltune.report.words import INSTEAD


def write_grid(results: Path, name: str, folder: Path | None = None) -> GridResult:
    """Read a grid, and write tables, figures and page. Writing again changes nothing.

    Args:
        results: the results folder.
        name: of the grid.
        folder: where to write; None for ``report`` in the grid's folder.

    Raises:
        UserError: there is no such grid, or the folder holds somebody else's files.
        OSError: the folder cannot be written.
    """
    result = read_grid(results, name)
    if folder is None:
        folder = results / name / "report"
        see_inside(folder, results)
    with published(folder, result.record.owner, INSTEAD) as draft:
        _write(result, draft)
    return result


def _write(result: GridResult, folder: Path) -> None:
    drawings = written(drawings_of(result), folder)
    texts = {
        "table.md": markdown_table(result),
        "table.tex": latex_table(result),
        "table.csv": csv_table(result),
        "summary.csv": csv_summary(result),
        "report.html": _page(result, folder, drawings),
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")


def _page(result: GridResult, folder: Path, drawings: list[Drawing]) -> str:
    scenario = result.record.scenario
    failures = [
        (grid_words.named(result, cell), "; ".join(cell.failures))
        for cell in result.cells
        if cell.failures
    ]
    return rendered(
        "grid.html.j2",
        title=result.record.name,
        scenario=scenario,
        seeds=result.budget.seeds,
        status=grid_words.status(result),
        origin_note=grid_words.origin_note(result),
        held_note=grid_words.held_note(result),
        reuse_note=words.reuse_note(result.trials),
        finding=grid_words.finding(result),
        edges=grid_words.edges(result),
        table_of_cells=_table(result),
        accuracy_note=grid_words.accuracy_note(result),
        figures=pictures(folder, drawings),
        failures=failures,
        latex=latex_table(result),
    )


def _table(result: GridResult) -> Grid:
    """A row for each cell, which the first column names."""
    first, *shown = columns(result)
    judged = of_validation(result.goal).title
    colours = _colours(result)

    def row(cell: GridCell) -> Row:
        is_best = cell is result.best
        cells = [
            Cell(column.text(cell), column.sort(cell), is_best and column.title == judged)
            for column in shown
        ]
        return Row(first.text(cell), colours[cell.method], cells, first.sort(cell))

    heads = [column.title for column in (first, *shown)]
    return Grid(heads, [row(cell) for cell in result.cells])


def _colours(result: GridResult) -> dict[str, str]:
    """Those of the figures, where there are several methods to be told apart."""
    if len(result.methods) == 1:
        return dict.fromkeys(result.methods, "transparent")
    return {method: style.colour for method, style in styles_of(result.methods).items()}
