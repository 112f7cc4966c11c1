"""Writing the report of a comparison into its folder and beside its runs."""

import base64
from pathlib import Path

from jinja2 import Environment, PackageLoader, select_autoescape

from pfltune.report.figures import write_figures
from pfltune.report.results import ComparisonResult, read_results
from pfltune.report.table import COLUMNS, cells, csv_table, markdown_table
from pfltune.tracking.store import Store


def write_report(store: Store, experiment: str, folder: Path) -> ComparisonResult:
    """Read the store, write tables, figures and page into ``folder``, and attach them in MLflow."""
    result = read_results(store, experiment)
    folder.mkdir(parents=True, exist_ok=True)
    figures = write_figures(result, folder)
    (folder / "table.md").write_text(markdown_table(result))
    (folder / "table.csv").write_text(csv_table(result))
    (folder / "report.html").write_text(page(result, folder, figures))
    for method in result.methods:
        # Of two equal points MLflow keeps one, so that a report can be written again.
        ended = store.client.get_run(method.run_id).info.end_time
        for name, value in method.summary().items():
            store.client.log_metric(method.run_id, name, value, timestamp=ended)
        store.client.log_artifacts(method.run_id, str(folder), "report")
    return result


def page(result: ComparisonResult, folder: Path, figures: list[str]) -> str:
    """One self-contained HTML page; the figures are read from ``folder``."""
    environment = Environment(
        loader=PackageLoader("pfltune.report", "."), autoescape=select_autoescape(["j2"])
    )
    encoded = {
        name: base64.b64encode((folder / f"{name}.png").read_bytes()).decode() for name in figures
    }
    return environment.get_template("page.html.j2").render(
        result=result,
        budget=result.settings["budget"],
        start=start_weights(result),
        columns=COLUMNS,
        rows=[(method, cells(method)) for method in result.methods],
        images=encoded,
    )


def start_weights(result: ComparisonResult) -> str:
    """Where every method's start weights come from, in words."""
    scenario = result.settings["scenario"]
    source, recipe = scenario["backbone"]["weights"], scenario["warm_start"]
    if source != "warm-start":
        return "random, by seed" if source == "random" else source
    return (
        f"trained for {recipe['epochs']} epochs on {recipe['share']:.0%} of the data set, "
        "set aside and given to no client"
    )
