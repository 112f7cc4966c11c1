"""The tables of a claim's replay, as lines of texts with the headings first."""

from collections.abc import Iterator, Mapping
from math import isnan
from typing import Any, get_args

from pfltune import figures
from pfltune.claim import TITLES, Claim
from pfltune.orderings import Subject
from pfltune.report.claims.replayed import Ground, Replayed
from pfltune.report.claims.verdicts import Verdict
from pfltune.report.claims.words import figure_of, in_full, interval_of, over, paper, title
from pfltune.report.columns import NO_FIGURE, accuracy, bare_p
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
    heads = ["ordering", "footing", "verdict", "paper", "difference", "95 % interval", "p (Holm)"]
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
    shown = [ground for ground in found.grounds if ground.part.footing != "sensitivity"]
    heads = ["method", "paper %", *(f"{TITLES[g.part.footing]} %" for g in shown)]
    return [heads, *_rows(found.claim, shown, accuracy)]


def spent(found: Replayed) -> Lines:
    """A row for each method: MB and local steps of a trial on each footing."""
    shown = [ground for ground in found.grounds if ground.part.footing != "sensitivity"]
    kinds = (figures.TOTAL, figures.STEPS)
    heads = ["method"]
    heads += [f"{TITLES[g.part.footing]}: {kind.heading}" for g in shown for kind in kinds]
    rows = [
        [_title(shown, text)]
        + [_figure(ground.rows.get(text), kind) for ground in shown for kind in kinds]
        for text in found.claim.methods
    ]
    return [heads, *rows]


def layers(found: Replayed) -> Lines:
    """A row for each kind of layer that was personal; none where nothing was studied."""
    study = next((g for g in found.grounds if g.part.footing == "sensitivity"), None)
    if study is None or not study.rows:
        return []
    printed = found.claim.published.layers
    rows = [
        [row.title, _percent(printed.get(layer)), accuracy(row) if row.runs else NO_FIGURE]
        for layer, row in study.rows.items()
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
            "p_holm": _known(v.p),
            **_counts(v),
            "reason": v.reason,
        }


def _counts(verdict: Verdict) -> dict[str, int]:
    return {
        "seeds": verdict.seeds,
        "seeds_agreeing": verdict.agreeing,
        "clients": verdict.clients,
    }


def _known(number: float | None) -> float | None:
    return None if number is None or isnan(number) else number


def _rows(claim: Claim, shown: list[Ground], text_of: Any) -> Iterator[list[str]]:
    for text in claim.methods:
        found = (ground.rows.get(text) for ground in shown)
        values = [text_of(row) if row is not None and row.runs else NO_FIGURE for row in found]
        yield [_title(shown, text), _percent(claim.published.accuracy.get(text)), *values]


def _title(shown: list[Ground], text: str) -> str:
    """How a method is written; as the claim names it while nothing is known of it."""
    return next((ground.rows[text].title for ground in shown if text in ground.rows), text)


def _figure(row: MethodResult | None, kind: figures.Figure) -> str:
    return NO_FIGURE if row is None or not row.runs else kind.text(row.mean(kind.name))


def _percent(number: float | None) -> str:
    return NO_FIGURE if number is None else f"{number:.2f}"
