"""``pfltune export``."""

import shlex
from pathlib import Path

import click

from pfltune.cli import options
from pfltune.text import count


@click.command(
    epilog=options.examples(
        "pfltune export my-search --optuna sqlite:///my-search.db",
        "pfltune export my-comparison --optuna postgresql://me@host/studies",
    )
)
@click.argument("name")
@click.option(
    "--optuna",
    "address",
    required=True,
    metavar="URL",
    help="Address of a storage of Optuna's, such as sqlite:///FILE. A file that is not there is "
    "made; to what is there the studies are added.",
)
@options.results
def command(name: str, address: str, results: Path) -> None:
    """Write the searches of NAME as studies of Optuna's, one for each method that was searched.

    They have the recorded space, every trial in its order, its score at every evaluated round, and
    what is known of it beside. Trials that were stopped early are pruned ones. Whatever reads
    studies of Optuna's reads them: optuna-dashboard, optuna.visualization, pfltune tune
    --start-from. All are written or none; what is there already as it shall be is left alone.
    """
    from pfltune.api import export
    from pfltune.tracking.optuna_storage import parsed_address, shown

    studies = export(name, address, results=results)
    where = shown(parsed_address(address))
    click.echo(f"In {where}:")
    for study, trials in studies.items():
        click.echo(f"  {study}: {count(trials, 'trial')}")
    click.echo(f"Browse: optuna-dashboard {shlex.quote(where)}")
