"""``pfltune clean``."""

import sys
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from pfltune.cli import options
from pfltune.errors import UserError
from pfltune.text import count, plain

if TYPE_CHECKING:
    from pfltune.trials.store import Listed

MB = 1e6


@click.command(epilog=options.examples("pfltune clean", "pfltune clean --yes"))
@options.results
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
def command(results: Path, yes: bool) -> None:
    """Remove kept trials that no comparison in the results folder needs, after asking.

    A comparison needs its own trials and those that it reused; one that has not come to its end,
    also those that it may still look for. What goes are the trials of `pfltune run`, those of
    comparisons whose folder is gone, and damaged files.
    """
    from pfltune.tracking.store import reason
    from pfltune.trials.needs import remove, unneeded

    found = unneeded(results)
    if not found:
        click.echo(f"Nothing to remove: the comparisons in {results} need all kept trials")
        return
    Console(markup=False, highlight=False).print(_table(found))
    if not yes and not _somebody_is_there():
        raise UserError("nothing is removed: nobody can be asked here; give --yes")
    if not yes and not click.confirm(f"Remove {_told(found)} that no comparison needs?"):
        click.echo("Nothing was removed")
        return
    try:
        gone = remove(results, found)
    except OSError as error:
        raise UserError(f"not all could be removed: {reason(error)}") from error
    click.echo(f"Removed: {_told(gone)}")


def _somebody_is_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _told(files: "list[Listed]") -> str:
    return f"{count(len(files), 'trial')}, {sum(each.size for each in files) / MB:.3g} MB"


def _table(files: "list[Listed]") -> Table:
    """Whose they are and how much."""
    groups: dict[tuple[str, str, str], list[Listed]] = defaultdict(list)
    for each in files:
        groups[_group(each)].append(each)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for head in ("by", "scenario", "method"):
        table.add_column(head, overflow="fold")
    for head in ("trials", "MB"):
        table.add_column(head, justify="right")
    for group, members in sorted(groups.items()):
        size = sum(each.size for each in members) / MB
        table.add_row(*map(plain, group), str(len(members)), f"{size:.3g}")
    return table


def _group(each: "Listed") -> tuple[str, str, str]:
    if each.entry is None:
        return ("damaged", "", "")
    origin = each.entry.origin
    return (origin.told, origin.scenario, origin.method)
