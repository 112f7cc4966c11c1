"""What a report says of a race: who is better, since which seed, and what is open."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pfltune.racing.closed import ALPHA, THRESHOLD
from pfltune.racing.contest import MOST_SAID
from pfltune.racing.interval import interval
from pfltune.racing.question import Question
from pfltune.racing.race import MOST_FAILURES, Race
from pfltune.report.results import ComparisonResult, MethodResult
from pfltune.report.statistics import Difference, Interval, common_seeds
from pfltune.text import count, listed, plain

UNTESTED = "seeds were added until something was decided, see the race"
HEADS: Mapping[str, tuple[str, ...]] = {
    "best": ("method", "verdict", "after", "e-value", "needed", "seeds more"),
    "order": ("pair", "verdict", "after", "e-value", "needed", "seeds more"),
}

RACE = (
    *("of", "state", "better", "seeds", "e_value", "needed", "threshold", "seeds_more", "course"),
)
"""What is told of each hypothesis, see :func:`rows`."""


@dataclass(frozen=True)
class Line:
    """One hypothesis in words.

    Attributes:
        question: the hypothesis.
        cells: as many as there are heads.
    """

    question: Question
    cells: tuple[str, ...]


def seed_interval(method: MethodResult) -> Interval:
    """The 95 % interval of a method's test score over seeds, whenever one stops."""
    return _ends(100 * method.clients().mean(1))


def raced_difference(found: Difference, method: MethodResult, other: MethodResult) -> Difference:
    """A difference without p, which is for a number of seeds that was settled before.

    Its interval is over the common seeds and holds whenever one stops.
    """
    seeds = common_seeds(method, other)
    ends = _ends(100 * (method.clients(seeds) - other.clients(seeds)).mean(1) if seeds else ())
    none = float("nan")
    return replace(found, interval=ends, p=none, raw_p=none, untested=UNTESTED)


def beaten(race: Race | None) -> frozenset[str]:
    """The methods to which another one was found to be better."""
    decided = [q for q in race.questions if q.state == "decided"] if race else []
    return frozenset(
        name for question in decided for name in question.of if name != question.better
    )


def _ends(values: Iterable[float]) -> Interval:
    low, high = interval(list(map(float, values)))
    if not np.isfinite(low):
        return Interval(float("nan"), float("nan"))
    return Interval(low / 100, high / 100)


def finding(result: ComparisonResult) -> str:
    """What is decided, and what is not, in a few sentences; empty without a race."""
    race = result.race
    if race is None:
        return ""
    titles = titles_of(result)
    told = [_best(race, titles) if race.decide == "best" else _order(race, titles)]
    told += [
        f"{titles[name]} left the race after {MOST_FAILURES} failed trials; nothing is claimed "
        "of it."
        for name in race.withdrawn
    ]
    return " ".join(told)


def note(result: ComparisonResult) -> str:
    """Why there is no p, and what there is instead."""
    why = (
        "Seeds were added as long as something was open, so that figures decided on their number; "
        "a p-value of a fixed number would be too small, and none is given. "
    )
    if result.race is None:
        return (
            f"{why}Each race is in the report of its own comparison; these rows had none in common."
        )
    return why + (
        "The unit is the seed: "
        "e-values are what has become of 1 that was bet, seed by seed, at odds that are fair if "
        f"differences of mean test {result.goal.noun} are symmetric about 0. Closed testing with "
        "their means "
        "needs 1/α and what the other open ones lack of it; a wrong claim anywhere, whenever one "
        f"looks or stops, has a probability of at most {100 * ALPHA:g} %. Intervals are over "
        "seeds, 95 % each by itself, and hold whenever one stops; fewer than six seeds give none. "
        "Seeds more: if further ones are like those that were seen; an order of magnitude."
    )


def lines(result: ComparisonResult) -> list[Line]:
    """A line for each hypothesis, in the order of the table."""
    race, titles = result.race, titles_of(result)
    if race is None:
        return []
    place = {method.name: n for n, method in enumerate(result.methods)}
    last = len(place)
    known = sorted(race.questions, key=lambda q: sorted(place.get(m, last) for m in q.of))
    return [Line(question, _cells(race, question, titles)) for question in known]


def standing(race: Race, name: str) -> str:
    """What a race says of one method, in a few words."""
    mine = [question for question in race.questions if name in question.of]
    if not mine:
        return "not in the race"
    if race.decide == "best":
        return _verdict(race, mine[0], {})
    above = sum(question.better == name for question in mine)
    below = sum(bool(question.better) for question in mine) - above
    rest = len(mine) - above - below
    return f"above {above}, below {below}" + (f", {rest} open" if rest else "")


def titles_of(result: ComparisonResult) -> dict[str, str]:
    """Also of methods whose rows are left out."""
    known = result.record.titles
    return {name: plain(known.get(name, name)) for name in (*known, *_raced(result.race))}


def _raced(race: Race | None) -> Sequence[str]:
    return race.methods if race else ()


def _best(race: Race, titles: Mapping[str, str]) -> str:
    left = [titles[name] for name in race.left]
    if race.is_decided:
        return (
            f"Decided after {count(race.seeds, 'seed')}: {left[0]} is the best of "
            f"{count(len(race.methods) - len(race.withdrawn), 'method')}."
        )
    if not race.is_over or len(race.methods) < 2:
        return f"{_stand(race)}: {listed(left, 'or') or 'nobody'} may be the best."
    if len(left) < 2:
        return _alone(race, left)
    stuck = [titles[q.of[0]] for q in race.questions if q.state == "given up"]
    rest = [name for name in left if name not in stuck]
    told = [f"{_stand(race)}: {listed(stuck)} were not told apart."]
    told += [f"{listed(rest)} could have been excluded, and was not yet."] if rest else []
    return " ".join([*told, _more(race)]).strip()


def _alone(race: Race, left: Sequence[str]) -> str:
    """That too few are left to decide anything."""
    if not left:
        return "Nothing is decided: every method left the race."
    if any(question.state == "decided" for question in race.questions):
        why = "but others were excluded by figures of methods that left the race"
    else:
        why = "since all others left the race"
    return f"Nothing is decided: {left[0]} is left alone, {why}."


def _order(race: Race, titles: Mapping[str, str]) -> str:
    decided = [question for question in race.questions if question.better]
    pairs = count(len(race.questions), "pair")
    if race.is_decided and (chain := _chain(race)):
        row = " > ".join(titles[name] for name in chain)
        return f"Decided after {count(race.seeds, 'seed')}: {row}."
    head = f"Decided after {count(race.seeds, 'seed')}" if race.is_decided else _stand(race)
    are = "is" if len(decided) == 1 else "are"
    return f"{head}: {len(decided)} of {pairs} {are} decided. {_more(race)}".strip()


def _chain(race: Race) -> list[str]:
    """The methods that stayed, from the best to the worst; empty where wins make no such row."""
    stayed = [name for name in race.methods if name not in race.withdrawn]
    asked = [question for question in race.questions if set(question.of) <= set(stayed)]
    wins = {name: sum(question.better == name for question in asked) for name in stayed}
    row = sorted(stayed, key=lambda name: -wins[name])
    whole = [wins[name] for name in row] == list(range(len(row) - 1, -1, -1))
    return row if whole else []


def _stand(race: Race) -> str:
    if not race.is_over:
        return f"Open after {count(race.seeds, 'seed')}, and going on"
    if len(race.methods) < 2:
        return "There were not two methods to race"
    if race.seeds >= race.most:
        return f"Not decided by {count(race.most, 'seed')}"
    return (
        f"Not decided, and after {count(race.seeds, 'seed')} it was clear that {race.most} could "
        "not do it"
    )


def _more(race: Race) -> str:
    """How many seeds it would take, in a sentence; empty where nothing is left to ask."""
    left = [q for q in race.questions if q.state in ("open", "given up")]
    if not race.is_over or race.is_decided or not left:
        return ""
    told = [question.more for question in left if _is_asked(race, question)]
    sure = [seeds for seeds in told if seeds is not None]
    if len(sure) < len(told) or not sure:
        return "How many seeds more it would take cannot be said."
    return (
        f"It would take some {max(sure)} seeds more, if they were like those that were seen: "
        "pfltune extend --max-seeds goes on."
    )


def _is_asked(race: Race, question: Question) -> bool:
    """Whether it is open what becomes of it; of whoever leads, that is the question of the rest."""
    return race.decide == "order" or question.of[0] != race.leader


def _cells(race: Race, question: Question, titles: Mapping[str, str]) -> tuple[str, ...]:
    after = question.at or len(question.course)
    return (
        " and ".join(titles[name] for name in question.of),
        _verdict(race, question, titles),
        count(after, "seed"),
        f"{question.value:,.2f}",
        f"{question.needed:,.1f}" if question.needed else "–",
        _seeds_more(race, question),
    )


def _seeds_more(race: Race, question: Question) -> str:
    settled = question.state in ("decided", "withdrawn") or race.is_decided
    if settled or not _is_asked(race, question):
        return "–"
    return f"not to be said, over {MOST_SAID}" if question.more is None else f"{question.more}"


def _verdict(race: Race, question: Question, titles: Mapping[str, str]) -> str:
    if question.state == "withdrawn":
        return "withdrawn"
    if race.decide == "order":
        return {
            "decided": f"{titles.get(question.better, question.better)} is better",
            "open": "open",
            "given up": f"given up: {race.most} seeds cannot decide",
        }[question.state]
    if question.state == "decided":
        return "not the best"
    if race.is_decided:
        return "the best"
    return "not excluded yet" if race.is_over and question.is_open else "may be the best"


def rows(result: ComparisonResult) -> Iterator[dict[str, object]]:
    """Each hypothesis with all digits, for whoever computes on."""
    for line in lines(result):
        question = line.question
        told = (
            *(" ".join(question.of), question.state, question.better),
            *(question.at or len(question.course), question.value, question.needed),
            *(THRESHOLD, question.more, " ".join(map(repr, question.course))),
        )
        yield dict(zip(RACE, told, strict=True))
