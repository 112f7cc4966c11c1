"""``pfltune scenarios``."""

import sys

import click
import yaml
from rich.console import Console
from rich.table import Table

from pfltune.cli import options


@click.command(
    epilog=options.examples(
        "pfltune scenarios",
        "pfltune scenarios digits",
        "pfltune scenarios my_scenario.yaml -o protocol.rounds=50",
    )
)
@click.argument("name", required=False)
@options.change
def command(name: str | None, overrides: tuple[str, ...]) -> None:
    """List the scenarios, or show every setting of one, defaults included.

    What is printed is a complete scenario file: save it, change it, and name it with --scenario.
    """
    from pfltune.scenario import load_scenario, scenario_files

    console = Console(markup=False)
    if name is None:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for column in ("name", "what", "clients", "rounds"):
            table.add_column(column)
        for known in sorted(scenario_files()):
            scenario = load_scenario(known)
            clients, rounds = scenario.partition.clients or "as given", scenario.protocol.rounds
            table.add_row(known, scenario.title, str(clients), str(rounds))
        console.print(table)
        return
    settings = load_scenario(name, overrides).model_dump(mode="json", exclude_none=True)
    # Where only ASCII is printed, YAML's escapes: it shall still be a scenario that can be saved.
    unicode = "utf" in (sys.stdout.encoding or "").lower()
    text = yaml.safe_dump(settings, sort_keys=False, width=100, allow_unicode=unicode)
    click.echo(text.rstrip())
