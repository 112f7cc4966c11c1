"""``pfltune compare``."""

import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.studies.options import METHODS, names

if TYPE_CHECKING:
    from pfltune.report.notebook import Results
    from pfltune.report.results import ComparisonResult


@click.command(
    epilog=options.examples(
        "pfltune compare",
        "pfltune compare --methods fedperfix,fedavg,local --trials 12 --seeds 5",
        "pfltune compare -o protocol.rounds=30 --name digits-30-rounds",
        "pfltune compare --methods fedavg,local,my_method.py:MyMethod",
        "pfltune compare --resume digits-30-rounds",
    )
)
@click.option(
    "--methods",
    default=",".join(METHODS),
    show_default=True,
    help="Names (see `pfltune methods`) or path/to/file.py:Class, separated by commas.",
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Fresh seeds of the confirmation.",
)
@options.scenario
@options.pool
def command(results: Path, as_json: bool, **_: Any) -> None:
    """Compare methods on one scenario: equal search, fresh seeds, one table.

    Every method gets the same number of search trials on validation data, its published values
    first, halved in generations. The best configuration of each is then trained anew with seeds
    that the search never used, and tested at the round that validation chose. The same settings
    give the same table, with one worker or many, undisturbed or killed and resumed.
    """
    given = options.given()
    if "methods" in given:
        given["methods"] = names(given["methods"])
    console = Console(markup=False, quiet=as_json)
    console.print("Loading torch and timm")
    from pfltune.api import compare
    from pfltune.cli.view import Terminal

    show = print_json if as_json else partial(_show, console, results)
    compare(progress=Terminal(console, show), **given)


def _show(console: Console, results: Path, found: "Results") -> None:
    """The table, what has to be known of it, and where there is more."""
    from pfltune.cli.tables import print_table
    from pfltune.report.words import origin_note

    print_table(console, found.result)
    if note := origin_note(found.result):
        console.print(note, soft_wrap=True, highlight=False)
    for method in found.result.methods:
        for reason in method.failures:
            console.print(
                f"{method.title}: failed trials: {reason}", soft_wrap=True, highlight=False
            )
    show_where(console, found.folder, results)


def print_json(found: "Results") -> None:
    """Print what was found as one JSON object."""
    click.echo(json_of(found.folder, found.result))


def json_of(folder: Path, result: "ComparisonResult") -> str:
    """What a comparison found, for scripts: the rows of the table under MLflow's names."""
    rows = [
        {
            "method": method.name,
            "title": method.title,
            "best": method.best,
            "failures": list(method.failures),
            **method.summary(),
        }
        for method in result.methods
    ]
    found = {
        "name": result.name,
        "scenario": result.scenario,
        "id": result.id,
        "report": str(folder / "report" / "report.html"),
        "methods": rows,
    }
    return json.dumps(found, indent=2)


def show_where(console: Console, folder: Path, asked: Path) -> None:
    """The last lines: the report, and the command for the MLflow pages."""
    report = folder / "report" / "report.html"
    near = report.relative_to(Path.cwd()) if report.is_relative_to(Path.cwd()) else report
    flag = "" if asked == Path("results") else f" --results {shlex.quote(str(asked))}"
    console.print(f"Report: {near}", soft_wrap=True, highlight=False)
    console.print(f"Browse: pfltune ui {folder.name}{flag}", soft_wrap=True, highlight=False)
