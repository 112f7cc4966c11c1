"""What the report of a comparison over draws says in sentences."""

from collections.abc import Iterator, Sequence

from pfltune.draws import label
from pfltune.report.draws import Drawn, DrawsResult
from pfltune.report.statistics import ALPHA
from pfltune.report.words import below, bold_note, for_all, not_tested, seeds_of, status
from pfltune.text import count, listed, plain
from pfltune.ties import settled

REFERENCE = "reference"
ENOUGH_DRAWS = 5
"""With fewer, what draws do is known so badly that it decides alone."""


def notes(found: DrawsResult) -> list[str]:
    """All that the table needs to be understood."""
    told = (accuracy_note(found), differ_note(found), test_note(found), bold_note(found.results))
    return [sentence for sentence in told if sentence]


def setting(found: DrawsResult) -> str:
    """What was done on the draws, and what differs between them."""
    draws = found.draws
    first = label(draws.first)
    tuned = (
        "Methods were tuned on each draw by itself"
        if draws.tune_each
        else f"Methods were tuned on {first} alone; the other draws test the configurations that "
        "were chosen there, with the same seeds"
    )
    return f"A comparison over {count(draws.partitions, 'draw')} of clients. {tuned}."


def in_short(found: DrawsResult) -> str:
    """What a test figure is, in a line; empty without any."""
    if not found.confirmed:
        return ""
    over = f"mean over clients, {_over(found)}, at the round chosen on validation"
    return f"test {found.goal.noun}: {over}"


def _over(found: DrawsResult) -> str:
    """``3 draws and 2 seeds``."""
    methods = [m for method in found.confirmed for m in method.shown]
    return f"{count(len(found.seeds), 'draw')} and {seeds_of(methods)}"


def differ_note(found: DrawsResult) -> str:
    """What a draw changes, and what it leaves as it is."""
    weights = found.results[0].record.scenario.backbone.weights
    start = (
        " Start weights differ too: each draw trains its own on images that none of its clients "
        "holds."
        if weights == "warm-start"
        else ""
    )
    return (
        "Draws differ in who holds which images and in what of them trains, validates and tests."
        f"{start} The seeds of trials are the same on every draw."
    )


def accuracy_note(found: DrawsResult) -> str:
    """What a test figure is and what the two spreads are."""
    goal = found.goal
    if not found.confirmed:
        return f"No confirmation trial has ended, so that there is no test {goal.noun}."
    most = max(len(m.runs) for method in found.confirmed for m in method.shown)
    several = any(len(m.studies) > 1 for method in found.confirmed for m in method.shown)
    better = "lower" if goal.is_minimised else "higher"
    sentences = [
        f"Test {goal.noun} is the mean over the clients of a draw, {_over(found)}, at the round "
        f"with the best validation {goal.noun}; each draw counts alike."
    ]
    if len(found.seeds) > 1:
        sentences.append(
            "± draws is the sample standard deviation over draws of their means, in which seeds "
            "have a share."
        )
    if most > 1:
        sentences.append(
            f"± seeds is the one over the {'studies and ' * several}seeds of a draw, the root mean "
            "square of all draws."
        )
    sentences.append(
        f"Won counts the draws on which no method has a {better} test {goal.noun}; the columns of "
        "draws have means over seeds" + (" ± their standard deviation." if most > 1 else ".")
    )
    if parts := [method.title for method in found.confirmed if not method.is_whole]:
        sentences.append(f"Without a figure on some draw, and so not compared: {', '.join(parts)}.")
    return " ".join(sentences)


def test_note(found: DrawsResult) -> str:
    """What was tested, against whom; empty where there is nobody to compare with."""
    if found.reference is None or not found.against:
        return ""
    goal = found.goal
    best = f"the method with the best mean validation {goal.noun}"
    why = "named by the user" if found.chosen else best
    sentences = [
        f"Reference: {found.reference.title}, {why}. Differences of test {goal.noun} are paired by "
        f"draw, seed and client, in {goal.apart}{below(goal)}."
    ]
    if over := _generalised(found):
        sentences.append(
            "Intervals (95 %) and p-values are of one analysis with crossed effects of draw and "
            f"seed and hold for {for_all(found.pairs)}: an interval leaves 0 out exactly where "
            f"p < {ALPHA}. {over}"
        )
    sentences.append("That no difference was found does not say that there is none.")
    if over and 1 < len(found.seeds) < ENOUGH_DRAWS:
        sentences.append(
            f"{count(len(found.seeds), 'draw')} say little of what another one does, so that "
            "only large differences are told apart."
        )
    return " ".join(sentences)


def _generalised(found: DrawsResult) -> str:
    """What p generalises over; empty if nothing was tested."""
    tested = [each for each in found.against.values() if not each.untested]
    if not tested:
        return ""
    over = {factor for each in tested for factor in each.over}
    names = {"searches": "searches", "seeds": "seeds", "draws": "draws of clients"}
    names["clients"] = "clients like those of the only draw"
    told = listed([name for factor, name in names.items() if factor in over])
    if "searches" in over:
        return f"They generalise over {told}."
    if found.draws.tune_each and len(found.seeds) > 1:
        return f"They generalise over {told}, and over searches: each draw has its own."
    return (
        f"They generalise over {told}. Not over searches: all draws test the configurations of one "
        "search, and another one may find others."
    )


def finding(found: DrawsResult) -> str:
    """What came out, in a sentence or two; empty if nothing was compared."""
    if found.reference is None or not found.against:
        return ""
    name = found.reference.title
    groups = {
        f"Worse than {name} (p < {ALPHA}): ": _titles(found, "worse"),
        f"Better than {name} (p < {ALPHA}): ": _titles(found, "better"),
        f"No difference from {name} was found: ": _titles(found, "no difference was found"),
    }
    told = [f"{head}{', '.join(titles)}." for head, titles in groups.items() if titles]
    reasons = ((found.by_name[n].title, each.untested) for n, each in found.against.items())
    return " ".join([*told, *not_tested(name, reasons), order(found)]).strip()


def order(found: DrawsResult) -> str:
    """Whether the order of the methods is the same on every draw; empty where there is none."""
    whole = [method for method in found.methods if method.is_whole]
    if len(whole) < 2 or len(found.seeds) < 2:
        return ""
    places = range(len(found.seeds))
    drawn = count(len(found.seeds), "draw")
    if len({tuple(_order(whole, place)) for place in places}) == 1:
        return f"The order of the methods is the same on all {drawn}."
    firsts = [_first(whole, place) for place in places]
    wins = {m.title: sum(m.title in first for first in firsts) for m in whole}
    ahead = sorted(filter(wins.get, wins), key=lambda title: -wins[title])
    if len(ahead) == 1:
        return f"{ahead[0]} is ahead on all {drawn}; the order below it changes."
    told = ", ".join(f"{title} ({wins[title]})" for title in ahead)
    return f"Who is ahead changes with the draw: {told} of {drawn}."


def statuses(found: DrawsResult) -> Iterator[tuple[str, str]]:
    """Each draw that has not ended, and each that is missing, with what is to be said of it."""
    for result in found.results:
        if told := status(result):
            yield result.name, f"is {told}"
    for name, reason in found.missing.items():
        yield name, f"is missing: {plain(reason)}"


def _order(methods: Sequence[Drawn], place: int) -> list[int]:
    """The rank of each method on one draw, equal ones with the same."""
    means = [settled(method.means[place]) for method in methods]
    return [sum(other > mean for other in means) for mean in means]


def _first(methods: Sequence[Drawn], place: int) -> list[str]:
    """The titles of those with the best test figure on one draw."""
    ranks = _order(methods, place)
    return [method.title for method, above in zip(methods, ranks, strict=True) if not above]


def _titles(found: DrawsResult, verdict: str) -> list[str]:
    """The methods of which a test says so."""
    told = (name for name, against in found.against.items() if against.verdict == verdict)
    return [found.by_name[name].title for name in told]
