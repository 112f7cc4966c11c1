"""``pfltune tune``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pfltune.cli import options
from pfltune.cli.compare import print_json, show_where

if TYPE_CHECKING:
    from pfltune.report.notebook import Results
    from pfltune.report.results import ComparisonResult


@click.command(
    epilog=options.examples(
        "pfltune tune fedperfix --trials 20",
        "pfltune tune fedperfix --set prefix=tokens --trials 12",
        "pfltune tune fedperfix --set prefix=tokens --search prefix_length=1,2,4,8,16",
        "pfltune tune fedrep --scenario my_scenario.yaml --workers 4",
        "pfltune tune --resume my-search",
    )
)
@click.argument("method", required=False)
@options.scenario
@options.knobs
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Fresh seeds on which the best configuration is tested at the end.",
)
@click.option(
    "--start-from",
    default=None,
    metavar="URL[#STUDY]",
    help="Try the three best trials of a study of Optuna's first, as far as their values are "
    "searched, e.g. sqlite:///studies.db#mine.",
)
@options.pool
def command(scenario: str, results: Path, as_json: bool, **_: Any) -> None:
    """Tune METHOD over its search space and show the best configuration.

    The search sees validation data only. At the end the best configuration is trained anew with a
    fresh seed and tested.
    """
    given = options.given()
    if "knobs" in given:
        given["knobs"] = options.key_values(given["knobs"])
    console = Console(markup=False, quiet=as_json)
    console.print("Loading torch and timm")
    from pfltune.api import swept, tune, tuning
    from pfltune.cli.sweep import show_sweep, sweep_json
    from pfltune.cli.view import Terminal
    from pfltune.studies.sweep import sweep_of

    if (sweep := sweep_of("tune", given)) is not None:
        shown = sweep_json if as_json else partial(show_sweep, console)
        swept(sweep, tuning(given.pop("method", None), given), Terminal(console, shown))
        return

    named = None if "resume" in given else scenario
    show = print_json if as_json else partial(_show, console, results, named)
    tune(progress=Terminal(console, show), **given)


def _show(console: Console, results: Path, scenario: str | None, found: "Results") -> None:
    """What was chosen, or why nothing was, and where there is more."""
    tuned = found.result.methods[0]
    if tuned.runs:
        _show_best(console, found.result, scenario or found.result.scenario)
    else:
        reasons = "; ".join(tuned.failures)
        console.print(f"{tuned.title}: every trial failed: {reasons}", soft_wrap=True)
    show_where(console, found, results)


def _show_best(console: Console, result: "ComparisonResult", scenario: str) -> None:
    """The chosen values, how they were found, what they are worth, and the command for more."""
    from pfltune.cli.again import again
    from pfltune.report.search_words import fall, shown, trials
    from pfltune.report.searching import search_of

    tuned = result.methods[0]
    search = search_of(tuned, {}, {})
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2))
    for name, value in tuned.best.items():
        table.add_row("", name, Text(shown(value)))
    lines = [f"Best of {trials(search)}:", table, fall(search)]
    if command := again(result, tuned, scenario):
        lines.append(f"Again:  {command}")
    for line in lines:
        console.print(line, soft_wrap=isinstance(line, str), highlight=False)
