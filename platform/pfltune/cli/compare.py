"""``pfltune compare``."""

import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.cli.job import asked_of, budget_of, hardware_of, name_of, scenario_of, voice
from pfltune.cli.resume import begun, repeated, see_files
from pfltune.errors import Halted

if TYPE_CHECKING:
    from pfltune.report.results import ComparisonResult

DEFAULT_METHODS = "fedperfix,fedavg,fedper,fedrep,pfedpg,local"


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
    default=DEFAULT_METHODS,
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
def command(methods: str, **settings: Any) -> None:
    """Compare methods on one scenario: equal search, fresh seeds, one table.

    Every method gets the same number of search trials on validation data, its published values
    first, halved in generations. The best configuration of each is then trained anew with seeds
    that the search never used, and tested at the round that validation chose. The same settings
    give the same table, with one worker or many, undisturbed or killed and resumed.
    """
    console = Console(markup=False, quiet=settings["as_json"])
    asked = settings | {"methods": options.names(methods), "fixed": {}}
    folder, result = compare_and_report("compare", asked, console)
    if settings["as_json"]:
        click.echo(json_of(folder, result))
        conclude(folder, result)
        return
    from pfltune.cli.tables import print_table
    from pfltune.report.words import origin_note

    print_table(console, result)
    if note := origin_note(result):
        console.print(note, soft_wrap=True, highlight=False)
    for method in result.methods:
        for reason in method.failures:
            console.print(
                f"{method.title}: failed trials: {reason}", soft_wrap=True, highlight=False
            )
    show_where(console, folder, settings["results"])
    conclude(folder, result)


def compare_and_report(
    command: str, asked: dict[str, Any], console: Console
) -> tuple[Path, "ComparisonResult"]:
    """Check, run or resume, and report; returns the comparison's folder and its result.

    Args:
        command: that began it.
        asked: its options, ``methods`` as a list, ``fixed`` as knobs by short name of the method;
            those under an empty name are of the only one.
        console: where to say what happens.
    """
    console.print("Loading torch and timm")
    from pfltune.cli.live import ComparisonProgress
    from pfltune.registry import short_name
    from pfltune.report.partition import write_partition
    from pfltune.report.writer import write_report
    from pfltune.running.session import run_session
    from pfltune.studies.comparison import Comparison, first_methods, plan_methods
    from pfltune.tracking.store import writable_folder

    record = begun(command, asked)
    see_files(record, asked["accept_new_code"])
    settings = repeated(asked, record)
    scenario = scenario_of(settings, record)
    name = name_of(settings, scenario.name)
    budget = budget_of(settings)
    only = short_name(settings["methods"][0])
    held = {method or only: knobs for method, knobs in settings["fixed"].items()}
    plan, spaces = plan_methods(settings["methods"], budget, scenario.protocol, held)
    hardware = hardware_of(settings, scenario, first_methods(spaces))
    results = writable_folder(settings["results"])
    comparison = Comparison(
        name, scenario, plan, spaces, hardware, asked_of(settings), results, command
    )
    progress = ComparisonProgress(plan, console)
    run_session(comparison, progress, voice(console), write_partition, settings["accept_new_code"])
    console.print("Writing the report")
    return comparison.folder, write_report(results, name)


def conclude(folder: Path, result: "ComparisonResult") -> None:
    """The end of a command, when its table has been shown: MLflow is given the report.

    Raises:
        TrackingError: it cannot be.
        Halted: no method has a figure.
    """
    from pfltune.report.attachment import attach_report

    attach_report(folder.parent, result, folder / "report", partial(click.echo, err=True))
    if not result.confirmed:
        raise Halted("no method has a figure: every trial failed")


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
