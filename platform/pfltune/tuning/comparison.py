"""A comparison's settings, all checked before anything runs."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pfltune.errors import UserError
from pfltune.knobs import Value, checked_values
from pfltune.method import Method
from pfltune.registry import find_method, make_method, short_name
from pfltune.scenario import Scenario
from pfltune.tracking.store import writable_folder
from pfltune.tuning.hardware import Hardware
from pfltune.tuning.plan import Budget, Plan
from pfltune.tuning.space import SearchSpace, load_space

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class Comparison:
    """Everything that a comparison depends on.

    Attributes:
        name: of the MLflow experiment and the folder in results.
        scenario: the ground.
        plan: methods and budget.
        spaces: the search space of each method.
        hardware: what it runs on.
        results: the results folder.
    """

    name: str
    scenario: Scenario
    plan: Plan
    spaces: Mapping[str, SearchSpace]
    hardware: Hardware
    results: Path

    @property
    def folder(self) -> Path:
        """Where reports and Tune's state go."""
        return self.results / self.name

    def first_of(self, method: str) -> Method:
        """The method with the knobs of its first trial."""
        space = self.spaces[method]
        first = dict(space.start[0]) if space.start else {}
        return make_method(method, {**first, **space.fixed})

    def settings(self) -> dict[str, Any]:
        """As plain data, for the record."""
        return {
            "name": self.name,
            "scenario": self.scenario.model_dump(),
            "methods": list(self.plan.methods),
            "fixed": {m: dict(v) for m, v in self.plan.fixed.items()},
            "budget": self.plan.budget.model_dump(),
            "hardware": asdict(self.hardware),
        }


def plan_comparison(
    name: str,
    scenario: Scenario,
    methods: list[str],
    budget: Budget,
    hardware: Hardware,
    results: Path,
    fixed: Mapping[str, Mapping[str, object]] | None = None,
) -> Comparison:
    """Check every setting; nothing is written but the results folder.

    Raises:
        UserError: a name, method, knob, search space or device that is not possible.
    """
    checked_name(name)
    repeated = {m for m in methods if [short_name(x) for x in methods].count(short_name(m)) > 1}
    if repeated:
        raise UserError(f"methods named twice: {', '.join(sorted(repeated))}")
    references = tuple(_absolute(method) for method in methods)
    held: dict[str, dict[str, Value]] = {}
    spaces: dict[str, SearchSpace] = {}
    for reference, given in zip(references, methods, strict=True):
        values = (fixed or {}).get(given, {})
        held[reference] = checked_values(find_method(reference), short_name(reference), values)
        spaces[reference] = load_space(reference).hold(held[reference])
    plan = Plan(references, budget, scenario.protocol, held)
    return Comparison(name, scenario, plan, spaces, hardware, writable_folder(results))


def checked_name(name: str) -> str:
    """A name that can be a folder and an experiment.

    Raises:
        UserError: it cannot.
    """
    if not NAME.fullmatch(name):
        raise UserError(
            f"the name {name!r} is not possible; letters, digits, '.', '_' and '-', at most 100"
        )
    return name


def _absolute(method: str) -> str:
    """A method's file by its absolute path: workers run in other folders."""
    if ".py:" not in method:
        return method
    path, _, cls = method.rpartition(":")
    return f"{Path(path).resolve()}:{cls}"
