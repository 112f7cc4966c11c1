"""Commands that go on from what was found, as one types them."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from pfltune.errors import UserError
from pfltune.federation.searched_settings import is_setting
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
    record: Record, scenario: str | None = None, instead: Collection[str] = ()
) -> list[str] | None:
    """The options that give the scenario of a record; None if it cannot be read.

    Args:
        record: of what ran on it.
        scenario: name or path of the scenario before any change; default: its name.
        instead: settings that are given otherwise.
    """
    wanted = record.scenario.model_dump(mode="json")
    named = scenario or record.scenario.name
    try:
        base = json.loads(load_scenario(named).model_dump_json())
    except UserError:
        return None
    changes = [c for c in differences(base, wanted) if c.partition("=")[0] not in instead]
    return ["--scenario", named, *(word for change in changes for word in ("-o", change))]


def held(values: Mapping[str, Value]) -> list[str]:
    """Knobs, and settings of the scenario among them, at their values."""
    return [
        word
        for name, value in values.items()
        for word in ("-o" if is_setting(name) else "--set", f"{name}={value}")
    ]


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
