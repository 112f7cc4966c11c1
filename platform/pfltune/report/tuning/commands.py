"""Commands that go on from what was found, as one types them."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from pfltune.errors import UserError
from pfltune.knobs import Value
from pfltune.record import Record
from pfltune.registry import short_name
from pfltune.scenario import load_scenario
from pfltune.variants import parsed


def line(*words: str) -> str:
    """``pfltune …``, quoted for a shell."""
    return shlex.join(["pfltune", *words])


def method_word(record: Record, name: str) -> str:
    """A method of a record as a command takes it, without what it holds."""
    reference = next(method for method in record.methods if short_name(method) == name)
    return parsed(reference).base


def ground(record: Record, scenario: str | None = None) -> list[str] | None:
    """The options that give the scenario of a record; None if it cannot be read.

    Args:
        record: of what ran on it.
        scenario: name or path of the scenario before any change; default: its name.
    """
    wanted = record.scenario.model_dump(mode="json")
    named = scenario or record.scenario.name
    try:
        base = json.loads(load_scenario(named).model_dump_json())
    except UserError:
        return None
    changes = [word for change in differences(base, wanted) for word in ("-o", change)]
    return ["--scenario", named, *changes]


def held(values: Mapping[str, Value]) -> list[str]:
    """Knobs at their values, with every digit."""
    return [word for name, value in values.items() for word in ("--set", f"{name}={value}")]


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
