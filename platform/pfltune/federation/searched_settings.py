"""Settings of the protocol that a search may vary like knobs, such as ``protocol.local_epochs``.

They are those that touch neither the data nor how many rounds and evaluations there are, so that
trials which differ in them still compare. A trial has them among its knobs, told by their dot.
"""

from collections.abc import Mapping
from dataclasses import replace

from pfltune.federation.federation import Federation, Rounds
from pfltune.knobs import Knob, Value

SECTION = "protocol"
NAMES = ("sampled_clients", "local_epochs", "batch_size")


def setting_knobs(protocol: Rounds, clients: int | None = None) -> dict[str, Knob]:
    """The settings as knobs, whose defaults are the protocol's own.

    Args:
        protocol: of the scenario.
        clients: that train; the most that can be sampled.
    """
    highest = {"sampled_clients": clients}
    return {
        f"{SECTION}.{name}": Knob(
            name=f"{SECTION}.{name}",
            type=int,
            default=getattr(protocol, name),
            doc=Rounds.model_fields[name].description or "",
            low=1,
            high=highest.get(name),
        )
        for name in NAMES
    }


def settings_of(protocol: Rounds) -> dict[str, Value]:
    """What the settings are where nothing is searched."""
    return {name: knob.default for name, knob in setting_knobs(protocol).items()}


def settings_in(knobs: Mapping[str, Value]) -> dict[str, Value]:
    """The settings among a trial's knobs."""
    return {name: value for name, value in knobs.items() if is_setting(name)}


def without_settings(knobs: Mapping[str, Value]) -> dict[str, Value]:
    """The knobs of its method."""
    return {name: value for name, value in knobs.items() if not is_setting(name)}


def is_setting(name: str) -> bool:
    """Whether a trial's knob is one of the scenario."""
    return "." in name


def under(federation: Federation, knobs: Mapping[str, Value]) -> Federation:
    """The federation with the settings among a trial's knobs."""
    settings = {name.removeprefix(f"{SECTION}."): v for name, v in settings_in(knobs).items()}
    if not settings:
        return federation
    return replace(federation, protocol=federation.protocol.model_copy(update=settings))
