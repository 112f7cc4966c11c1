"""``pfltune compare``."""

import json
import shlex
from collections.abc import Mapping
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
    from pfltune.record import Record
    from pfltune.report.results import ComparisonResult

DEFAULT_METHODS = "fedperfix,fedavg,fedper,fedrep,pfedpg,local"


@click.command(
    epilog=options.examples(
        "pfltune compare",
        "pfltune compare --methods fedperfix,fedavg,local --trials 12 --seeds 5",
        "pfltune compare -o protocol.rounds=30 --name digits-30-rounds",
        "pfltune compare --methods fedavg,local,my_method.py:MyMethod",
        "pfltune compare --methods 'fedperfix,fedperfix[prefix=zero]'",
        "pfltune compare --resume digits-30-rounds",
    )
)
@click.option(
    "--methods",
    default=DEFAULT_METHODS,
    show_default=True,
    help=options.METHODS_HELP,
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
    asked = settings | {**options.chosen(methods), "fixed": {}}
    folder, result = compare_and_report("compare", asked, console)
    show_comparison(console, folder, result, settings)


def show_comparison(
    console: Console, folder: Path, result: "ComparisonResult", settings: Mapping[str, Any]
) -> None:
    """The end of a command that compares: the table, or all of it as JSON."""
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
    record = begun(command, asked)
    see_files(record, asked["accept_new_code"])
    return run_and_report(command, repeated(asked, record), record, console)


def run_and_report(
    command: str,
    settings: dict[str, Any],
    record: "Record | None",
    console: Console,
    extends: bool = False,
) -> tuple[Path, "ComparisonResult"]:
    """Run what is asked for, or what is left of it, and report.

    Args:
        command: that goes on with it.
        settings: as :func:`compare_and_report` has them, those of the record included.
        record: what it was begun with; None for a new one.
        console: where to say what happens.
        extends: whether more may be asked for than the record does.
    """
    console.print("Loading torch and timm")
    from pfltune.cli.live import ComparisonProgress
    from pfltune.registry import canonical, short_name
    from pfltune.report.partition import write_partition
    from pfltune.report.writer import write_report
    from pfltune.running.session import run_session
    from pfltune.studies.comparison import Comparison, first_methods, plan_methods
    from pfltune.tracking.store import writable_folder

    scenario = scenario_of(settings, record)
    name = name_of(settings, scenario.name)
    budget = budget_of(settings)
    only = short_name(canonical(settings["methods"][0]))
    titles = {short_name(canonical(m)): t for m, t in settings.get("titles", {}).items()}
    held = {method or only: knobs for method, knobs in settings["fixed"].items()}
    plan, spaces = plan_methods(settings["methods"], budget, scenario.protocol, held)
    hardware = hardware_of(settings, scenario, first_methods(spaces))
    results = writable_folder(settings["results"])
    comparison = Comparison(
        name,
        scenario,
        plan,
        spaces,
        hardware,
        asked_of(settings),
        results,
        command,
        extends,
        titles,
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
