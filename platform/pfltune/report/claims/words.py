"""What the replay of a claim says in sentences, and how a verdict is written."""

from collections.abc import Iterator
from math import isnan

from pfltune.claim_file import TITLES, Footing
from pfltune.figures import FIGURES, TEST
from pfltune.layers import LAYERS
from pfltune.orderings import Ordering
from pfltune.report import words
from pfltune.report.claims.replayed import Ground, Replayed
from pfltune.report.claims.verdicts import Verdict, Word
from pfltune.report.columns import NO_FIGURE, p_value, signed
from pfltune.report.statistics import ALPHA
from pfltune.text import count, plain

SHOWN: tuple[Word, ...] = ("holds", "reversed", "not told apart", "not tested")
NOTE = (
    "An ordering holds where the difference of test accuracies, first minus second, is told from 0 "
    f"(p < {ALPHA}, two-sided) and has the direction that is claimed; it is reversed where it has "
    "the other one. Not told apart is not equal. 95 % intervals and p-values hold for all "
    "orderings of a footing together, by Bonferroni, with crossed effects of seeds and clients, or "
    "of seeds and draws."
)
MEANING: dict[Footing, str] = {
    "trials": "each method has as many search trials, of as many rounds",
    "bytes": "each trial ends when it has sent as many bytes",
    "steps": "each trial ends when it has made as many local steps",
    "draws": "the clients are drawn several times",
    "sensitivity": "FedSim with one kind of layer personal after the other, at one rate",
}
"""What a footing makes equal, or lets vary."""


def title(pair: Ordering) -> str:
    """``fedperfix > fedper``; of layers, which one is personal."""
    if pair.of == "layers":
        return f"{LAYERS[pair.first]} {pair.sign} {LAYERS[pair.second]}"
    return plain(pair.text)


def figure_of(verdict: Verdict) -> str:
    """The difference: of accuracies in percentage points, of other figures in their unit."""
    if isnan(verdict.difference):
        return ""
    if verdict.pair.figure == TEST.name:
        return signed(100 * verdict.difference)
    figure = FIGURES[verdict.pair.figure]
    text = figure.text(abs(verdict.difference))
    sign = "" if not verdict.difference else "+" if verdict.difference > 0 else "−"
    return f"{sign}{text} {figure.unit}".rstrip()


def interval_of(verdict: Verdict) -> str:
    """``[0.21, 2.80]`` in percentage points; empty where there is none."""
    low, high = verdict.interval.low, verdict.interval.high
    return "" if isnan(low) else f"[{signed(100 * low)}, {signed(100 * high)}]"


def in_short(verdict: Verdict | None) -> tuple[str, str, str]:
    """The word of a verdict, its difference and its p-value."""
    if verdict is None:
        return NO_FIGURE, "", ""
    return verdict.word, figure_of(verdict), "" if isnan(verdict.p) else p_value(verdict.p)


def in_full(verdict: Verdict | None) -> str:
    """The same in a line, with the interval."""
    if verdict is None:
        return NO_FIGURE
    p = "" if isnan(verdict.p) else p_value(verdict.p)
    figures = ", ".join(filter(None, (f"{figure_of(verdict)} {interval_of(verdict)}".strip(), p)))
    return f"{verdict.word} ({figures})" if figures else verdict.word


def over(verdict: Verdict) -> str:
    """Over what a difference was taken, and how much of that agrees."""
    if not verdict.seeds:
        return NO_FIGURE
    several = verdict.draws > 1
    units = count(verdict.draws, "draw") if several else count(verdict.seeds, "seed")
    seeds = f", {count(verdict.seeds, 'seed')}" if several else ""
    clients = f", {count(verdict.clients, 'client')}" if verdict.clients else ""
    return f"{verdict.agreeing} of {units}{seeds}{clients}"


def paper(found: Replayed, pair: Ordering) -> str:
    """The paper's own difference."""
    printed = found.claim.printed(pair)
    return NO_FIGURE if printed is None else signed(printed)


def findings(found: Replayed) -> list[str]:
    """What each footing says, a sentence or two for each."""
    return [_finding(found, ground) for ground in found.grounds]


def spread_note(found: Replayed) -> str:
    """What ± is where the clients were drawn several times; empty where they were not."""
    if not any(len(ground.draws) > 1 for ground in found.grounds):
        return ""
    return f"In the column {TITLES['draws']!r} it is over the means of the draws."


def heading(found: Replayed) -> str:
    """What was replayed, how large, and when clients were tested."""
    moment = (
        ", clients tested right after their training"
        if found.claim.moment == "after_training"
        else ""
    )
    return f"{found.claim.title} ({found.claim.citation}), at scale {found.replay.scale}{moment}"


def statuses(found: Replayed) -> list[str]:
    """Which parts have not ended."""
    return [
        f"{ground.part.name} is partial: {ground.ended} of {ground.planned} trials have ended"
        for ground in found.grounds
        if ground.is_partial
    ]


def origins(found: Replayed) -> list[str]:
    """That a part is not of one program, or damaged."""
    results = [result for ground in found.grounds for result in ground.results]
    doubtful = [result for result in results if result.changes or result.damage]
    return [f"{result.name}: {words.origin_note(result)}" for result in doubtful]


def _finding(found: Replayed, ground: Ground) -> str:
    footing = ground.part.footing
    head = f"{TITLES[footing][0].upper()}{TITLES[footing][1:]}"
    if ground.missing:
        return f"{head}: not tested, {ground.missing}."
    told = [v for v in found.verdicts if v.footing == footing]
    if not told:
        return f"{head}: no ordering is of this footing."
    return f"{head}: {'; '.join(_groups(told))}."


def _groups(told: list[Verdict]) -> Iterator[str]:
    for word in SHOWN:
        if named := [title(verdict.pair) for verdict in told if verdict.word == word]:
            yield f"{_said(len(named), len(told), word)} ({', '.join(named)})"


def _said(number: int, total: int, word: str) -> str:
    """``2 of 6 hold``, ``1 of 6 is reversed``."""
    plural = number != 1
    if word == "holds":
        return f"{number} of {total} {'hold' if plural else 'holds'}"
    return f"{number} of {total} {'are' if plural else 'is'} {word}"
