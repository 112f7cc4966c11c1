"""What the commands show of a sweep."""

import json
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from pfltune.report.notebook import SweepResults


def show_sweep(console: Console, found: "SweepResults") -> None:
    """The table over all cells, and where there is more."""
    from pfltune.cli.compare import show_report
    from pfltune.cli.tables import print_sweep

    print_sweep(console, found.found)
    show_report(console, found.folder)


def sweep_json(found: "SweepResults") -> None:
    """Print what was found as one JSON object: each cell as a comparison prints it."""
    from pfltune.cli.compare import content_of

    cells = [
        {"at": dict(cell.at), **content_of(result.folder, result.result)}
        for cell, result in zip(found.found.cells, found.cells.values(), strict=True)
    ]
    content = {
        "name": found.name,
        "id": found.found.sweep.id,
        "report": str(found.report),
        "cells": cells,
        "missing": found.missing,
    }
    click.echo(json.dumps(content, indent=2))
