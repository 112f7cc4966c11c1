"""What the commands that run many trials have in common: their options as objects."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from pfltune.cli.options import pick_device
from pfltune.cli.resume import HERE, given
from pfltune.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from pfltune.budget import Budget
    from pfltune.method import Method
    from pfltune.record import Asked, Record
    from pfltune.running.hardware import Hardware
    from pfltune.running.job import Voice
    from pfltune.scenario import Scenario


def scenario_of(settings: Mapping[str, Any], record: "Record | None") -> "Scenario":
    """The scenario that the options name; what they leave open is as in the record."""
    from pfltune.scenario import load_scenario, overridden

    if record is None or given("scenario"):
        return load_scenario(settings["scenario"], settings["overrides"])
    return overridden(record.scenario, settings["overrides"])


def name_of(settings: Mapping[str, Any], default: str) -> str:
    """The name that was given, or one made of the time.

    Raises:
        UserError: it cannot be the name of a folder.
    """
    from pfltune.running.folder_lock import checked_name

    made = f"{default}-{datetime.now():%Y%m%d-%H%M%S}"
    return checked_name(settings["resume"] or settings["name"] or made)


def budget_of(settings: Mapping[str, Any]) -> "Budget":
    """What the options say that each method may spend."""
    from pfltune.budget import Budget
    from pfltune.settings import validated

    names = ("trials", "generation", "eta", "seeds", "seed")
    return validated(Budget, {name: settings[name] for name in names}, "budget")


def hardware_of(
    settings: Mapping[str, Any], scenario: "Scenario", methods: Iterable["Method"]
) -> "Hardware":
    """What the options say of hardware, with what they leave open measured."""
    from pfltune.running.hardware import Hardware
    from pfltune.running.pool import cluster, this_machine

    address = settings["ray_address"] if settings["ray_address"] != HERE else None
    if address and settings["workers"]:
        raise UserError(
            f"--workers {settings['workers']} is for this machine alone; with --ray-address as "
            "many trials run as the cluster has room for"
        )
    machines = cluster(address) if address else this_machine()
    return Hardware.choose(
        scenario,
        methods,
        machines,
        settings["workers"],
        settings["threads"],
        pick_device(settings["device"], machines.gpus),
        settings["gpus_per_trial"],
        settings["precision"],
        settings["deterministic"],
    )


def asked_of(settings: Mapping[str, Any]) -> "Asked":
    """The options that touch no figure, for the record."""
    from pfltune.record import Asked
    from pfltune.settings import validated

    return validated(Asked, {key: settings[key] for key in Asked.model_fields}, "options")


def voice(console: "Console") -> "Voice":
    """How a session speaks on a console; what must be heard goes to standard error."""
    from pfltune.running.job import Voice

    tell = partial(console.print, soft_wrap=True, highlight=False)
    return Voice(tell, partial(click.echo, err=True))
