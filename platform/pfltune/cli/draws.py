"""What the commands show of a comparison over draws of clients."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

if TYPE_CHECKING:
    from pfltune.report.draws_notebook import DrawsResults


def show_draws(console: Console, results: Path, found: "DrawsResults") -> None:
    """The table over all draws, what it says, and where there is more."""
    from pfltune.cli.compare import show_report
    from pfltune.cli.tables import print_draws

    print_draws(console, found.found)
    show_report(console, found.folder)
    first = found.found.draws.names[0]
    flag = "" if results == Path("results") else f" --results {results}"
    console.print(f"Browse: pfltune ui {first}{flag}", soft_wrap=True, highlight=False)


def draws_json(found: "DrawsResults") -> None:
    """Print what was found as one JSON object: all draws together, and each as by itself."""
    from pfltune.cli.compare import content_of
    from pfltune.report.draws_table import summary_rows

    each = [
        {"data_seed": result.record.scenario.data_seed, **content_of(result.folder, result.result)}
        for result in found.draws.values()
    ]
    content = {
        "name": found.name,
        "id": found.found.draws.id,
        "report": str(found.report),
        "tune_each": found.found.draws.tune_each,
        "methods": [_plain(row) for row in summary_rows(found.found)],
        "draws": each,
        "missing": found.missing,
    }
    click.echo(json.dumps(content, indent=2))


def _plain(row: dict[str, object]) -> dict[str, object]:
    """JSON has no NaN."""
    return {name: None if value != value else value for name, value in row.items()}
