"""A grid: every choice of some values of some knobs, each trained with the same seeds."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from typing import Any

from pfltune.errors import UserError, unknown
from pfltune.federation.searched_settings import (
    is_setting,
    ruled,
    see_effect,
    setting_knobs,
    settings_in,
    without_settings,
)
from pfltune.federation.setup import check_optimizer
from pfltune.knobs import Knob, Value, knobs_of, written
from pfltune.method import Method
from pfltune.record import Grid
from pfltune.registry import all_held, find_method, make_method, short_name
from pfltune.scenario import Scenario
from pfltune.search.candidate import confirmation_seed, validation_seed
from pfltune.search.plan import Plan
from pfltune.settings import validated
from pfltune.stages import Stage
from pfltune.studies.cells import CellsJob, Configurations, cells_plan
from pfltune.studies.comparison import checked_references, title_in
from pfltune.sweeps import values_in
from pfltune.text import count
from pfltune.variants import parsed

MOST_KNOBS = 4
"""More than that nobody can look at."""
MOST_CELLS = 1000


@dataclass(frozen=True, kw_only=True)
class GridJob(CellsJob):
    """A grid over knobs of some methods.

    Attributes:
        budget: what it is over, and seeds.
        titles: what the user calls methods, by short name.
    """

    budget: Grid
    titles: Mapping[str, str] = field(default_factory=dict)

    def own_record(self) -> dict[str, Any]:
        """What it is over, and what is held."""
        return {
            "titles": {short_name(m): title_in(self.titles, m) for m in self.plan.methods},
            "fixed": {short_name(m): dict(v) for m, v in self.plan.fixed.items()},
            "budget": self.budget,
            "limits": {short_name(m): self._limits(m) for m in self.plan.methods},
        }

    def searched(self) -> dict[str, tuple[Knob, ...]]:
        """What it is over, with its values as choices."""
        return {short_name(m): tuple(self._axes(m)) for m in self.plan.methods}

    def announcement(self) -> str:
        """What is about to happen, in a line."""
        each = [f"{knob} ({len(values)})" for knob, values in self.budget.over.items()]
        methods = self.plan.methods
        of = title_in(self.titles, methods[0]) if len(methods) == 1 else f"{len(methods)} methods"
        return (
            f"A grid of {of} over {' × '.join(each)}: {count(self.budget.seeds, 'seed')} each, "
            f"{self.plan.protocol.told}, "
            f"{count(self.hardware.workers, 'trial')} side by side in "
            f"{self.hardware.compute.precision}"
        )

    def firsts(self) -> Iterator[Method]:
        """Each method at the ends of what may change its shape."""
        return telling_methods(self.plan, self.budget)

    def check_optimizers(self) -> None:
        """See that methods that need plain SGD get it in each cell."""
        for method, points in self.cells.items():
            for point in points:
                made = make_method(method, without_settings(point))
                check_optimizer(made, ruled(self.plan.protocol, point).optimizer)

    @property
    def stage(self) -> Stage:
        """On validation data alone, unless test accuracy is asked for."""
        return "confirm" if self.budget.test else "grid"

    @property
    def cells(self) -> Configurations:
        """Every choice of values, the last knob the fastest."""
        return {m: list(_points(m, self.plan, self.budget.over)) for m in self.plan.methods}

    @property
    def seeds(self) -> Sequence[int]:
        """Those of a search and its finalists, or those of confirmations."""
        seed_of = confirmation_seed if self.budget.test else validation_seed
        return [seed_of(self.budget.seed, number) for number in range(self.budget.seeds)]

    @property
    def told(self) -> Sequence[str]:
        """The knobs that it is over."""
        return tuple(self.budget.over)

    def _limits(self, method: str) -> dict[str, list[float | None]]:
        """The lowest and highest value that each knob of the grid can have."""
        knobs = self._knobs(method)
        return {name: [knobs[name].low, knobs[name].high] for name in self.budget.over}

    def _knobs(self, method: str) -> dict[str, Knob]:
        return {**knobs_of(find_method(method)), **setting_knobs(self.scenario.protocol)}

    def _axes(self, method: str) -> Iterator[Knob]:
        over, knobs = self.budget.over, self._knobs(method)
        for name, values in over.items():
            when = {other: value for other, value in knobs[name].when.items() if other in over}
            yield replace(knobs[name], choices=values, low=None, high=None, log=False, when=when)


def axes_of(over: Mapping[str, Any] | Sequence[str]) -> dict[str, list[Any]]:
    """``["lr=0.01,0.1"]`` or ``{"lr": [0.01, 0.1]}`` as the values of each knob.

    Raises:
        UserError: a text that is not of this form, or a knob twice.
    """
    if isinstance(over, Mapping):
        return {k: list(v) if isinstance(v, list | tuple) else [v] for k, v in over.items()}
    axes: dict[str, list[Any]] = {}
    for text in over:
        knob, equals, values = text.partition("=")
        if not equals or not knob or not values:
            raise UserError(f"--over {text!r} must look like lr=0.01,0.03,0.1")
        if knob in axes:
            raise UserError(f"--over names {knob} twice")
        axes[knob] = [value.strip("\"'") for value in values_in(values)]
    return axes


def plan_grid(
    methods: Sequence[str],
    asked: Mapping[str, Any],
    scenario: Scenario,
    fixed: Mapping[str, Mapping[str, object]],
) -> tuple[Plan, Grid]:
    """Check methods, knobs and every cell; returns the plan, and what is asked for in its types.

    Args:
        methods: names, or path/to/file.py:Class, which may hold knobs in brackets.
        asked: the fields of a :class:`Grid`.
        scenario: some of whose settings a grid may be over, too.
        fixed: knobs that the user holds at one value, by short name of the method; those under an
            empty name of each.

    Raises:
        UserError: a method, a knob or a value that is not possible.
    """
    _check_size(asked["over"])
    references = checked_references(methods)
    _see_untuned(references)
    everyones = fixed.get("", {})
    held = {m: all_held(m, everyones or fixed.get(short_name(m), {})) for m in references}
    settings = setting_knobs(scenario.protocol, scenario.seen_clients)
    for method in references:
        typed = _typed(method, held[method], asked["over"], settings)
    budget = validated(Grid, {**asked, "over": typed}, "grid")
    cells = prod(map(len, budget.over.values()))
    plan = cells_plan(references, cells * budget.seeds, budget.seed, scenario.protocol, held)
    for method in references:
        list(_points(method, plan, budget.over))  # each of them is possible
    return plan, budget


def telling_methods(plan: Plan, budget: Grid) -> Iterator[Method]:
    """Each method with the values that may change its shape: whole numbers' ends, all choices."""
    ends = {knob: _telling(v) for knob, v in budget.over.items() if not is_setting(knob)}
    for method in plan.methods:
        for point in _points(method, plan, ends):
            yield make_method(method, point)


def _points(
    method: str, plan: Plan, over: Mapping[str, Sequence[Value]]
) -> Iterator[dict[str, Value]]:
    """Every configuration of a method.

    Raises:
        UserError: one is not possible.
    """
    for values in product(*over.values()):
        point = dict(zip(over, values, strict=True))
        see_effect(plan.protocol, point)
        held = all_held(method, {**plan.fixed[method], **without_settings(point)})
        yield {**held, **settings_in(point)}


def _typed(
    method: str,
    held: Mapping[str, Value],
    over: Mapping[str, Sequence[object]],
    settings: Mapping[str, Knob],
) -> dict[str, list[Value]]:
    """The values of each knob in the type that it has in a method.

    Raises:
        UserError: one is not possible.
    """
    name = short_name(method)
    return {
        knob: _checked(_knob(method, knob, held, settings), values, name)
        for knob, values in over.items()
    }


def _knob(method: str, name: str, held: Mapping[str, Value], settings: Mapping[str, Knob]) -> Knob:
    """A knob of a method or a setting of the scenario that is free to be varied."""
    knobs = {**knobs_of(find_method(method)), **settings}
    if name not in knobs:
        raise unknown(f"knob of {short_name(method)} in --over", name, knobs)
    if name in held:
        raise UserError(
            f"{short_name(method)} is held at {name}={written(held[name])}, so the grid cannot be "
            f"over {name}"
        )
    return knobs[name]


def _checked(knob: Knob, values: Sequence[object], owner: str) -> list[Value]:
    typed = [knob.check(value, owner) for value in values]
    for value in typed:
        if typed.count(value) > 1:
            raise UserError(f"--over {knob.name} names {written(value)} twice")
    return typed


def _see_untuned(references: Sequence[str]) -> None:
    """See that no method comes with values of its own for each knob, those of the grid too.

    Raises:
        UserError: one does.
    """
    if tuned := next((each for each in references if parsed(each).tuned_in), None):
        raise UserError(
            f"{tuned} holds every knob, so that no grid can be over one: hold those that are meant "
            f"with --set, as `pfltune best {parsed(tuned).tuned_in}` prints them"
        )


def _check_size(over: Mapping[str, Sequence[object]]) -> None:
    if not over:
        raise UserError("say what the grid is over: --over lr=0.01,0.03,0.1")
    if len(over) > MOST_KNOBS:
        raise UserError(f"a grid over {len(over)} knobs; possible: 1 to {MOST_KNOBS}")
    sizes = [len(values) for values in over.values()]
    if not 1 <= prod(sizes) <= MOST_CELLS:
        told = " × ".join(map(str, sizes))
        raise UserError(f"a grid of {told} = {prod(sizes):,} cells; possible: 1 to {MOST_CELLS:,}")


def _telling(values: Sequence[Value]) -> Sequence[Value]:
    kinds = set(map(type, values))
    if kinds == {int}:
        return sorted({min(values), max(values)})
    return values[:1] if kinds == {float} else values
