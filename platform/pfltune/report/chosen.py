"""The values that a search chose, with every digit, as texts that are given to what comes next."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from pfltune.errors import UserError
from pfltune.federation.searched_settings import changed_settings, without_settings
from pfltune.knobs import Value, written
from pfltune.registry import short_name
from pfltune.report.results import ComparisonResult, MethodResult
from pfltune.variants import parsed


@dataclass(frozen=True)
class ChosenValues:
    """What the search of one method chose.

    Attributes:
        method: its name or the path of its file and its class, without what is held.
        values: of its knobs.
        settings: of the scenario, where those were searched.
        searched: the knobs and settings that were searched and have an effect.
    """

    method: str
    values: Mapping[str, Value]
    settings: Mapping[str, Value]
    searched: Mapping[str, Value]

    def options(self) -> str:
        """``--set lr=0.02 --set prefix=tokens``, for ``pfltune run`` and ``pfltune tune``."""
        held = [word for pair in _pairs(self.values) for word in ("--set", pair)]
        changed = [word for pair in _pairs(self.settings) for word in ("-o", pair)]
        return shlex.join(held + changed)

    def entry(self) -> str:
        """An entry of a YAML file of methods, for ``--methods FILE.yaml``."""
        return _yaml([{"method": self.method, "set": dict(self.values)}])

    def start(self) -> str:
        """The start points of a search space's YAML.

        Raises:
            UserError: nothing was searched.
        """
        if not self.searched:
            raise UserError(f"nothing of {self.method} was searched, so there is no start point")
        return _yaml({"start": [dict(self.searched)]})


def chosen_values(result: ComparisonResult, method: MethodResult) -> ChosenValues:
    """What the search of a method chose.

    Raises:
        UserError: it has chosen nothing so far, or nothing at all.
    """
    best = method.choice()
    reference = next(m for m in result.record.methods if short_name(m) == method.method)
    space = result.record.spaces.get(method.method, {}).get("search", {})
    return ChosenValues(
        method=parsed(reference).base,
        values=without_settings(best),
        settings=changed_settings(result.record.scenario.protocol, best),
        searched={name: value for name, value in best.items() if name in space},
    )


def _pairs(values: Mapping[str, Value]) -> list[str]:
    return [f"{name}={written(value)}" for name, value in values.items()]


def _yaml(content: object) -> str:
    text = yaml.safe_dump(
        content, default_flow_style=None, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return str(text).rstrip("\n")
