"""``pfltune grid``."""

import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from pfltune.cli import options
from pfltune.cli.compare import show_where

if TYPE_CHECKING:
    from pfltune.report.grid_results import GridResults


@click.command(
    epilog=options.examples(
        "pfltune grid fedperfix --set prefix=tokens --over prefix_length=1,2,4,8,16"
        " --over lr=0.01,0.03,0.1",
        "pfltune grid fedper,fedrep --over lr=0.003,0.01,0.03,0.1 --seeds 5",
        "pfltune grid fedperfix --over bottleneck=4,16,64,256 --test --name bottleneck",
        "pfltune grid --resume bottleneck",
    )
)
@click.argument("methods", required=False)
@click.option(
    "--over",
    multiple=True,
    metavar="KNOB=A,B,…",
    help="Vary a hyperparameter over these values. Up to four times; the first is drawn across, "
    "the second upwards.",
)
@options.knobs
@options.wrap
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="That each cell is trained with.",
)
@click.option(
    "--test",
    is_flag=True,
    help="Also tell the test figure, read at the round chosen on validation, with seeds that no "
    "search uses.",
)
@options.scenario
@options.hardware
@options.as_json
def command(results: Path, as_json: bool, **_: Any) -> None:
    """Train every choice of some knobs' values with the same seeds, and draw them.

    METHODS are names (see `pfltune methods`) or path/to/file.py:Class, separated by commas; knobs
    in brackets are held. Cells are compared on validation data alone. Their trials are kept and
    found again by `tune`, `compare` and a larger grid with the same --seed.
    """
    given = options.given()
    if "knobs" in given:
        given["knobs"] = options.key_values(given["knobs"])
    console = Console(markup=False, quiet=as_json)
    console.print("Loading torch and timm")
    from pfltune.api import grid
    from pfltune.cli.view import Terminal

    show = _print_json if as_json else partial(_show, console, results)
    grid(progress=Terminal(console, show), **given)


def _show(console: Console, results: Path, found: "GridResults") -> None:
    """The sentence, the best cells, and where there is more."""
    from pfltune.cli.tables import print_grid
    from pfltune.report.grid_words import edges

    for line in (found.finding, *edges(found.result)):
        console.print(line, highlight=False)
    print_grid(console, found.result)
    show_where(console, found, results)


def _print_json(found: "GridResults") -> None:
    """Print what was found as one JSON object."""
    from pfltune.report.grid_table import summary_rows
    from pfltune.report.results import count_reused

    content = {
        "name": found.name,
        "scenario": found.record.scenario.name,
        "id": found.record.id,
        "report": str(found.report),
        "reused": count_reused(found.result.trials),
        "finding": found.finding,
        "cells": [_plain(row) for row in summary_rows(found.result)],
    }
    click.echo(json.dumps(content, indent=2))


def _plain(row: dict[str, object]) -> dict[str, object]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in row.items()}
