"""``pfltune report``."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.errors import UserError

if TYPE_CHECKING:
    from pfltune.tracking.store import Store

LONGEST_NAME = 100


@click.command(
    epilog=options.examples(
        "pfltune report digits-20261121-064956",
        "pfltune report my-run --reference fedavg --target 0.7",
        "pfltune report small-digits small-cifar10 small-blood --out results/three",
    )
)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.results
@click.option(
    "--reference",
    default=None,
    metavar="METHOD",
    help="Hold the others against this one; default: the best on validation data.",
)
@click.option(
    "--target",
    type=float,
    default=None,
    help="Validation accuracy to time methods to, e.g. 0.7; default: 95 % of the best one's.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder for the files; default: NAME/report in the results, or NAME+NAME for several.",
)
def command(
    names: tuple[str, ...],
    results: Path,
    reference: str | None,
    target: float | None,
    out: Path | None,
) -> None:
    """Write the report of comparisons anew, from the MLflow store alone.

    Of one that still runs it shows what there is. Several names make one table with a column for
    each, average ranks and, from three on, a critical-difference diagram.
    """
    from pfltune.report.results import find_comparison
    from pfltune.tracking.store import reason

    store = _existing_store(results)
    experiments = {name: find_comparison(store, name) for name in names}
    folder = out or store.results / _default_folder(list(experiments))
    try:
        if len(experiments) == 1:
            (experiment,) = experiments.values()
            _report_one(store, experiment, folder, reference, target)
        else:
            _report_several(store, experiments.values(), folder, reference, target)
    except OSError as error:
        raise UserError(
            f"{str(folder)!r} cannot be written ({reason(error)}); name another with --out"
        ) from error
    page = folder / "report.html"
    near = page.relative_to(Path.cwd()) if page.is_relative_to(Path.cwd()) else page
    click.echo(f"Report: {near}")


def _existing_store(results: Path) -> "Store":
    """The store to read; a report makes no new one."""
    from pfltune.tracking.store import Store

    store = Store(results)
    file = store.uri.removeprefix("sqlite:///")
    if store.is_sqlite and not Path(file).is_file():
        raise UserError(
            f"there is no MLflow store at {file}; name another folder with --results, "
            "or a store with MLFLOW_TRACKING_URI"
        )
    store.reachable()
    return store


def _default_folder(names: list[str]) -> Path:
    if len(names) == 1:
        return Path(names[0]) / "report"
    joined = "+".join(names)
    return Path(joined if len(joined) <= LONGEST_NAME else f"{names[0]}+{len(names) - 1}-others")


def _report_one(
    store: "Store", experiment: str, folder: Path, reference: str | None, target: float | None
) -> None:
    from pfltune.report.table import print_table
    from pfltune.report.words import status
    from pfltune.report.writer import write_report

    result = write_report(store, experiment, folder, reference, target)
    print_table(Console(markup=False), result)
    if told := status(result):
        click.echo(f"{result.name} is {told}")


def _report_several(
    store: "Store",
    experiments: Iterable[str],
    folder: Path,
    reference: str | None,
    target: float | None,
) -> None:
    from pfltune.report.analysis import analyse
    from pfltune.report.results import read_results
    from pfltune.report.scenarios import rank_note, side_by_side, write_scenarios
    from pfltune.report.words import status

    found = [read_results(store, experiment) for experiment in experiments]
    scenarios = side_by_side([analyse(result, reference, target) for result in found])
    write_scenarios(scenarios, folder)
    for result in found:
        if told := status(result):
            click.echo(f"{result.name} is {told}")
    click.echo(rank_note(scenarios.ranking))
