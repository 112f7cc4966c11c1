"""The command line. Nothing heavy is imported before a command needs it."""

import sys

import click

from pfltune.cli.app import root
from pfltune.errors import UserError

INTERRUPTED = 130


def main() -> None:
    """Run a command; a user's mistake is one line and exit code 2, never a traceback."""
    try:
        sys.exit(root(standalone_mode=False))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(2)
    except click.ClickException as error:
        _fail(error.format_message())
    except UserError as error:
        _fail(str(error))
    except (click.Abort, KeyboardInterrupt):
        click.echo("pfltune: interrupted", err=True)
        sys.exit(INTERRUPTED)


def _fail(message: str) -> None:
    click.echo(f"pfltune: {' '.join(message.split())}", err=True)
    sys.exit(2)
