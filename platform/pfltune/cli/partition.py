"""``pfltune partition``."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np
from rich.console import Console
from rich.table import Table

from pfltune.cli import options
from pfltune.errors import UserError

if TYPE_CHECKING:
    from pfltune.data.census import Census


INSTEAD = "name another folder with --out"


@click.command(
    epilog=options.examples(
        "pfltune partition digits",
        "pfltune partition digits -o partition.alpha=0.1 -o partition.min_samples=10",
        'pfltune partition digits -o "partition={kind: shards, clients: 20}" --out shards',
        "pfltune partition digits --write clients.csv",
        'pfltune partition digits -o "partition={kind: file, path: clients.csv}"',
    )
)
@click.argument("scenario")
@options.change
@options.results
@click.option(
    "--write",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FILE.csv",
    help="Also write who has which sample, to be read with partition.kind=file.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    help="Folder for the files; default: partitions/<scenario> in the results.",
)
def command(
    scenario: str, overrides: tuple[str, ...], results: Path, write: Path | None, out: Path | None
) -> None:
    """Draw the clients of SCENARIO as a picture and a table, without any training.

    SCENARIO is a name (see `pfltune scenarios`) or the path of a YAML file. The CSV has one row per
    client and part (train, val, test), and a column per domain and class. Below the table stands
    what was done to the data that is not to be expected: scaled, turned, mapped, passed over.
    """
    from pfltune.data.assignment import write as write_assignment
    from pfltune.data.census import take_census
    from pfltune.data.names import some_of
    from pfltune.ownership import published
    from pfltune.report.partition import write_partition
    from pfltune.running.folder_lock import checked_name
    from pfltune.scenario import load_scenario

    chosen_scenario = load_scenario(scenario, overrides)
    dataset = chosen_scenario.dataset()
    clients = chosen_scenario.clients(dataset)
    census = take_census(dataset, clients)
    if write is not None:
        write_assignment(write, dataset, clients)
    folder = out or results / "partitions" / checked_name(chosen_scenario.name)
    console = Console(markup=False)
    tell = partial(console.print, soft_wrap=True, highlight=False)
    try:
        with published(folder, f"the partition of {chosen_scenario.name}", INSTEAD) as draft:
            names = [path.name for path in write_partition(chosen_scenario, census, draft, tell)]
    except OSError as error:
        raise UserError(
            f"{str(folder)!r} cannot be written ({error.strerror}); {INSTEAD}"
        ) from error
    console.print(
        f"{chosen_scenario.partition.describe()}, data_seed {chosen_scenario.data_seed}",
        soft_wrap=True,
    )
    console.print(_table(census))
    if census.client_names:
        tell(f"clients: {some_of(census.client_names)}")
    for note in chosen_scenario.notes():
        tell(note)
    for name in names:
        click.echo(folder / name)
    if write is not None:
        click.echo(write)


def _table(census: "Census") -> Table:
    """What all clients hold together, and the least, the median and the most of one."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(f"{len(census.sizes)} clients")
    for column in ("together", "min", "median", "max"):
        table.add_column(column, justify="right")
    _add(table, "samples", census.sizes.sum(), census.sizes.sum(1))
    for part, each in zip(census.parts, census.sizes.T, strict=True):
        _add(table, part, each.sum(), each)
    for kind, counts in {"classes": census.by_class, "domains": census.by_domain}.items():
        held = counts.sum(1) > 0
        if held.size:
            _add(table, kind, held.any(0).sum(), held.sum(1))
    return table


def _add(table: Table, name: str, together: int, each: np.ndarray) -> None:
    numbers = (together, each.min(), np.median(each), each.max())
    table.add_row(name, *(f"{number:,.1f}".removesuffix(".0") for number in numbers))
