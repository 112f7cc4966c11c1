"""Commands that go on from what was found, as one types them."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pfltune.errors import UserError
from pfltune.federation.searched_settings import without_settings
from pfltune.knobs import Value
from pfltune.record import Record
from pfltune.registry import short_name
from pfltune.report.dimensions import is_range
from pfltune.report.tuning.words import shown
from pfltune.scenario import load_scenario
from pfltune.variants import parsed


def line(*words: str) -> str:
    """``pfltune …``, quoted for a shell."""
    return shlex.join(["pfltune", *words])


def method_word(record: Record, name: str) -> str:
    """A method of a record as a command takes it, without what it holds."""
    reference = next(method for method in record.methods if short_name(method) == name)
    return parsed(reference).base


def ground(
    record: Record, scenario: str | None = None, knobs: Mapping[str, Value] | None = None
) -> list[str] | None:
    """The options that give the scenario of a record; None if it cannot be read.

    Args:
        record: of what ran on it.
        scenario: name or path of the scenario before any change; default: its name.
        knobs: of a trial, whose settings come before the scenario's.
    """
    wanted = record.scenario.under(knobs or {}).model_dump(mode="json")
    named = scenario or record.scenario.name
    try:
        base = json.loads(load_scenario(named).model_dump_json())
    except UserError:
        return None
    changes = differences(base, wanted)
    return ["--scenario", named, *(word for change in changes for word in ("-o", change))]


def held(knobs: Mapping[str, Value]) -> list[str]:
    """The knobs of a method at their values; settings among them are :func:`ground`'s."""
    pairs = (f"{name}={value}" for name, value in without_settings(knobs).items())
    return [word for pair in pairs for word in ("--set", pair)]


def searched(ranges: Mapping[str, Sequence[Any]]) -> list[str]:
    """What is searched, from what a record says of it."""
    specs = {name: _spec(each) for name, each in ranges.items()}
    return [word for name, spec in specs.items() for word in ("--search", f"{name}={spec}")]


def _spec(told: Sequence[Any]) -> str:
    if is_range(told):
        low, high, log = told
        return f"{low:g}:{high:g}:{'log' if log else 'linear'}"
    return ",".join(map(shown, told))


def differences(
    base: Mapping[str, Any], wanted: Mapping[str, Any], above: str = ""
) -> Iterator[str]:
    """``a.b=value`` for all that differs; groups with other settings are given as a whole."""
    for key, value in wanted.items():
        before = base.get(key)
        if value == before:
            continue
        if isinstance(value, dict) and isinstance(before, dict) and value.keys() == before.keys():
            yield from differences(before, value, f"{above}{key}.")
        else:
            yield f"{above}{key}={json.dumps(value)}"
