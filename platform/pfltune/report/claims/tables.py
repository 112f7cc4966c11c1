"""The tables of a claim's replay, as lines of texts with the headings first."""

from collections.abc import Iterator, Mapping, Sequence
from math import isnan
from statistics import fmean, stdev
from typing import Any, get_args

from pfltune import figures
from pfltune.claim_file import TITLES
from pfltune.orderings import Subject
from pfltune.report.claims.replayed import Ground, Replayed
from pfltune.report.claims.verdicts import Verdict
from pfltune.report.claims.words import figure_of, in_full, interval_of, over, paper, title
from pfltune.report.columns import NO_FIGURE, PLUS_MINUS, bare_p, mean_test
from pfltune.report.results import MethodResult

Lines = list[list[str]]
SUBJECTS: tuple[Subject, ...] = get_args(Subject)
HEADS: Mapping[Subject, str] = {"methods": "ordering", "layers": "personal layer"}


def summaries(found: Replayed) -> list[Lines]:
    """A row for each ordering, a column for each footing: methods, then layers."""
    return [_summary(found, of) for of in SUBJECTS if found.pairs(of) and found.footings(of)]


def _summary(found: Replayed, of: Subject) -> Lines:
    footings = found.footings(of)
    heads = [HEADS[of], "paper", *(TITLES[footing] for footing in footings)]
    rows = [
        [
            title(pair),
            paper(found, pair),
            *(in_full(found.verdict(pair, footing)) for footing in footings),
        ]
        for pair in found.pairs(of)
    ]
    return [heads, *rows]


def details(found: Replayed) -> Lines:
    """A row for each verdict, with all that it rests on."""
    heads = ["ordering", "footing", "verdict", "paper", "difference", "95 % interval", "p"]
    rows = [
        [
            title(v.pair),
            TITLES[v.footing],
            v.word,
            paper(found, v.pair),
            figure_of(v) or NO_FIGURE,
            interval_of(v) or NO_FIGURE,
            NO_FIGURE if isnan(v.p) else bare_p(v.p),
            over(v),
            v.reason,
        ]
        for v in found.verdicts
    ]
    return [[*heads, "that way", "remark"], *rows]


def accuracies(found: Replayed) -> Lines:
    """A row for each method: what the paper prints, and test accuracy on each footing."""
    shown = _compared(found)
    heads = ["method", "paper %", *(f"{TITLES[g.part.footing]} %" for g in shown)]
    rows = [
        [
            _title(shown, text),
            _percent(found.claim.published.accuracy.get(text)),
            *(_accuracy(ground, text) for ground in shown),
        ]
        for text in found.claim.methods
    ]
    return [heads, *rows]


def spent(found: Replayed) -> Lines:
    """A row for each method: MB and local steps of a trial on each footing."""
    shown, kinds = _compared(found), (figures.TOTAL, figures.STEPS)
    heads = [f"{TITLES[g.part.footing]}: {kind.heading}" for g in shown for kind in kinds]
    rows = [
        [_title(shown, text), *(_figure(g, text, kind) for g in shown for kind in kinds)]
        for text in found.claim.methods
    ]
    return [["method", *heads], *rows]


def layers(found: Replayed) -> Lines:
    """A row for each kind of layer that was personal; none where nothing was studied."""
    study = next((g for g in found.grounds if g.part.footing == "sensitivity"), None)
    if study is None or not study.draws:
        return []
    printed = found.claim.published.layers
    rows = [
        [row.title, _percent(printed.get(layer)), _accuracy(study, layer)]
        for layer, row in study.draws[0].items()
    ]
    return [["personal layer", "paper %", "test accuracy %"], *rows]


def records(found: Replayed) -> Iterator[dict[str, Any]]:
    """Every verdict as plain data, unrounded; None where there is no figure."""
    for v in found.verdicts:
        yield {
            "ordering": v.pair.text,
            "of": v.pair.of,
            "first": v.pair.first,
            "second": v.pair.second,
            "figure": v.pair.figure,
            "footing": v.footing,
            "verdict": v.word,
            "paper": _known(found.claim.printed(v.pair)),
            "difference": _known(v.difference),
            "low": _known(v.interval.low),
            "high": _known(v.interval.high),
            "p": _known(v.p),
            **_counts(v),
            "reason": v.reason,
        }


def _counts(verdict: Verdict) -> dict[str, int]:
    return {
        "draws": verdict.draws,
        "seeds": verdict.seeds,
        "clients": verdict.clients,
        "agreeing": verdict.agreeing,
    }


def _known(number: float | None) -> float | None:
    return None if number is None or isnan(number) else number


def _compared(found: Replayed) -> list[Ground]:
    """The footings on which methods were compared."""
    return [ground for ground in found.grounds if ground.part.footing != "sensitivity"]


def _title(shown: Sequence[Ground], text: str) -> str:
    """How a method is written; as the claim names it while nothing is known of it."""
    known = (rows[text].title for ground in shown for rows in ground.draws if text in rows)
    return next(known, text)


def _accuracy(ground: Ground, text: str) -> str:
    """Mean ± sample standard deviation: over seeds, or over several draws their means."""
    rows = _found(ground, text)
    if len(rows) == 1:
        return mean_test(rows[0])
    means = [100 * row.test for row in rows]
    return f"{fmean(means):.2f}{PLUS_MINUS}{stdev(means):.2f}" if means else NO_FIGURE


def _figure(ground: Ground, text: str, kind: figures.Figure) -> str:
    values = [row.mean(kind.name) for row in _found(ground, text)]
    return kind.text(fmean(values)) if values else NO_FIGURE


def _found(ground: Ground, text: str) -> list[MethodResult]:
    """A method on each draw; none if it lacks a figure on one."""
    rows = [draw[text] for draw in ground.draws if text in draw and draw[text].runs]
    return rows if len(rows) == len(ground.draws) else []


def _percent(number: float | None) -> str:
    return NO_FIGURE if number is None else f"{number:.2f}"
