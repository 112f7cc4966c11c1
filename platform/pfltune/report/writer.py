"""Writing the report of a comparison."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path

from pfltune.ownership import owner_of, published, see_inside
from pfltune.report.analysis import Analysis
from pfltune.report.client_confusion import CLIENT_HEADS, client_rows
from pfltune.report.confusion import HEADS, confusion_rows
from pfltune.report.figures import write_figures
from pfltune.report.fronts_shown import csv_fronts
from pfltune.report.latex import resource_table, result_table
from pfltune.report.markdown import markdown_table
from pfltune.report.notebook import Results
from pfltune.report.page import comparison_page
from pfltune.report.results import ComparisonResult, read_results
from pfltune.report.spreadsheet import (
    cell_text,
    csv_clients,
    csv_race,
    csv_summary,
    csv_table,
    csv_within,
)
from pfltune.report.spreadsheet import text as csv_text
from pfltune.report.together import without
from pfltune.report.tuning.effort import effort_heads, effort_rows
from pfltune.report.tuning.figures import write_figures as tuning_figures
from pfltune.report.tuning.markdown import markdown_of
from pfltune.report.tuning.notebook import TuneResults, results_of
from pfltune.report.tuning.page import tuning_page
from pfltune.report.tuning.repeated import study_rows
from pfltune.report.tuning.spreadsheet import csv_trials
from pfltune.report.tuning.tuned import Pair, Tuned
from pfltune.report.words import INSTEAD


def write_report(
    results: Path,
    name: str,
    folder: Path | None = None,
    reference: str | None = None,
    target: float | None = None,
    left_out: Collection[str] = (),
    pair: Pair | None = None,
) -> ComparisonResult:
    """Read a comparison, and write tables, figures and page. Writing again changes nothing.

    Args:
        results: the results folder.
        name: of the comparison.
        folder: where to write; None for ``report`` in the comparison's folder.
        reference: method that the others are held against; see :func:`analyse`.
        target: validation accuracy in (0, 1] that methods are timed to; see :func:`analyse`.
        left_out: methods without a row, by short name or title.
        pair: two searched knobs to draw against each other, of the search of one method.

    Raises:
        UserError: there is no such comparison, it has no such method or pair, or the folder holds
            somebody else's files.
        OSError: the folder cannot be written.
    """
    found = read_found(results, name, reference, target, left_out, pair)
    write_found(found, folder)
    return found.result


def read_found(
    results: Path,
    name: str,
    reference: str | None = None,
    target: float | None = None,
    left_out: Collection[str] = (),
    pair: Pair | None = None,
) -> Results:
    """What such a report is of; see :func:`write_report`."""
    (result,) = without([read_results(results, name)], left_out)
    return results_of(result, results / name, reference, target, pair)


def write_found(found: Results, folder: Path | None = None) -> None:
    """Write the report of what was found; see :func:`write_report`."""
    write = _writer(found)
    if folder is None:
        folder = found.folder / "report"
        see_inside(folder, found.folder.parent)
    owner = owner_of("comparison", found.name, found.result.id)
    with published(folder, owner, INSTEAD) as draft:
        write(draft)


def _writer(found: Results) -> Callable[[Path], object]:
    """What writes the files of a comparison, or those of the search of one method."""
    if isinstance(found, TuneResults):
        return partial(write_tuning, found.tuned)
    return partial(write_files, found.analysis)


def write_tuning(tuned: Tuned, folder: Path) -> None:
    """All files of the report of one method's search into an empty folder."""
    drawings = tuning_figures(tuned, folder)
    texts = _tables(tuned.analysis) | {
        "table.md": f"{markdown_of(tuned)}\n{markdown_table(tuned.analysis)}",
        "trials.csv": csv_trials(tuned),
        "report.html": tuning_page(tuned, folder, drawings),
    }
    _write(texts, folder)


def write_files(analysis: Analysis, folder: Path) -> None:
    """All files of a report into an empty folder."""
    drawings = write_figures(analysis, folder)
    page = {"report.html": comparison_page(analysis, folder, drawings)}
    _write(_tables(analysis) | _fronts(analysis) | page, folder)


def _fronts(analysis: Analysis) -> dict[str, str]:
    """The trials of fronts; nothing with one objective."""
    return {"fronts.csv": csv_fronts(analysis.fronts)} if analysis.fronts else {}


def _tables(analysis: Analysis) -> dict[str, str]:
    return {
        "table.md": markdown_table(analysis),
        "table.tex": result_table(analysis),
        "resources.tex": resource_table(analysis),
        "table.csv": csv_table(analysis.result),
        "clients.csv": csv_clients(analysis.result),
        "summary.csv": csv_summary(analysis),
        "within.csv": csv_within(analysis.result),
        **({"race.csv": csv_race(analysis.result)} if analysis.result.race else {}),
        **_confusion(analysis.result),
        **_of_searches(analysis),
    }


def _confusion(result: ComparisonResult) -> dict[str, str]:
    """Which classes were taken for which; nothing where no figure of the kind was asked for."""
    tables = {
        "confusion.csv": (HEADS, list(confusion_rows(result))),
        "client-confusion.csv": (CLIENT_HEADS, client_rows(result)),
    }
    return {name: csv_text(heads, rows) for name, (heads, rows) in tables.items() if rows}


def _of_searches(analysis: Analysis) -> dict[str, str]:
    """What needs trials or studies enough to be said."""
    effort = csv_text(effort_heads(analysis), effort_rows(analysis))
    texts = {"best-after.csv": effort} if analysis.efforts else {}
    if any(len(studies) > 1 for studies in analysis.studies.values()):
        rows = [
            row
            for method in analysis.result.whole
            for row in study_rows(method, analysis.studies[method.name])
        ]
        heads = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[cell_text(row.get(name)) for name in heads] for row in rows]
        texts["studies.csv"] = csv_text(heads, cells)
    return texts


def _write(texts: Mapping[str, str], folder: Path) -> None:
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
