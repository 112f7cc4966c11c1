"""The command line. Nothing heavy is imported before a command needs it."""

import sys
from typing import NoReturn

import click

from pfltune.cli.app import root
from pfltune.errors import Halted, TrackingError, UserError

NOT_NOW, INTERRUPTED = 1, 130


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
    except (Halted, TrackingError) as error:
        _fail(str(error), NOT_NOW)
    except (click.Abort, KeyboardInterrupt):
        click.echo("pfltune: interrupted", err=True)
        sys.exit(INTERRUPTED)


def _fail(message: str, code: int = 2) -> NoReturn:
    click.echo(f"pfltune: {' '.join(message.split())}", err=True)
    sys.exit(code)
