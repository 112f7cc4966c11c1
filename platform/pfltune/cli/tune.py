"""``pfltune tune``."""

from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.cli.compare import print_json, show_found
from pfltune.errors import UserError


@click.command(
    epilog=options.examples(
        "pfltune tune fedperfix --trials 20",
        "pfltune tune fedperfix --set prefix=tokens --trials 12",
        "pfltune tune fedperfix --trials 20 --pair lr,scale",
        "pfltune tune fedperfix --finalists 5 --finalist-seeds 5",
        "pfltune tune fedperfix --set prefix=tokens --search prefix_length=1,2,4,8,16",
        "pfltune tune fedrep --scenario my_scenario.yaml --workers 4",
        "pfltune tune --resume my-search",
    )
)
@click.argument("method", required=False)
@options.scenario
@options.knobs
@options.pair
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
@options.finalists("tune")
@options.pool
def command(scenario: str, results: Path, as_json: bool, **_: Any) -> None:
    """Tune METHOD over its search space and show the best configuration.

    The search sees validation data only, and so do the finalists: its best configurations, which
    are trained again with fresh seeds before the one with the best mean is chosen. That one is
    trained anew with another fresh seed and tested.
    """
    given = options.given()
    if "knobs" in given:
        given["knobs"] = options.key_values(given["knobs"])
    console = Console(markup=False, quiet=as_json)
    console.print("Loading torch and timm")
    from pfltune.api import tune, tuning
    from pfltune.cli.sweep import show_sweep, sweep_json
    from pfltune.cli.view import Terminal
    from pfltune.jobs import swept
    from pfltune.studies.sweep import sweep_of

    if (sweep := sweep_of("tune", given)) is not None:
        if "pair" in given:
            raise UserError("several settings are a sweep: --pair is for its cells, one by one")
        shown = sweep_json if as_json else partial(show_sweep, console)
        swept(sweep, tuning(given.pop("method", None), given), Terminal(console, shown))
        return

    named = None if "resume" in given else scenario
    show = print_json if as_json else partial(show_found, console, results, scenario=named)
    tune(progress=Terminal(console, show), **given)
