"""The command that trains a tuned configuration again, to the same figures."""

import json
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pfltune.errors import UserError

if TYPE_CHECKING:
    from pfltune.report.results import ComparisonResult, MethodResult


def again(result: "ComparisonResult", method: "MethodResult", scenario: str) -> str:
    """``pfltune run …`` for the first confirmation trial of a method; empty if there is none.

    Args:
        result: what it was found in; its record is what counts.
        method: with a confirmation trial.
        scenario: name or path of the scenario, before any change of it.
    """
    from pfltune.federation.searched_settings import settings_in, without_settings
    from pfltune.knobs import written
    from pfltune.variants import parsed

    changes = _changes(scenario, result.record.scenario.model_dump(mode="json"))
    if changes is None:
        return ""
    reference = next(m for m in result.record.methods if _is(m, method.name))
    computing = result.record.computing
    words = ["pfltune", "run", parsed(reference).base, "--scenario", scenario]
    settings = settings_in(method.best)
    kept = [change for change in changes if change.partition("=")[0] not in settings]
    kept += [f"{name}={value}" for name, value in settings.items()]
    words += [word for change in kept for word in ("-o", change)]
    held = without_settings(method.best)
    words += [
        word for name, value in held.items() for word in ("--set", f"{name}={written(value)}")
    ]
    words += ["--seed", str(method.runs[0].seed), "--threads", str(computing.threads)]
    words += ["--device", computing.device, "--precision", computing.precision]
    words += ["--deterministic"] if computing.deterministic else []
    return shlex.join(words)


def _is(reference: str, name: str) -> bool:
    from pfltune.registry import short_name

    return short_name(reference) == name


def _changes(scenario: str, recorded: Mapping[str, Any]) -> list[str] | None:
    """The overrides that make the scenario the recorded one; None if it cannot be read."""
    from pfltune.scenario import load_scenario

    try:
        base = json.loads(load_scenario(scenario).model_dump_json())
    except UserError:
        return None
    return list(_differences(base, recorded))


def _differences(
    base: Mapping[str, Any], wanted: Mapping[str, Any], above: str = ""
) -> Iterator[str]:
    """``a.b=value`` for all that differs; groups with other settings are given as a whole."""
    for key, value in wanted.items():
        before = base.get(key)
        if value == before:
            continue
        if isinstance(value, dict) and isinstance(before, dict) and value.keys() == before.keys():
            yield from _differences(before, value, f"{above}{key}.")
        else:
            yield f"{above}{key}={json.dumps(value)}"
