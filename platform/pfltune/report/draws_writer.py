"""Writing the report of a comparison over draws of clients."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pfltune.ownership import published, see_inside
from pfltune.report import draws_words, words
from pfltune.report.canvas import Drawing
from pfltune.report.columns import result_columns
from pfltune.report.draws import DrawsResult
from pfltune.report.draws_figures import accuracies, differences
from pfltune.report.draws_table import (
    columns,
    csv_clients,
    csv_summary,
    csv_table,
    latex_table,
    markdown_table,
    rows,
)
from pfltune.report.figures import written
from pfltune.report.page import Grid, grid, pictures, rendered
from pfltune.report.words import INSTEAD


@dataclass(frozen=True)
class Section:
    """A draw on the page."""

    label: str
    name: str
    finding: str
    origin: str
    results: Grid


def write_draws(found: DrawsResult, results: Path, out: Path | None = None) -> Path:
    """Write table, figures and page of all draws together; returns the folder.

    Args:
        found: what they found.
        results: the results folder.
        out: where to write; None for ``report`` in the folder of the draws.

    Raises:
        UserError: the folder holds somebody else's files.
        OSError: it cannot be written.
    """
    folder = out or results / found.draws.name / "report"
    if out is None:
        see_inside(folder, results)
    with published(folder, found.draws.owner, INSTEAD) as draft:
        _write(found, draft)
    return folder


def _write(found: DrawsResult, folder: Path) -> None:
    makers = [
        ("accuracy-over-draws", lambda: accuracies(found)),
        ("difference-over-draws", lambda: differences(found)),
    ]
    drawings = written(makers, folder)
    texts = {
        "table.md": markdown_table(found),
        "table.tex": latex_table(found),
        "table.csv": csv_table(found),
        "clients.csv": csv_clients(found),
        "summary.csv": csv_summary(found),
        "report.html": _page(found, folder, drawings),
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")


def _page(found: DrawsResult, folder: Path, drawings: Sequence[Drawing]) -> str:
    return rendered(
        "draws.html.j2",
        title=found.draws.name,
        setting=f"{found.results[0].record.scenario.title}. {draws_words.setting(found)}",
        statuses=list(draws_words.statuses(found)),
        finding=draws_words.finding(found),
        results=_table(found),
        notes=draws_words.notes(found),
        figures=pictures(folder, drawings),
        sections=list(_sections(found)),
        latex=latex_table(found),
    )


def _table(found: DrawsResult) -> Grid:
    """A row for each method, called as in the figures."""
    made = grid(columns(found), rows(found), dict(found.styles))
    titled = zip(made.rows, found.methods, strict=True)
    return Grid(made.heads, [replace(row, title=method.title) for row, method in titled])


def _sections(found: DrawsResult) -> Iterator[Section]:
    for name, analysis in zip(found.labels, found.analyses, strict=True):
        result = analysis.result
        yield Section(
            label=name,
            name=result.name,
            finding=words.finding(analysis),
            origin=words.origin_note(result),
            results=grid(result_columns(analysis), result.methods, analysis.styles),
        )
