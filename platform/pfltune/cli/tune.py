"""``pfltune tune``."""

from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pfltune.cli import options
from pfltune.cli.compare import compare_and_report, conclude, json_of, show_where
from pfltune.errors import UserError

if TYPE_CHECKING:
    from pfltune.report.results import ComparisonResult


@click.command(
    epilog=options.examples(
        "pfltune tune fedperfix --trials 20",
        "pfltune tune fedperfix --set prefix=tokens --trials 12",
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
@options.pool
def command(method: str | None, knobs: tuple[str, ...], **settings: Any) -> None:
    """Tune METHOD over its search space and show the best configuration.

    The search sees validation data only. At the end the best configuration is trained anew with a
    fresh seed and tested.
    """
    if method is None and not settings["resume"]:
        raise UserError("name a METHOD (see `pfltune methods`), or --resume what was begun")
    console = Console(markup=False, quiet=settings["as_json"])
    held = {"": options.key_values(knobs)} if knobs else {}
    asked = settings | {"methods": [method], "fixed": held}
    folder, result = compare_and_report("tune", asked, console)
    if settings["as_json"]:
        click.echo(json_of(folder, result))
        conclude(folder, result)
        return
    tuned = result.methods[0]
    if not tuned.runs:
        reasons = "; ".join(tuned.failures)
        console.print(f"{tuned.title}: every trial failed: {reasons}", soft_wrap=True)
    else:
        scenario = result.scenario if settings["resume"] else settings["scenario"]
        _show(console, result, scenario)
    show_where(console, folder, settings["results"])
    conclude(folder, result)


def _show(console: Console, result: "ComparisonResult", scenario: str) -> None:
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
