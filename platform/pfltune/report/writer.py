"""Writing the report of a comparison."""

from collections.abc import Collection
from pathlib import Path

from pfltune.ownership import published, see_inside
from pfltune.report.analysis import Analysis, analyse
from pfltune.report.figures import write_figures
from pfltune.report.latex import resource_table, result_table
from pfltune.report.markdown import markdown_table
from pfltune.report.page import comparison_page
from pfltune.report.results import ComparisonResult, read_results
from pfltune.report.spreadsheet import csv_clients, csv_summary, csv_table
from pfltune.report.together import without

INSTEAD = "name another folder with --out"


def write_report(
    results: Path,
    name: str,
    folder: Path | None = None,
    reference: str | None = None,
    target: float | None = None,
    left_out: Collection[str] = (),
) -> ComparisonResult:
    """Read a comparison, and write tables, figures and page. Writing again changes nothing.

    Args:
        results: the results folder.
        name: of the comparison.
        folder: where to write; None for ``report`` in the comparison's folder.
        reference: method that the others are held against; see :func:`analyse`.
        target: validation accuracy in (0, 1] that methods are timed to; see :func:`analyse`.
        left_out: methods without a row, by short name or title.

    Raises:
        UserError: there is no such comparison, it has no such method, or the folder holds
            somebody else's files.
        OSError: the folder cannot be written.
    """
    (result,) = without([read_results(results, name)], left_out)
    analysis = analyse(result, reference, target)
    if folder is None:
        folder = results / name / "report"
        see_inside(folder, results)
    with published(folder, f"the comparison {name} ({result.id[:8]})", INSTEAD) as draft:
        write_files(analysis, draft)
    return result


def write_files(analysis: Analysis, folder: Path) -> None:
    """All files of a report into an empty folder."""
    drawings = write_figures(analysis, folder)
    texts = {
        "table.md": markdown_table(analysis),
        "table.tex": result_table(analysis),
        "resources.tex": resource_table(analysis),
        "table.csv": csv_table(analysis.result),
        "clients.csv": csv_clients(analysis.result),
        "summary.csv": csv_summary(analysis),
        "report.html": comparison_page(analysis, folder, drawings),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
