"""The root of the command line."""

import importlib
import os
from typing import Any

import click

from pfltune.cli.last import DEBUG
from pfltune.cli.options import examples

COMMANDS = {
    "compare": "Compare methods: equal search, fresh seeds, one table.",
    "tune": "Tune one method and show its best configuration.",
    "grid": "Train every choice of some knobs' values with the same seeds: one figure.",
    "extend": "Add methods, seeds or search trials to a comparison.",
    "best": "Print the values that a search chose, to be pasted.",
    "export": "Write a client's model as one file, or trials for Optuna or TensorBoard.",
    "predict": "Say the class of images with a client's kept model.",
    "evaluate": "Test kept models on their clients' samples again, or on other data.",
    "run": "Run one federated trial, without Ray.",
    "sensitivity": "Keep each kind of layer personal in turn: where is the model sensitive?",
    "claim": "Replay what a paper claims: which of its orderings hold?",
    "methods": "List the methods, or show one with its knobs.",
    "check": "See whether a method keeps what every method must keep.",
    "payload": "Show what each method sends in a round.",
    "scenarios": "List the scenarios, or show all that happens in one.",
    "data": "Show what a data set is when it has been read: counts, copies, pictures.",
    "partition": "Draw the clients of a scenario: who holds how much of what.",
    "trials": "List the trials that are kept, each found again by all that it depends on.",
    "clean": "Remove kept trials that no comparison needs, after asking.",
    "report": "Write the report of past comparisons anew, also of several in one.",
    "leaderboard": "Write one static page of all that has been confirmed so far.",
    "certify": "Write a small file by which others can check a comparison.",
    "verify": "Check such a file: train some of its trials again.",
    "doctor": "See whether everything works on this machine; what a GPU would do.",
    "ui": "Open the MLflow pages of past runs in a browser.",
}


class LazyGroup(click.Group):
    """Imports the module of a command when it is called, so that --help needs none of them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which a newcomer needs them."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of ``pfltune.cli.<name>``."""
        if cmd_name not in COMMANDS:
            return None
        return importlib.import_module(f"pfltune.cli.{cmd_name}").command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the choices when there is no such command."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"unknown command {args[0]!r}; choose from: {_names()}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def _show_tracebacks(_ctx: click.Context, _option: click.Parameter, asked: bool) -> None:
    if asked:
        os.environ[DEBUG] = "1"


def _names() -> str:
    return ", ".join(COMMANDS)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "pfltune compare",
        "pfltune tune fedperfix --trials 20 --set prefix=tokens",
        "pfltune run fedrep --set lr=0.05",
    ),
)
@click.option(
    "--debug",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_show_tracebacks,
    help=f"Show the traceback of an error; so does {DEBUG}=1.",
)
@click.version_option(package_name="pfltune")
def root(**_: Any) -> None:
    """Tune and compare personalized federated-learning methods on vision transformers, fairly."""
