"""What a report says in sentences."""

from collections.abc import Iterable, Sequence

from pfltune.goal import Goal
from pfltune.report import racing
from pfltune.report.analysis import Analysis
from pfltune.report.power_words import power
from pfltune.report.results import (
    ComparisonResult,
    MethodResult,
    ToldTrial,
    count_reused,
    is_without_figures,
    lacking_beside,
    lacking_clients,
)
from pfltune.report.statistics import ALPHA, pairs_of
from pfltune.text import count, listed, plain

ENOUGH_SEEDS = 5
"""With fewer, what seeds do is known so badly that it decides alone (docs/protocol.md)."""
MOST_CLIENTS = 20
"""Clients that a sentence names."""
INSTEAD = "name another folder with --out"
"""Where a report finds files that are not its own."""


def status(result: ComparisonResult) -> str:
    """How far a comparison is that has not ended; empty if it has."""
    if not result.is_partial:
        return ""
    waiting = [method.title for method in result.methods if not method.runs]
    rest = f"; without a confirmed run so far: {', '.join(waiting)}" if waiting else ""
    return f"partial: {result.ended} of {result.planned} trials have ended{rest}"


def origin_note(result: ComparisonResult) -> str:
    """Where rows come from, that some are left out, or not all of one program, or damaged."""
    sentences = [plain(remark) for remark in result.remarks]
    sentences += [told] if (told := elsewhere_note(result)) else []
    sentences += [
        f"Not all trials were made by one program: from {plain(change.at)} on, "
        f"{plain('; '.join(change.differences))}."
        for change in result.changes
    ]
    if result.damage:
        sentences.append(f"{plain(result.damage)}; what stands before it is shown.")
    return " ".join(sentences)


def elsewhere_note(result: ComparisonResult) -> str:
    """Which methods were not searched here but elsewhere, and with how much; empty if none was."""
    told = []
    for method in result.methods:
        if origin := result.record.tuned.get(method.name):
            where = f" on another scenario ({origin.differs})" if origin.differs else ""
            trials = count(origin.trials, "search trial")
            told.append(f"{method.title} by {trials} of {plain(origin.name + where)}")
    if not told:
        return ""
    mixed = len(told) < len(result.methods)
    unlike = ", and not by the search of this table like the others" if mixed else ""
    return f"Values were chosen elsewhere{unlike}: {'; '.join(told)}."


def reuse_note(trials: Sequence[ToldTrial]) -> str:
    """How many of these trials were known before, wholly or as far as that went; empty if none."""
    reused = count_reused(trials)
    if not reused:
        return ""
    were = "was" if reused == 1 else "were"
    return (
        f"{reused:,} of {count(len(trials), 'trial')} {were} known from before and reused: "
        "the same code, data, knobs and seed give the same figures; seconds and memory are those "
        "of that time"
    )


def accuracy_note(results: Sequence[ComparisonResult]) -> str:
    """What a test figure is, in one comparison or in several side by side."""
    methods = [method for result in results for method in result.confirmed]
    noun = noun_of(results)
    if not methods:
        if any(map(is_without_figures, results)):
            return f"Confirmation trials have ended, and no client has a test {noun} in any."
        return f"No confirmation trial has ended, so that there is no test {noun}."
    many = max(len(method.runs) for method in methods) > 1
    spread = "± the sample standard deviation over" if many else "with"
    if max(len(method.studies) for method in methods) > 1:
        seed = " with another seed" if max(len(method.seeds) for method in methods) > 1 else ""
        spread = f"± the standard deviation of a run of another search{seed}, from"
    note = (
        f"Test {noun} is the mean over clients at the round with the best validation {noun}, "
        f"{spread} {seeds_of(methods)} that the search never used."
    )
    if any(r.record.scenario.protocol.evaluate == "after_training" for r in results):
        note += " Clients of a round are tested right after their training, before aggregation."
    fewer = [m.title for r in results for m in r.confirmed if len(m.runs) < planned_seeds(r, m)]
    if fewer:
        note += f" Fewer seeds than planned have ended of {', '.join(dict.fromkeys(fewer))}."
    lacking = [told for result in results if (told := lacking_note(result))]
    return " ".join([note, *dict.fromkeys(lacking)])


def noun_of(results: Sequence[ComparisonResult]) -> str:
    """What test figures are called; of comparisons that go by several, no more than figures."""
    nouns = {result.goal.noun for result in results}
    return nouns.pop() if len(nouns) == 1 else "figure"


def lacking_note(result: ComparisonResult) -> str:
    """Over which classes figures are, and of which clients they are none; empty for accuracy."""
    if result.goal.is_accuracy and not result.measures:
        return ""
    told = (
        "Where a client lacks classes, its AUROC, F1 and recalls are over the classes that it has. "
        "All clients together: their test samples as if they were one client's, each predicted by "
        "its own client's model. Global model: the same samples and what the server would hand to "
        "anybody; a dash where a method has no such model."
    )
    for measure in result.measures:
        beside = lacking_beside(result, measure.name)
        if beside and measure.name != result.goal.name:
            noun = Goal(measure).noun
            told += f" Of {_clients(beside)} there is no test {noun}: its mean is over the others."
    without = lacking_clients(result)
    if not without:
        return told
    return (
        f"{told} Of {_clients(without)} there is no test {result.goal.noun}: intervals and tests "
        "are over the others, and a mean is over those that have one."
    )


def _clients(indices: Sequence[int]) -> str:
    """``2 clients (3 and 5)``, of many the first."""
    named = [str(each) for each in indices[:MOST_CLIENTS]]
    more = len(indices) - len(named)
    shown = listed([*named, f"{more:,} more"] if more else named)
    return f"{count(len(indices), 'client')} ({shown})"


def trial_budget_note(result: ComparisonResult) -> str:
    """What a trial could spend, and what that means for its rounds; empty without a budget."""
    protocol = result.record.scenario.protocol
    budget = protocol.budget
    if budget is None:
        return ""
    idle = [m.title for m in result.confirmed if not m.mean(budget.figure.name)]
    ended = f" {', '.join(idle)} spent nothing of it and ended after {protocol.told_rounds}."
    clock = (
        " A budget of seconds is not repeatable: another machine, or another hour, gives other "
        "rounds and other figures."
    )
    return (
        f"Each trial trained until another round would have passed its budget of {budget}; the "
        "rounds differ, and the best on validation within the budget counts."
        f"{ended if idle else ''}{'' if budget.repeats else clock}"
    )


def within_note(analysis: Analysis) -> str:
    """What a figure within a budget is."""
    goal = analysis.result.goal
    return (
        f"Test {goal.noun} within a budget{f', in{goal.unit}' if goal.unit else ''}"
        f"{mean_over(analysis)}: of the rounds that it holds, "
        f"the one with the best validation {goal.noun}. A star: all its rounds are within it; a "
        "dash: "
        "not every seed has an evaluated round within it. PFLOP are 10¹⁵ operations of local "
        "training, forward and backward, as torch counts them; evaluations, adapting before them "
        "and the server's work are in none of the budgets. Seconds depend on the machine and on "
        "what else ran on it."
    )


def planned_seeds(result: ComparisonResult, method: MethodResult) -> int:
    """Confirmation trials of a method, if none fails; of a race as many as have begun."""
    if result.budget.decide is None:
        return result.budget.planned()["confirm"]
    return sum(trial.started.stage == "confirm" for trial in method.trials)


def seeds_of(methods: Sequence[MethodResult]) -> str:
    """Over how many seeds figures are: ``3 seeds``, or ``1 to 3 seeds`` where some have failed.

    Of several studies: ``3 studies × 3 seeds``.
    """
    seeds = _from_to([len(method.seeds) for method in methods], "seed")
    studies = [len(method.studies) for method in methods]
    return f"{_from_to(studies, 'study')} × {seeds}" if max(studies, default=0) > 1 else seeds


def _from_to(numbers: Sequence[int], noun: str) -> str:
    if not numbers:
        return f"no {noun}"
    fewest, most = min(numbers), max(numbers)
    return count(most, noun) if fewest == most else f"{fewest} to {count(most, noun)}"


def mean_over(analysis: Analysis, first: str = "") -> str:
    """``, mean over seeds`` where there are several; with what is averaged before, if anything."""
    shown = analysis.result.confirmed
    seeds = "seeds" if any(len(method.seeds) > 1 for method in shown) else ""
    studies = "studies" if any(len(method.studies) > 1 for method in shown) else ""
    *most, last = [each for each in (first, studies, seeds) if each] or [""]
    return f", mean over {' and '.join(filter(None, (', '.join(most), last)))}" if last else ""


def spread_note(result: ComparisonResult) -> str:
    """What the interval and the spread over clients are; empty without figures."""
    if not result.confirmed:
        return ""
    if result.budget.decide is not None:
        return (
            "The interval is over seeds and holds whenever one stops. "
            f"{_of_clients(result)}, all of them means over seeds."
        )
    repeated = [
        name
        for name in ("studies", "seeds")
        if max(len(getattr(method, name)) for method in result.confirmed) > 1
    ]
    over = listed([*repeated, "clients"])
    if "seeds" not in repeated:
        over += "; of other seeds one seed says nothing"
    both = f", all of them means over {listed(repeated)}" if repeated else ""
    return (
        f"The interval is a 95 % interval of this {result.goal.noun} by itself, over {over}. "
        f"{_of_clients(result)}{both}."
    )


def _of_clients(result: ComparisonResult) -> str:
    """How what is said of the spread over clients is made."""
    worst = "highest" if result.goal.is_minimised else "lowest"
    return (
        "Client std is the standard deviation over clients, the worst decile the mean of the "
        f"{worst} tenth of them, Gini (0 where all are alike) and Jain (1) say how evenly it is "
        "spread"
    )


def bold_note(results: Sequence[ComparisonResult]) -> str:
    """What is bold in tables of these comparisons."""
    raced = [result.budget.decide is not None for result in results]
    apart = (
        f"the best test {noun_of(results)} and all that are not told apart from it (p ≥ "
        f"{ALPHA}, all pairs of methods together)"
    )
    race = "all methods to which no other was found to be better"
    both = f"{apart} and, where there was a race, {race}"
    bold = race if all(raced) else both if any(raced) else apart
    return (
        f"Bold are {bold}, none where that are all; in other columns the best "
        "figure and every one that reads the same."
    )


def test_note(analysis: Analysis) -> str:
    """What was tested, against whom, and what that does not say; empty for a single method."""
    reference = analysis.reference
    if len(analysis.result.methods) < 2:
        return ""
    if reference is None or not analysis.differences:
        return "Nothing was tested: there are not two methods with confirmed runs."
    if analysis.result.budget.decide is not None:
        return _race_note(analysis, reference)
    why, goal = _why(analysis), analysis.result.goal
    sentences = [
        f"Reference: {reference.title}, {why}. Differences of test {goal.noun} are paired by "
        "client "
        f"and seed, in {goal.apart}{below(goal)}.",
        together(analysis),
        scope(analysis),
        "The effect size is the difference in standard deviations of the paired differences of "
        "single clients and seeds. That no difference was found does not say that there is none.",
        power(analysis) or few_seeds(analysis),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def _race_note(analysis: Analysis, reference: MethodResult) -> str:
    goal = analysis.result.goal
    return (
        f"Reference: {reference.title}, {_why(analysis)}. Differences of test {goal.noun} are "
        f"paired by seed, in {goal.apart}{below(goal)}. {racing.note(analysis.result)}"
    )


def _why(analysis: Analysis) -> str:
    """What makes it the reference."""
    best = f"the method with the best validation {analysis.result.goal.noun}"
    return "named by the user" if analysis.chosen else best


def below(goal: Goal) -> str:
    """Which sign of a difference is the good one, where that is not +."""
    return "; below 0 the method is better" if goal.is_minimised else ""


def together(analysis: Analysis) -> str:
    """How intervals and p-values are corrected; empty if nothing was tested."""
    if not analysis.is_tested:
        return ""
    pairs = pairs_of(len(analysis.differences) + 1)
    return (
        "Intervals (95 %) and p-values are of one analysis with crossed effects and hold for "
        f"{for_all(pairs)}: an interval leaves 0 out exactly where p < {ALPHA}."
    )


def for_all(pairs: int) -> str:
    """For how many pairs intervals and p-values hold."""
    if pairs == 1:
        return "the only pair of methods"
    return f"all {pairs} pairs of methods together (Bonferroni)"


def scope(analysis: Analysis) -> str:
    """What p generalises over, and what it does not; empty if nothing was tested."""
    over = analysis.over
    if not over:
        return ""
    units = "draws of clients" if "draws" in over else "clients like those of this draw"
    firsts = ["searches"] if "searches" in over else []
    seeds = ["seeds"] if "seeds" in over else []
    sentence = f"They generalise over {listed([*firsts, *seeds, units])}."
    if "searches" not in over:
        sentence += (
            " Not over searches: they are about the configurations that were found, and another "
            "search may find others."
        )
    return sentence


def untested(analysis: Analysis) -> list[str]:
    """A sentence for each reason why methods were not tested."""
    if analysis.reference is None:
        return []
    reasons = ((m.title, analysis.differences[m.name].untested) for m in _others(analysis))
    return not_tested(analysis.reference.title, reasons)


def not_tested(reference: str, reasons: Iterable[tuple[str, str]]) -> list[str]:
    """A sentence for each reason of pairs of a title and a reason, which is empty for a test."""
    titles: dict[str, list[str]] = {}
    for title, reason in reasons:
        if reason:
            titles.setdefault(reason, []).append(title)
    return [
        f"Not tested against {reference}: {', '.join(named)} ({reason})."
        for reason, named in titles.items()
    ]


def few_seeds(analysis: Analysis) -> str:
    """That seeds are so few that only large differences can be told apart; empty if not."""
    tested = [each for each in analysis.differences.values() if not each.untested]
    fewest = min((each.seeds for each in tested), default=ENOUGH_SEEDS)
    if fewest >= ENOUGH_SEEDS:
        return ""
    return (
        f"{count(fewest, 'seed').capitalize()} say little of what a seed does to all clients at "
        f"once, so that only large differences are told apart; {ENOUGH_SEEDS} say much more."
    )


def finding(analysis: Analysis) -> str:
    """What came out, in a sentence or two; empty if nothing was compared."""
    if analysis.reference is None or not analysis.differences:
        return ""
    if analysis.result.budget.decide is not None:
        return racing.finding(analysis.result)
    name = analysis.reference.title
    groups = {
        f"Worse than {name} (p < {ALPHA}): ": _titles(analysis, "worse"),
        f"Better than {name} (p < {ALPHA}): ": _titles(analysis, "better"),
        f"No difference from {name} was found: ": _titles(analysis, "no difference was found"),
    }
    told = [f"{head}{', '.join(titles)}." for head, titles in groups.items() if titles]
    return " ".join([*told, *untested(analysis)])


def communication_note(analysis: Analysis) -> str:
    """What MB, the target and the front are."""
    goal = analysis.result.goal
    front = ", ".join(method.title for method in analysis.front)
    if not analysis.front:
        return "MB are 10⁶ bytes of safetensors payloads, up and down."
    best = (
        f"On the Pareto front of test {goal.noun} and total MB: {front}. "
        if len(analysis.result.confirmed) > 1
        else ""
    )
    return (
        "MB are 10⁶ bytes of safetensors payloads, up and down. Per round and in total: all "
        "sampled clients together. Rounds and MB to the target: until the validation "
        f"{goal.noun}{mean_over(analysis, 'clients')}, first reached "
        f"{goal.text(analysis.target)}{goal.unit}. {best}"
        "Seconds are local training and aggregation of one trial; peak MB is the process' "
        "high-water mark or the GPU's."
    )


def start_weights(result: ComparisonResult) -> str:
    """Where every method's start weights come from."""
    scenario = result.record.scenario
    source, recipe = scenario.backbone.weights, scenario.warm_start
    if source != "warm-start" or recipe is None:
        return "random, by seed" if source == "random" else source
    return (
        f"trained for {recipe.epochs} epochs on {recipe.share:.0%} of the data set, "
        "set aside and given to no client"
    )


def _titles(analysis: Analysis, verdict: str) -> list[str]:
    return [
        method.title
        for method in _others(analysis)
        if analysis.differences[method.name].verdict.startswith(verdict)
    ]


def _others(analysis: Analysis) -> list[MethodResult]:
    return [m for m in analysis.result.confirmed if m.name in analysis.differences]
