"""A comparison's settings, all checked before anything runs."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, get_args

from pfltune.budget import Budget, why_none
from pfltune.errors import UserError
from pfltune.federation.federation import Federation, Rounds
from pfltune.federation.searched_settings import without_settings
from pfltune.knobs import Knob, Value
from pfltune.method import Method
from pfltune.plugins import absolute
from pfltune.racing.race import fewest_seeds
from pfltune.record import Tuned
from pfltune.registry import canonical, make_method, reference_title, short_name
from pfltune.running.job import Choice, Job
from pfltune.scenario import Scenario
from pfltune.search.candidate import confirmation_seed, validation_seed
from pfltune.search.plan import Plan
from pfltune.search.samplers import check_sampler
from pfltune.search.searches import ComparisonDealer
from pfltune.search.space import SearchSpace
from pfltune.space_file import AS_METHODS_SAY, SpaceOptions
from pfltune.stages import Stage, sees_test
from pfltune.studies.spaces import asked_spaces, fitted, held_of, lost_points
from pfltune.text import count
from pfltune.variants import parsed


@dataclass(frozen=True, kw_only=True)
class Comparison(Job):
    """Search, choice and confirmation of some methods, or of one.

    Attributes:
        spaces: the search space of each method.
        space_options: what was asked for of them.
        titles: what the user calls methods, by short name.
        tuned: whose search chose what a method holds, by short name.
    """

    spaces: Mapping[str, SearchSpace]
    space_options: SpaceOptions = AS_METHODS_SAY
    titles: Mapping[str, str] = field(default_factory=dict)
    tuned: Mapping[str, Tuned] = field(default_factory=dict)

    def own_record(self) -> dict[str, Any]:
        """What is searched, and what is held."""
        return {
            "titles": {short_name(m): title_in(self.titles, m) for m in self.plan.methods},
            "fixed": {short_name(m): dict(v) for m, v in self.plan.fixed.items()},
            "tuned": self.tuned,
            "chosen": {short_name(m): tuple(each) for m, each in self.plan.chosen.items()},
            "budget": self.plan.budget,
            "spaces": {short_name(m): space.recorded() for m, space in self._searched.items()},
            "space_options": self.space_options,
            "limits": {short_name(m): self._limits(m) for m in self.plan.methods},
        }

    def searched(self) -> dict[str, tuple[Knob, ...]]:
        """The dimensions of each search space."""
        return {short_name(m): tuple(space.varied()) for m, space in self._searched.items()}

    def announcement(self) -> str:
        """What is about to happen, in a line."""
        titles = [title_in(self.titles, method) for method in self.plan.methods]
        several = len(titles) > 1
        subject = f"Comparing {len(titles)} methods" if several else f"Tuning {titles[0]}"
        spent = _spent(self.plan, None if several else self.plan.methods[0])
        at_once = count(self.hardware.workers, "trial")
        return (
            f"{subject}: {spent}{' each' if several else ''}, "
            f"{self.plan.protocol.told}, {at_once} side by side in "
            f"{self.hardware.compute.precision}{self._race()}"
        )

    def _race(self) -> str:
        """What seeds are added for; empty where they are not."""
        budget, methods = self.plan.budget, len(self.plan.methods)
        if budget.decide is None:
            return ""
        what = "which method is the best" if budget.decide == "best" else "the order of all methods"
        fewest = fewest_seeds(budget.decide, methods)
        return (
            f". Seeds are added until it is decided, or cannot be, {what}; {fewest} that agree can"
        )

    def firsts(self) -> Iterator[Method]:
        """Each method with the knobs of its first trial, and at the ends of what is searched."""
        return methods_at_ends(self.spaces)

    def first_trials(self) -> dict[str, dict[str, Value]]:
        """At the first start point of each search space, or with what was chosen before."""
        return {method: self._first(method, space) for method, space in self.spaces.items()}

    def trial_seeds(self) -> list[int]:
        """Of all searches, finalists and tests, as many as there can be."""
        budget = self.plan.budget
        tested = [confirmation_seed(budget.seed, turn) for turn in range(budget.most_seeds)]
        if not self._searched:
            return tested
        turns = range(1 + (budget.finalist_seeds if budget.finalists else 0))
        plans = map(self.plan.of_study, range(budget.studies))
        return [*(validation_seed(plan.seed, turn) for plan in plans for turn in turns), *tested]

    def federations(self, federation: Federation) -> dict[Stage, Federation]:
        """What sees no test lacks its indices."""
        lacking = federation.without_test()
        stages: tuple[Stage, ...] = get_args(Stage)
        return {stage: federation if sees_test(stage) else lacking for stage in stages}

    def dealer(self) -> ComparisonDealer:
        """Search, choice and confirmation of all methods."""
        return ComparisonDealer(self.plan, self.spaces)

    def testing(self, chosen: Choice, tuned: Mapping[str, Tuned]) -> "Comparison":
        """The same without a search: it tests configurations that were chosen before.

        A method for which nothing was chosen is left out.

        Args:
            chosen: what each search of each method chose, by short name.
            tuned: whose search chose it, by short name.

        Raises:
            UserError: there is none at all.
        """
        knobs = {m: chosen.get(short_name(m), ()) for m in self.plan.methods}
        held = {m: tuple(each) for m, each in knobs.items() if any(v is not None for v in each)}
        if not held:
            why = why_none(self.plan.budget)
            raise UserError(f"no method has a configuration to be tested: {why}")
        plan = replace(self.plan, methods=tuple(held), chosen=held)
        return replace(
            self,
            plan=replace(plan, fixed={m: v for m, v in plan.fixed.items() if m in held}),
            spaces={m: space for m, space in self.spaces.items() if m in held},
            tuned={short_name(m): tuned[short_name(m)] for m in held},
        )

    def _first(self, method: str, space: SearchSpace) -> dict[str, Value]:
        before = [knobs for knobs in self.plan.chosen.get(method, ()) if knobs is not None]
        return dict(before[0]) if before else {**next(iter(space.start), {}), **space.fixed}

    @property
    def _searched(self) -> Mapping[str, SearchSpace]:
        """The search spaces of the methods that are searched."""
        return {m: space for m, space in self.spaces.items() if m not in self.plan.chosen}

    def _limits(self, method: str) -> dict[str, list[float | None]]:
        """The lowest and highest value that each knob can have, whatever is searched."""
        return {knob.name: [knob.low, knob.high] for knob in self.spaces[method].knobs.values()}


def plan_methods(
    methods: list[str],
    budget: Budget,
    protocol: Rounds,
    fixed: Mapping[str, Mapping[str, object]],
    options: SpaceOptions = AS_METHODS_SAY,
    clients: int | None = None,
) -> tuple[Plan, dict[str, SearchSpace]]:
    """Check methods and knobs; returns the plan and the search space of each method.

    Args:
        methods: names, or path/to/file.py:Class, which may hold knobs in brackets.
        budget: trials and seeds.
        protocol: rounds.
        fixed: knobs that the user holds at one value, by short name of the method.
        options: what the user says of search spaces.
        clients: how many train; the most that can be sampled.

    Raises:
        UserError: a method, knob or search space that is not possible.
    """
    references = checked_references(methods)
    held = {each: held_of(each, fixed.get(short_name(each), {})) for each in references}
    spaces = asked_spaces(held, protocol, options, clients)
    unsearched = frozenset(m for m, space in spaces.items() if not space.dimensions)
    plan = Plan(references, budget, protocol, held, unsearched)
    check_sampler(plan, spaces)
    _see_rounds(plan)
    return plan, spaces


def _see_rounds(plan: Plan) -> None:
    """See that trials are ended by their rounds, where a search compares their bytes.

    Raises:
        UserError: they have a budget.
    """
    if plan.protocol.budget is not None and plan.budget.hears_mb:
        asked = "--objective accuracy,comm" if plan.budget.several else "--max-mb"
        raise UserError(
            f"{asked} is of the MB of all rounds, and a trial with a budget of "
            f"{plan.protocol.budget} ends where that is spent: give one of the two"
        )


def plan_on(
    methods: list[str],
    budget: Budget,
    scenario: Scenario,
    fixed: Mapping[str, Mapping[str, object]],
    options: SpaceOptions,
) -> tuple[Plan, dict[str, SearchSpace], tuple[str, ...]]:
    """The same on a scenario, with what the user should know of its search spaces, a line each.

    Raises:
        UserError: as :func:`plan_methods`.
    """
    clients = scenario.seen_clients
    plan, asked = plan_methods(methods, budget, scenario.protocol, fixed, options, clients)
    spaces, cut = fitted(asked, scenario, options)
    return plan, spaces, (*lost_points(spaces, options), *cut)


def together(known: Iterable[str], added: Iterable[str]) -> tuple[str, ...]:
    """All methods, each once; one that is there already is read from where it lies now.

    Raises:
        UserError: a method that cannot be, or is added twice.
    """
    found = {short_name(method): method for method in [*known, *checked_references(added)]}
    return tuple(found.values())


def checked_references(methods: Iterable[str]) -> tuple[str, ...]:
    """References of methods, each in the one text that it has, files by their absolute path.

    Raises:
        UserError: a method that cannot be, or is named twice.
    """
    references = tuple(canonical(_absolute(method)) for method in methods)
    _check_once(references)
    return references


def title_in(titles: Mapping[str, str], method: str) -> str:
    """How a method is written: as the user says, or as it says itself."""
    return titles.get(short_name(method)) or reference_title(method)


def first_methods(spaces: Mapping[str, SearchSpace]) -> Iterator[Method]:
    """Each method with the knobs of its first trial."""
    for method, space in spaces.items():
        first = without_settings(space.start[0]) if space.start else {}
        yield make_method(method, {**first, **space.fixed})


def methods_at_ends(spaces: Mapping[str, SearchSpace]) -> Iterator[Method]:
    """The same, and each method at the ends of what is searched."""
    yield from first_methods(spaces)
    for method, space in spaces.items():
        for point in space.extremes():
            yield make_method(method, point)


def _spent(plan: Plan, method: str | None) -> str:
    """What a method is given, in words; each one of several if none is named."""
    planned = plan.planned_each(method)
    parts = [count(planned["search"], "search trial")] if planned["search"] else []
    if planned["choose"]:
        each = plan.budget.finalist_seeds
        finalists = count(planned["choose"] // each, "finalist")
        parts.append(f"{finalists} with {count(each, 'validation seed')}")
    parts.append(_confirmed(plan.budget, planned["confirm"]))
    told = f"{', '.join(parts[:-1])} and {parts[-1]}" if parts[1:] else parts[0]
    if plan.budget.studies > 1:
        told = f"{plan.budget.studies} studies of {told}"
    return told + (", and a control of the start values" if plan.budget.control else "")


def _confirmed(budget: Budget, trials: int) -> str:
    """What is tested, of a method with so many tests."""
    seeds = count(budget.most_seeds, "confirmation seed")
    if budget.several:
        most = trials // budget.most_seeds if budget.most_seeds else 0
        return f"up to {count(most, 'configuration')} of a front with {seeds}"
    return seeds if budget.decide is None else f"{budget.seeds} to {seeds}"


def _check_once(references: Iterable[str]) -> None:
    counted = Counter(map(short_name, references))
    if repeated := sorted(name for name, times in counted.items() if times > 1):
        raise UserError(f"methods named twice: {', '.join(repeated)}")


def _absolute(method: str) -> str:
    """A method's file by its absolute path, whatever is held: workers run in other folders."""
    return str(parsed(method).with_parts(absolute))
