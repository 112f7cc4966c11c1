"""``pfltune evaluate``."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from pfltune.cli import options
from pfltune.cli.tables import fitting, wide_enough
from pfltune.text import count, plain

if TYPE_CHECKING:
    from pfltune.figures import Measure
    from pfltune.models.examined import Examined


@click.command(
    epilog=options.examples(
        "pfltune evaluate my-comparison --method fedperfix",
        "pfltune evaluate my-comparison --method fedperfix --data folder:new-images",
        "pfltune evaluate my-comparison --method fedper --client 3 --data more.npz",
        "pfltune evaluate my-comparison --method fedper --by-client --data clients:hospitals",
    )
)
@click.argument("name")
@options.whose_model
@click.option(
    "--data",
    default=None,
    metavar="PATH",
    help="Other data than the clients' own: whatever a scenario can name, such as folder:PATH "
    "(class/image), clients:PATH (client/class/image), npz:FILE, manifest:FILE, or a path alone. "
    "Classes are known by their names.",
)
@click.option(
    "--by-client",
    is_flag=True,
    help="--data have clients (or domains): one whose name or number the trial knows is tested "
    "with its own model, any other as a new client.",
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
    --data alone the data are those of a new client, or of one for each client or domain of theirs:
    it trains its personal part on a share of them, as the scenario's unseen clients do, and is
    tested on the rest. A split that the data are given with is kept.
    """
    from pfltune.model_api import examined_models

    found = examined_models(
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
        click.echo(json.dumps(found.plain(), indent=2))
        return
    console = wide_enough(Console(markup=False))
    shown = fitting(
        found.measures, reversed(found.measures[1:]), partial(_table, found), console.width
    )
    console.print(_table(found, shown))
    tell = partial(console.print, soft_wrap=True, highlight=False)
    if left := [measure.heading for measure in found.measures if measure not in shown]:
        tell(f"no room here for {', '.join(left)}: see --json")
    if new := [row for row in found.rows if row.new]:
        tell(f"{count(len(new), 'new client')}, personalised on the samples that are not tested")
    for note in found.notes:
        tell(note)


def _table(found: "Examined", shown: Sequence["Measure"]) -> Table:
    """A row per client, the mean over them, and all their samples together, by some figures."""
    from pfltune.models.examined import value_of

    recorded = [measure for measure in shown if _is_recorded(found, measure)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("client", no_wrap=True)
    if numbered := any(
        row.number is not None and row.client != str(row.number) for row in found.rows
    ):
        table.add_column("number", justify="right")
    table.add_column("samples", justify="right")
    for measure in shown:
        table.add_column(measure.heading, justify="right")
        if measure in recorded:
            table.add_column("recorded", justify="right")

    def add(
        name: str,
        number: int | None,
        samples: int,
        of: Callable[["Measure"], float | None],
        known: Callable[["Measure"], float | None],
    ) -> None:
        cells = []
        for measure in shown:
            cells.append(_written(measure, of(measure)))
            if measure in recorded:
                cells.append(_written(measure, known(measure)))
        numbers = ["" if number is None else str(number)] * numbered
        table.add_row(name, *numbers, f"{samples:,}", *cells)

    for row in found.rows:
        name = plain(row.client) + (" (new)" if row.new else "")
        add(name, row.number, row.samples, partial(value_of, row), partial(found.recorded, row))
    table.add_section()
    add("mean", None, found.samples, found.mean, found.mean_recorded)
    add("together", None, found.samples, lambda m: found.pooled.get(m.name), lambda _: None)
    return table


def _is_recorded(found: "Examined", measure: "Measure") -> bool:
    return any(found.recorded(row, measure) is not None for row in found.rows)


def _written(measure: "Measure", value: float | None) -> str:
    return "–" if value is None or isnan(value) else measure.form.format(measure.factor * value)
