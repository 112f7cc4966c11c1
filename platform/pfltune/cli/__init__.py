"""The command line. Nothing heavy is imported before a command needs it."""

import sys

import click

from pfltune.cli.app import root
from pfltune.cli.last import MISTAKE, fail, prepare


def main() -> None:
    """Run a command; whatever goes wrong is one line and exit code 1 or 2, never a traceback."""
    prepare()
    try:
        code = root(standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(MISTAKE)
    except BaseException as error:
        fail(error)
    sys.exit(code)
