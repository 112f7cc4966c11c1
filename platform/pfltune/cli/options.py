"""Options that several commands share, and how their texts are read."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from pfltune.errors import UserError


def examples(*lines: str) -> str:
    """A help epilogue that shows commands, one per line."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)


def stacked(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Several option decorators as one."""

    def decorate(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


ground = stacked(
    click.option(
        "--scenario",
        default="digits",
        show_default=True,
        help="Name of a scenario (see `pfltune scenarios`) or path of a YAML file.",
    ),
    click.option(
        "--override",
        "-o",
        "overrides",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change the scenario, e.g. -o protocol.rounds=20. Repeatable.",
    ),
)

knobs = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KNOB=VALUE",
    help="Hold a hyperparameter at a value, e.g. --set lr=0.02. Repeatable.",
)

device = click.option(
    "--device",
    default=None,
    metavar="cpu|cuda",
    help="Where trials run; the default is the GPU if torch sees one.",
)

threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="CPU threads per trial; part of the record, since it moves the last bits.",
)

precision = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Of passes through the model; auto: the faster one by a short measurement, made once.",
)

results = click.option(
    "--results",
    type=click.Path(path_type=Path),
    default=Path("results"),
    envvar="PFLTUNE_RESULTS",
    show_default=True,
    show_envvar=True,
    help="Folder for the MLflow store, reports and checkpoints.",
)

hardware = stacked(
    click.option("--name", default=None, help="Name of the experiment; default: made of the time."),
    click.option("--seed", type=int, default=0, show_default=True, help="Seed of everything."),
    click.option(
        "--workers",
        type=click.IntRange(min=1),
        default=None,
        help="Trials side by side; default: one per CPU core, or per GPU share.",
    ),
    threads,
    device,
    precision,
    click.option(
        "--gpus-per-trial",
        type=click.FloatRange(min=0),
        default=None,
        help="Share of a GPU per trial, e.g. 0.25 for four at a time.",
    ),
    results,
)

pool = stacked(
    click.option(
        "--trials", type=int, default=8, show_default=True, help="Search trials per method."
    ),
    click.option(
        "--generation",
        type=int,
        default=4,
        show_default=True,
        help="Trials suggested together; they are halved among themselves.",
    ),
    click.option(
        "--eta", type=int, default=3, show_default=True, help="One of ETA goes on at each rung."
    ),
    hardware,
)


def names(text: str) -> list[str]:
    """``"fedavg, local"`` as ``["fedavg", "local"]``.

    Raises:
        UserError: there is none.
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise UserError("--methods is empty; `pfltune methods` lists what there is")
    return found


def key_values(texts: Sequence[str]) -> dict[str, str]:
    """``["lr=0.1"]`` as ``{"lr": "0.1"}``."""
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key or not value:
            raise UserError(f"--set {text!r} must look like lr=0.02")
        if key in pairs:
            raise UserError(f"--set names {key} twice")
        pairs[key] = value
    return pairs


def pick_device(asked: str | None) -> str:
    """The device asked for, or the GPU where there is one.

    Raises:
        UserError: unknown, or a GPU on a machine without one.
    """
    import torch

    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    if asked not in ("cpu", "cuda"):
        raise UserError(f"unknown device {asked!r}; choose from: cpu, cuda")
    if asked == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch sees no GPU here; choose from: cpu")
    return asked
