"""``pfltune leaderboard``."""

from pathlib import Path

import click

from pfltune.cli import options
from pfltune.errors import Halted, UserError


@click.command(
    epilog=options.examples("pfltune leaderboard", "pfltune leaderboard --out public/board")
)
@options.results
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=None,
    metavar="FOLDER",
    help="Folder for the page; default: leaderboard in the results.",
)
def command(results: Path, out: Path | None) -> None:
    """Write one static page of all that the comparisons of a results folder confirmed.

    Methods that were compared on the same data, clients, start weights and rules stand in one
    table, the best test figure first. The page needs no other file and no server; beside it lies
    the same as CSV. What of a damaged journal stands before the damage is shown, and the command
    ends with code 1.
    """
    from pfltune.report.leaderboard import write_leaderboard
    from pfltune.tracking.store import reason

    try:
        page, board = write_leaderboard(results, out)
    except OSError as error:
        raise UserError(
            f"the leaderboard cannot be written ({reason(error)}); name another folder with --out"
        ) from error
    click.echo(f"Leaderboard: {page}")
    for name, why in board.skipped:
        click.echo(f"Left out: {name}: {why}", err=True)
    if board.damaged:
        raise Halted(f"{'; '.join(board.damaged)}; the page has what stands before it")
