"""Writing the report of a comparison into its folder and beside its runs."""

from pathlib import Path

from mlflow.entities import Metric

from pfltune.report.analysis import Analysis, analyse
from pfltune.report.figures import write_figures
from pfltune.report.latex import resource_table, result_table
from pfltune.report.page import comparison_page
from pfltune.report.results import ComparisonResult, MethodResult, read_results
from pfltune.report.spreadsheet import csv_clients, csv_summary, csv_table
from pfltune.report.table import markdown_table
from pfltune.tracking.events import now_ms
from pfltune.tracking.store import Store


def write_report(
    store: Store,
    experiment: str,
    folder: Path,
    reference: str | None = None,
    target: float | None = None,
) -> ComparisonResult:
    """Read the store, write tables, figures and page into ``folder``, and attach them in MLflow.

    Writing again changes nothing. Nothing is attached while the comparison runs: its runs are
    somebody else's until then.

    Args:
        store: to read from.
        experiment: id of the comparison's experiment.
        folder: where to; made if need be.
        reference: method that the others are held against; see :func:`analyse`.
        target: validation accuracy in (0, 1] that methods are timed to; see :func:`analyse`.

    Raises:
        UserError: the experiment is no comparison, or has no such reference.
    """
    result = read_results(store, experiment)
    write_files(analyse(result, reference, target), folder)
    if not result.is_partial:
        for method in result.methods:
            _attach(store, method, folder)
    return result


def write_files(analysis: Analysis, folder: Path) -> None:
    """Everything but MLflow's part."""
    folder.mkdir(parents=True, exist_ok=True)
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


def _attach(store: Store, method: MethodResult, folder: Path) -> None:
    """The report and the figures of the table on a method's run; only what is not there yet."""
    there = store.client.get_run(method.run_id).data.metrics
    new = [
        Metric(name, value, now_ms(), 0)
        for name, value in method.summary().items()
        if there.get(name) != value
    ]
    if new:
        store.client.log_batch(method.run_id, metrics=new)
    store.client.log_artifacts(method.run_id, str(folder), "report")
