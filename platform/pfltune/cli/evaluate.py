"""``pfltune evaluate``."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pfltune.cli import options

if TYPE_CHECKING:
    import pandas as pd


@click.command(
    epilog=options.examples(
        "pfltune evaluate my-comparison --method fedperfix",
        "pfltune evaluate my-comparison --method fedperfix --data folder:new-images",
        "pfltune evaluate my-comparison --method fedper --client 3 --data more.npz",
        "pfltune evaluate my-comparison --method fedper --by-client --data domains:by-client",
    )
)
@click.argument("name")
@options.whose_model
@click.option(
    "--data",
    default=None,
    metavar="PATH",
    help="Other data than the clients' own: folder:PATH (class/image), domains:PATH "
    "(domain/class/image), npz:PATH, or a path alone. Classes are known by their names.",
)
@click.option(
    "--by-client",
    is_flag=True,
    help="The domains of --data are called by the clients' numbers: test each client's model on "
    "its own.",
)
@click.option(
    "--override",
    "-o",
    "changed",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the scenario whose samples are tested, where its data lie elsewhere by now. "
    "Repeatable.",
)
@options.accept_new_code
@options.results
@options.as_json
def command(
    name: str,
    method: str | None,
    client: int | None,
    trial: str | None,
    data: str | None,
    by_client: bool,
    changed: tuple[str, ...],
    accept_new_code: bool,
    results: Path,
    as_json: bool,
) -> None:
    """Test the kept models of NAME: on their clients' own samples, or on other data.

    Without --data each client's model is tested on the client's own samples again; that gives the
    accuracy that the comparison recorded. With --data and --client it is that client's model; with
    --data alone the data are those of a new client, or of one for each domain: it trains its
    personal part on a share of them, as the scenario's unseen clients do, and is tested on the
    rest.
    """
    from pfltune.model_api import evaluate_model

    table = evaluate_model(
        name,
        data,
        method=method,
        client=client,
        by_client=by_client,
        trial=trial,
        results=results,
        overrides=changed,
        accept_new_code=accept_new_code,
    )
    if as_json:
        click.echo(json.dumps({"clients": _rows(table)}, indent=2))
        return
    for line in _lines(table):
        click.echo(line)


def _rows(table: "pd.DataFrame") -> list[dict[str, Any]]:
    """JSON has no NaN."""
    rows = table.reset_index().to_dict("records")
    return [{key: None if value != value else value for key, value in row.items()} for row in rows]


def _lines(table: "pd.DataFrame") -> list[str]:
    from pfltune.text import plain
    from pfltune.ties import exact_mean

    lines = []
    for row in _rows(table):
        known = row["recorded"]
        beside = "" if known is None else f", recorded {100 * known:.2f}"
        lines.append(
            f"client {plain(row['client'])}: {100 * row['test']:6.2f} % of {row['samples']}{beside}"
        )
    mean = f"mean over clients: {100 * exact_mean(table['test']):.2f} %"
    if table["recorded"].notna().all():
        mean += f", recorded {100 * exact_mean(table['recorded']):.2f}"
    return [*lines, mean]
