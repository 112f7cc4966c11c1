"""``pfltune compare``."""

import json
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.studies.options import METHODS, OWN_DEFAULTS

if TYPE_CHECKING:
    from pfltune.report.draws_notebook import DrawsResults
    from pfltune.report.grid_results import GridResults
    from pfltune.report.notebook import Results
    from pfltune.report.results import ComparisonResult


@click.command(
    epilog=options.examples(
        "pfltune compare",
        "pfltune compare --methods fedperfix,fedavg,local --trials 12 --seeds 5",
        "pfltune compare -o protocol.rounds=30 --name digits-30-rounds",
        "pfltune compare --methods fedavg,local,my_method.py:MyMethod",
        "pfltune compare -o partition.alpha=0.1,0.5,1.0 --name over-alpha",
        "pfltune compare --methods fedperfix,fedavg,local --partitions 5 --name five-draws",
        "pfltune compare --methods 'fedperfix,fedperfix[prefix=zero]'",
        "pfltune compare --methods fedperfix,fedavg,local --decide --max-seeds 12",
        "pfltune compare --search lr=1e-3:0.3 --search protocol.local_epochs=1,2,5",
        "pfltune compare --resume digits-30-rounds",
    )
)
@click.option(
    "--methods",
    default=",".join(METHODS),
    show_default=True,
    help=options.METHODS_HELP,
)
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=OWN_DEFAULTS["compare"]["seeds"],
    show_default=True,
    help="Fresh seeds of the confirmation.",
)
@options.decide
@options.max_seeds("12")
@options.scenario
@options.finalists("compare")
@options.partitions
@options.pool
def command(results: Path, as_json: bool, **_: Any) -> None:
    """Compare methods on one scenario: equal search, fresh seeds, one table.

    Every method gets the same number of search trials on validation data, its start values
    first, published ones where there are, halved in generations. The best configuration of each is
    then trained anew with seeds that the search never used, and tested at the round that validation
    chose. The same settings give the same table, with one worker or many, undisturbed or killed and
    resumed.
    """
    given = options.given()
    console = Console(markup=False, quiet=as_json)
    console.print("Loading torch and timm")
    from pfltune.api import compare, sweep
    from pfltune.cli.sweep import show_sweep, sweep_json
    from pfltune.cli.view import Terminal
    from pfltune.studies.draws import draws_of
    from pfltune.studies.sweep import sweep_of

    if draws_of(given) is None and sweep_of("compare", given) is not None:
        shown = sweep_json if as_json else partial(show_sweep, console)
        sweep(progress=Terminal(console, shown), **given)
        return
    show = print_any if as_json else partial(show_any, console, results)
    compare(progress=Terminal(console, show), **given)


def show_any(console: Console, results: Path, found: "Results | DrawsResults") -> None:
    """What a comparison found, on one draw of clients or on several."""
    from pfltune.cli.draws import show_draws
    from pfltune.report.draws_notebook import DrawsResults

    if isinstance(found, DrawsResults):
        show_draws(console, results, found)
    else:
        show_found(console, results, found)


def print_any(found: "Results | DrawsResults") -> None:
    """The same as one JSON object."""
    from pfltune.cli.draws import draws_json
    from pfltune.report.draws_notebook import DrawsResults

    if isinstance(found, DrawsResults):
        draws_json(found)
    else:
        print_json(found)


def show_found(
    console: Console, results: Path, found: "Results", scenario: str | None = None
) -> None:
    """What a comparison found, or the search of one method.

    Args:
        console: where to.
        results: the results folder as it was named.
        found: what was found.
        scenario: as it was named; default: its name.
    """
    from pfltune.cli.tuned import print_tuned
    from pfltune.report.tuning.notebook import TuneResults

    if isinstance(found, TuneResults):
        print_tuned(console, found.tuned, results, scenario)
        show_where(console, found, results)
    else:
        show_comparison(console, results, found)


def show_comparison(console: Console, results: Path, found: "Results") -> None:
    """The table, what has to be known of it, and where there is more."""
    from pfltune.cli.said import said
    from pfltune.cli.tables import print_table

    print_table(console, found.result)
    for line in said(found.analysis):
        console.print(line, soft_wrap=True, highlight=False)
    show_where(console, found, results)


def print_json(found: "Results") -> None:
    """Print what was found as one JSON object."""
    from pfltune.cli.tuned import facts
    from pfltune.report.fronts_shown import front_facts
    from pfltune.report.tuning.notebook import TuneResults

    more = facts(found.tuned) if isinstance(found, TuneResults) else {}
    more |= front_facts(found.analysis)
    click.echo(json.dumps(content_of(found.folder, found.result) | more, indent=2))


def content_of(folder: Path, result: "ComparisonResult") -> dict[str, Any]:
    """What a comparison found, for scripts: the rows of the table under MLflow's names."""
    from pfltune.report.racing import rows as race_rows

    rows = [
        {
            "method": method.name,
            "title": method.title,
            "best": method.best,
            **({"chosen": list(method.chosen)} if method.chosen else {}),
            "failures": list(method.failures),
            "reused": method.reused,
            **method.summary(),
        }
        for method in result.methods
    ]
    return {
        "name": result.name,
        "scenario": result.scenario,
        "id": result.id,
        "report": str(folder / "report" / "report.html"),
        "reused": result.reused,
        **({"race": list(race_rows(result))} if result.race else {}),
        "methods": rows,
    }


def show_where(console: Console, found: "Results | GridResults", asked: Path) -> None:
    """The last lines: what was reused, the report, and the command for the MLflow pages."""
    from pfltune.report.words import reuse_note

    if note := reuse_note(found.result.trials):
        console.print(note, soft_wrap=True, highlight=False)
    show_report(console, found.folder)
    flag = "" if asked == Path("results") else f" --results {shlex.quote(str(asked))}"
    console.print(f"Browse: pfltune ui {found.name}{flag}", soft_wrap=True, highlight=False)


def show_report(console: Console, folder: Path) -> None:
    """Where the page is."""
    report = folder / "report" / "report.html"
    near = report.relative_to(Path.cwd()) if report.is_relative_to(Path.cwd()) else report
    console.print(f"Report: {near}", soft_wrap=True, highlight=False)
