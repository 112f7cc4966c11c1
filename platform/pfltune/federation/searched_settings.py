"""Settings of the protocol that a search may vary like knobs, such as ``protocol.local_epochs``.

They are those that touch neither the data nor how many rounds and evaluations there are, so that
trials which differ in them still compare. A trial has them among its knobs, told by their dot.
Those of a section have two: ``protocol.optimizer.momentum``.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, get_args

from annotated_types import Ge, Le
from pydantic.fields import FieldInfo

from pfltune.errors import UserError
from pfltune.federation.federation import Federation, Rounds
from pfltune.knobs import Knob, Value, written
from pfltune.optimizers import Conditional

SECTION = "protocol"
NAMES = ("sampled_clients", "local_epochs", "batch_size", "optimizer", "schedule")
"""The fields of the protocol; of a section all of its own."""


def setting_knobs(protocol: Rounds, clients: int | None = None) -> dict[str, Knob]:
    """The settings as knobs, whose defaults are the protocol's own.

    Args:
        protocol: of the scenario.
        clients: that train; the most that can be sampled.
    """
    knobs = {knob.name: knob for name in NAMES for knob in _knobs_at(protocol, name)}
    sampled = f"{SECTION}.sampled_clients"
    return {**knobs, sampled: replace(knobs[sampled], high=clients)}


def settings_of(protocol: Rounds, knobs: Mapping[str, Value] | None = None) -> dict[str, Value]:
    """What the settings are, all of them, in their types.

    One that has no effect beside the others is as where nobody says it.

    Args:
        protocol: of the scenario.
        knobs: of a trial, whose settings come before the protocol's.
    """
    found: dict[str, Value] = {}
    for name, knob in setting_knobs(protocol).items():
        value = (knobs or {}).get(name, knob.default)
        found[name] = knob.type(value) if knob.applies(found) else _unsaid(protocol, name)
    return found


def changed_settings(protocol: Rounds, knobs: Mapping[str, Value]) -> dict[str, Value]:
    """The settings among a trial's knobs, and what of the protocol they leave without an effect."""
    before = settings_of(protocol)
    after = settings_of(protocol, knobs)
    return {name: v for name, v in after.items() if name in knobs or v != before[name]}


def settings_in(knobs: Mapping[str, Value]) -> dict[str, Value]:
    """The settings among a trial's knobs."""
    return {name: value for name, value in knobs.items() if is_setting(name)}


def without_settings(knobs: Mapping[str, Value]) -> dict[str, Value]:
    """The knobs of its method."""
    return {name: value for name, value in knobs.items() if not is_setting(name)}


def is_setting(name: str) -> bool:
    """Whether a trial's knob is one of the scenario."""
    return "." in name


def see_effect(protocol: Rounds, knobs: Mapping[str, Value]) -> None:
    """See that each setting among a trial's knobs has an effect.

    Raises:
        UserError: one has none beside the others.
    """
    settings, whole = setting_knobs(protocol), settings_of(protocol, knobs)
    for name, value in settings_in(knobs).items():
        if not settings[name].applies(whole):
            needs = settings[name].needs()
            raise UserError(f"{name}={written(value)} has no effect; it needs {needs}")


def ruled(protocol: Rounds, knobs: Mapping[str, Value]) -> Rounds:
    """The protocol with the settings among a trial's knobs."""
    if not settings_in(knobs):
        return protocol
    content: dict[str, Any] = {name: getattr(protocol, name) for name in Rounds.model_fields}
    content |= {name: {} for name in NAMES if isinstance(content[name], Conditional)}
    for name, value in settings_of(protocol, knobs).items():
        _, *section, field = name.split(".")
        (content[section[0]] if section else content)[field] = value
    return Rounds.model_validate(content)


def under(federation: Federation, knobs: Mapping[str, Value]) -> Federation:
    """The federation with the settings among a trial's knobs."""
    protocol = ruled(federation.protocol, knobs)
    return federation if protocol is federation.protocol else replace(federation, protocol=protocol)


def _knobs_at(protocol: Rounds, name: str) -> Iterator[Knob]:
    """A field of the protocol as a knob, or those of its section."""
    value, field = getattr(protocol, name), Rounds.model_fields[name]
    if not isinstance(value, Conditional):
        yield _knob(f"{SECTION}.{name}", value, field)
        return
    above = f"{SECTION}.{name}."
    for inner, its in type(value).model_fields.items():
        needs = {above + other: wanted for other, wanted in value.needs.get(inner, {}).items()}
        yield replace(_knob(above + inner, getattr(value, inner), its), when=needs)


def _knob(name: str, value: Value, field: FieldInfo) -> Knob:
    """A setting over what its field takes."""
    bounds = {type(mark): mark for mark in field.metadata}
    low, high = bounds.get(Ge), bounds.get(Le)
    return Knob(
        name=name,
        type=type(value),
        default=value,
        doc=field.description or "",
        low=low.ge if low else None,
        high=high.le if high else None,
        choices=get_args(field.annotation) or None,
    )


def _unsaid(protocol: Rounds, name: str) -> Value:
    """What a setting of a section is where nobody says it."""
    _, section, field = name.split(".")
    default: Value = type(getattr(protocol, section)).model_fields[field].default
    return default
