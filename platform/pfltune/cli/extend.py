"""``pfltune extend``."""

from functools import partial
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.cli.compare import print_any, show_any
from pfltune.studies.options import MOST_PARTITIONS


@click.command(
    epilog=options.examples(
        "pfltune extend digits-20261121-064956 --methods apfl,ditto",
        "pfltune extend my-run --seeds 10",
        "pfltune extend my-run --decide --max-seeds 20",
        "pfltune extend my-run --trials 16",
        "pfltune extend my-run --studies 3",
        "pfltune extend my-run --generation 4,4,8",
        "pfltune extend my-search --trials 24 --finalist-seeds 5",
        "pfltune extend five-draws --partitions 8 --seeds 5",
        "pfltune extend my-search --methods 'fedperfix[prefix=zero]' --seeds 5",
    )
)
@click.argument("name")
@click.option("--methods", default=None, help=f"More methods. {options.METHODS_HELP}")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=None,
    help="Confirmation seeds that there shall be, not fewer than there are.",
)
@options.decide
@options.max_seeds("as many as there are, or 12")
@click.option(
    "--trials",
    type=int,
    default=None,
    help="Search trials per method that there shall be: whole generations are added.",
)
@click.option(
    "--generation",
    type=options.GenerationSizes(),
    default=None,
    help="Size of each added generation, by default that of the first one; or the sizes of all, "
    "those that are there included, e.g. 4,4,8.",
)
@click.option(
    "--studies",
    type=click.IntRange(min=1),
    default=None,
    help="Independent searches of each method that there shall be.",
)
@click.option(
    "--control",
    is_flag=True,
    default=None,
    help="Also test each method's first start values with the seeds of the confirmation.",
)
@click.option(
    "--finalists",
    "--revalidate",
    "finalists",
    type=click.IntRange(min=0),
    default=None,
    help="Finalists per method that there shall be, see `pfltune tune --help`.",
)
@click.option(
    "--finalist-seeds",
    type=click.IntRange(min=1),
    default=None,
    help="Validation seeds of each finalist that there shall be.",
)
@click.option(
    "--front",
    type=click.IntRange(min=1),
    default=None,
    help="Configurations of each method's front that are confirmed that there shall be, see "
    "`pfltune compare --help`.",
)
@click.option(
    "--partitions",
    type=click.IntRange(1, MOST_PARTITIONS),
    default=None,
    help="Draws of clients that there shall be, of what was begun with --partitions.",
)
@options.wrap
@options.free
@options.as_json
def command(results: Path, as_json: bool, **_: Any) -> None:
    """Add methods, seeds, search trials or finalists to the comparison NAME, finished or not.

    Only what is new is trained. The table is the one of a comparison that was asked for all of it
    at once. What was begun by `pfltune tune` can be extended too. After an interruption the same
    command goes on, and so does the one that is printed.
    """
    given = options.given()
    console = Console(markup=False, quiet=as_json)
    console.print("Loading torch and timm")
    from pfltune.api import extend
    from pfltune.cli.view import Terminal

    show = print_any if as_json else partial(show_any, console, results)
    extend(progress=Terminal(console, show), **given)
