"""What a report says of a search in words."""

import math
from collections.abc import Mapping

from pfltune.budget import Budget, SamplerName
from pfltune.goal import Goal
from pfltune.knobs import Value
from pfltune.record import Tuned
from pfltune.report.choosing import Fall, fall_of
from pfltune.report.columns import NO_FIGURE
from pfltune.report.results import ComparisonResult, MethodResult
from pfltune.report.searching import Searching
from pfltune.text import count, plain

SAMPLER_WORDS: Mapping[SamplerName, str] = {
    "tpe": "Optuna's TPE",
    "random": "independent random draws",
    "qmc": "a scrambled Sobol sequence",
    "gp": "Optuna's Gaussian process",
    "cmaes": "CMA-ES",
}


def score_note(goal: Goal) -> str:
    """What a score is."""
    return (
        f"No search trial was given test data. The score is the best validation {goal.noun} so "
        "far, averaged over clients."
    )


def tuning_note(goal: Goal) -> str:
    """What the figures of searches are."""
    return f"{score_note(goal)} " + (
        "The first trial has the start values of the search space, the "
        "published ones where there are; what they leave out has its default. A trial that was "
        "stopped "
        "early is read after fewer rounds, so that it has no gain beside one that was not. With "
        "fresh "
        "seeds the chosen values may do worse than in the search, which kept the best of its "
        "trials; the mean of finalists over fresh seeds is nearer to what they are worth. "
        "Importances are Optuna's (PED-ANOVA) over the knobs that all trials have, read after one "
        "round that all came to; of few trials they say little."
    )


def budget_note(result: ComparisonResult) -> str:
    """How many trials each method was given, and how they were halved."""
    methods: dict[str, list[str]] = {}
    for method in result.whole:
        origin = result.record.tuned.get(method.name)
        note = _elsewhere(origin) if origin else _spent(result.budget_of(method.name), result.goal)
        methods.setdefault(note, []).append(method.title)
    if len(methods) == 1:
        return next(iter(methods))
    return " ".join(f"{', '.join(titles)}: {note}" for note, titles in methods.items())


def _spent(budget: Budget, goal: Goal) -> str:
    parts = (_halved, _suggested, _again, _repeated)
    return "".join(part(budget) for part in parts) + _bytes(budget, goal)


def _bytes(budget: Budget, goal: Goal) -> str:
    """That bytes were an objective or had a limit; empty if neither."""
    told = ""
    if budget.several:
        told += (
            f" Searched for validation {goal.noun} and MB at once: at a rung the trials of the "
            "first "
            "fronts went on, of the last of these those that lay furthest from others, and no "
            f"fewer than {budget.front}."
        )
    if budget.max_mb is not None:
        told += (
            f" What would send more than {budget.max_mb:,.4g} MB in all rounds was stopped and not "
            "chosen."
        )
    return told


def _suggested(budget: Budget) -> str:
    return "" if budget.sampler == "tpe" else f" Suggested by {SAMPLER_WORDS[budget.sampler]}."


def _repeated(budget: Budget) -> str:
    """Other searches beside the first, and what the search began with."""
    told = ""
    if budget.studies > 1:
        told = (
            f" {budget.studies} such searches of each method, independent of each other; what each "
            "of them chose is tested with the same seeds."
        )
    if budget.control:
        told += " The first start values are tested with these seeds, too."
    return told


def _again(budget: Budget) -> str:
    finalists = budget.planned_each()["choose"] // budget.finalist_seeds
    if not finalists:
        return ""
    best = f"The best {finalists} were" if finalists > 1 else "The best one was"
    seeds = count(budget.finalist_seeds, "fresh validation seed")
    chosen = ", and the one with the best mean was chosen" if finalists > 1 else ""
    return f" {best} trained again with {seeds}{chosen}."


def _halved(budget: Budget) -> str:
    sizes = budget.generations
    halved = f"halved with η = {budget.eta}" if budget.halving else "none of them stopped early"
    if len(sizes) == 1:
        return f"{count(sizes[0], 'trial')} per method in one generation, {halved}."
    whole = f"{count(sum(sizes), 'trial')} per method in {len(sizes)} generations of"
    if len(set(sizes)) == 1:
        return f"{whole} {sizes[0]}, {halved}."
    return f"{whole} {', '.join(map(str, sizes[:-1]))} and {sizes[-1]}, {halved}."


def _elsewhere(origin: Tuned) -> str:
    where = f"{origin.name}, on another scenario" if origin.differs else origin.name
    return f"not searched here; {count(origin.trials, 'trial')} chose its values in {plain(where)}."


def finding(search: Searching) -> str:
    """What one search found, in a few sentences."""
    method = search.method
    told = f"{method.title}: {trials(search)}."
    if not method.best:
        return f"{told} Nothing is chosen{'' if method.is_over else ' yet'}."
    return f"{told} Chosen: {configuration(method)}. {fall(search)}"


def trials(search: Searching) -> str:
    """How many search trials there were, and how they ended."""
    whole = count(search.method.search_trials, "search trial")
    ways = {"ran to the end": "finished", "stopped early": "stopped early"}
    ways |= {"failed": "failed", "still running": "running"}
    counted = {words: search.counted(outcome) for words, outcome in ways.items()}
    told = ", ".join(f"{number} {words}" for words, number in counted.items() if number)
    return f"{whole} ({told})" if told else whole


def fall(search: Searching) -> str:
    """The chosen values in the search, with seeds that they were not found by, and on test data."""
    if search.winner is None:
        return ""
    found, goal = fall_of(search.method, search.winner), search.method.goal
    told = f"Validation {goal.noun} {_with_unit(goal, found.searched)} in the search "
    told += f"({_place(found, goal)})"
    if found.validation_seeds:
        seeds = count(found.validation_seeds, "fresh seed")
        told += f"; {_with_unit(goal, found.validated)} with {seeds}"
    if found.test_seeds:
        seeds = count(found.test_seeds, "fresh seed")
        return f"{told}; test {goal.noun} {_with_unit(goal, found.tested)} with {seeds}."
    return f"{told}; not tested{'' if search.method.is_over else ' yet'}."


def _with_unit(goal: Goal, score: float) -> str:
    return figure(goal, score) + goal.unit


def _place(found: Fall, goal: Goal) -> str:
    """Of what a score in the search is the best: of many tries with one seed each."""
    if found.trials == 1:
        return "1 seed"
    high = goal.highest if found.place == 1 else f"number {found.place}"
    return f"1 seed, {high} of {found.trials} trials"


def configuration(method: MethodResult) -> str:
    """The chosen values, as far as one reads them; every digit is in MLflow."""
    return ", ".join(f"{name} = {shown(value)}" for name, value in method.best.items())


def over(method: MethodResult) -> list[str]:
    """How many trials were stopped since they would send too much; nothing where none would."""
    found = [run.needs_mb for run in method.searched if not run.fits]
    if not found:
        return []
    least = f"the least of them {min(found):,.4g} MB"
    return [f"{count(len(found), 'trial')} would send more than they may, {least}"]


def shown(value: Value) -> str:
    """A knob's value, of a number four digits."""
    return f"{value:.4g}" if isinstance(value, float) else plain(str(value))


def first_value(search: Searching) -> str:
    """The first trial's score, and when it was read if the winner went on for longer."""
    first = search.first
    if first is None:
        return NO_FIGURE
    early = search.winner is not None and first.reached != search.winner.reached
    return figure(search.method.goal, first.value) + (f" (round {first.rounds})" if early else "")


def winner_value(search: Searching) -> str:
    """The winner's score at its end."""
    winner = search.winner
    return NO_FIGURE if winner is None else figure(search.method.goal, winner.value)


def figure(goal: Goal, score: float) -> str:
    """As people read it; a dash for no figure."""
    return NO_FIGURE if math.isnan(score) else goal.text(score)
