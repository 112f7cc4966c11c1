"""A comparison's settings, all checked before anything runs."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.federation.federation import Federation, Rounds
from pfltune.knobs import Value, checked_values, knobs_of
from pfltune.method import Method
from pfltune.registry import find_method, make_method, short_name, title_of
from pfltune.running.job import Job
from pfltune.search.candidate import Stage
from pfltune.search.plan import Plan
from pfltune.search.searches import ComparisonDealer
from pfltune.search.space import SearchSpace, load_space
from pfltune.text import count


@dataclass(frozen=True, kw_only=True)
class Comparison(Job):
    """Search and confirmation of some methods, or of one.

    Attributes:
        spaces: the search space of each method.
    """

    spaces: Mapping[str, SearchSpace]

    def own_record(self) -> dict[str, Any]:
        """What is searched, and what is held."""
        return {
            "titles": {short_name(m): title_of(find_method(m)) for m in self.plan.methods},
            "fixed": {short_name(m): dict(v) for m, v in self.plan.fixed.items()},
            "budget": self.plan.budget,
            "spaces": {short_name(m): space.recorded() for m, space in self.spaces.items()},
            "limits": {short_name(m): _limits(m) for m in self.plan.methods},
        }

    def announcement(self) -> str:
        """What is about to happen, in a line."""
        budget = self.plan.budget
        titles = [title_of(find_method(method)) for method in self.plan.methods]
        several = len(titles) > 1
        subject = f"Comparing {len(titles)} methods" if several else f"Tuning {titles[0]}"
        at_once = count(self.hardware.workers, "trial")
        return (
            f"{subject}: {count(budget.trials, 'search trial')} and "
            f"{count(budget.seeds, 'confirmation seed')}{' each' if several else ''}, "
            f"{count(self.plan.protocol.rounds, 'round')}, {at_once} side by side in "
            f"{self.hardware.compute.precision}"
        )

    def firsts(self) -> Iterator[Method]:
        """Each method with the knobs of its first trial, and at the ends of what is searched."""
        yield from first_methods(self.spaces)
        for method, space in self.spaces.items():
            for point in space.extremes():
                yield make_method(method, point)

    def federations(self, federation: Federation) -> dict[Stage, Federation]:
        """The search lacks the test indices."""
        return {"search": federation.without_test(), "confirm": federation}

    def dealer(self) -> ComparisonDealer:
        """Search and confirmation of all methods."""
        return ComparisonDealer(self.plan, self.spaces)


def plan_methods(
    methods: list[str],
    budget: Budget,
    protocol: Rounds,
    fixed: Mapping[str, Mapping[str, object]],
) -> tuple[Plan, dict[str, SearchSpace]]:
    """Check methods and knobs; returns the plan and the search space of each method.

    Args:
        methods: names, or path/to/file.py:Class.
        budget: trials and seeds.
        protocol: rounds.
        fixed: knobs that the user holds at one value, by short name of the method.

    Raises:
        UserError: a method, knob or search space that is not possible.
    """
    repeated = {m for m in methods if [short_name(x) for x in methods].count(short_name(m)) > 1}
    if repeated:
        raise UserError(f"methods named twice: {', '.join(sorted(repeated))}")
    references = tuple(_absolute(method) for method in methods)
    held: dict[str, dict[str, Value]] = {}
    spaces: dict[str, SearchSpace] = {}
    for reference, given in zip(references, methods, strict=True):
        values = fixed.get(short_name(given), {})
        held[reference] = checked_values(find_method(reference), short_name(reference), values)
        spaces[reference] = load_space(reference).hold(held[reference])
    unsearched = frozenset(m for m, space in spaces.items() if not space.dimensions)
    return Plan(references, budget, protocol, held, unsearched), spaces


def first_methods(spaces: Mapping[str, SearchSpace]) -> Iterator[Method]:
    """Each method with the knobs of its first trial."""
    for method, space in spaces.items():
        first = dict(space.start[0]) if space.start else {}
        yield make_method(method, {**first, **space.fixed})


def _limits(method: str) -> dict[str, list[float | None]]:
    """The lowest and highest value that each knob of a method can have, whatever is searched."""
    return {knob.name: [knob.low, knob.high] for knob in knobs_of(find_method(method)).values()}


def _absolute(method: str) -> str:
    """A method's file by its absolute path: workers run in other folders."""
    if ".py:" not in method:
        return method
    path, _, cls = method.rpartition(":")
    return f"{Path(path).resolve()}:{cls}"
