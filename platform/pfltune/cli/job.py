"""What the commands that run many trials have in common: their options as objects."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pfltune.cli.options import pick_device
from pfltune.cli.resume import Record, given
from pfltune.errors import UserError

if TYPE_CHECKING:
    from pfltune.method import Method
    from pfltune.scenario import Scenario
    from pfltune.tuning.endurance import Endurance
    from pfltune.tuning.hardware import Hardware


def ground_of(settings: Mapping[str, Any], record: Record | None) -> "Scenario":
    """The scenario that the options name, or the one of the record if they name none."""
    from pfltune.scenario import Scenario, load_scenario
    from pfltune.settings import validated

    if record is None or given("scenario") or given("overrides"):
        return load_scenario(settings["scenario"], settings["overrides"])
    return validated(Scenario, record.get("scenario", {}), "scenario in comparison.json")


def name_of(settings: Mapping[str, Any], default: str) -> str:
    """The name that was given, or one made of the time.

    Raises:
        UserError: it cannot be the name of a folder.
    """
    from pfltune.tuning.claim import checked_name

    made = f"{default}-{datetime.now():%Y%m%d-%H%M%S}"
    return checked_name(settings["resume"] or settings["name"] or made)


def hardware_of(
    settings: Mapping[str, Any], scenario: "Scenario", methods: Iterable["Method"]
) -> "Hardware":
    """What the options say of hardware, with what they leave open measured."""
    from pfltune.tuning.hardware import Hardware
    from pfltune.tuning.pool import cluster, this_machine

    address = settings["ray_address"]
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


def endurance_of(settings: Mapping[str, Any], results: Path, name: str) -> "Endurance":
    """What the options say of checkpoints and limits."""
    from pfltune.tuning.endurance import Endurance

    place = settings["checkpoints"]
    own = f"{place.rstrip('/')}/{name}" if place else str(results / name / "checkpoints")
    return Endurance(
        checkpoints=own if "://" in own else str(Path(own).resolve()),
        seconds=settings["checkpoint_seconds"],
        rounds=settings["checkpoint_rounds"] or float("inf"),
        limit_s=settings["trial_limit"] or float("inf"),
    )
