"""The differences of a claim's orderings as a figure, footing by footing."""

from math import isnan

import numpy as np

from pfltune.claim_file import TITLES
from pfltune.figures import TEST
from pfltune.report.canvas import Drawing, canvas, label_rows, legend, rows_height
from pfltune.report.claims.replayed import Replayed
from pfltune.report.claims.words import title
from pfltune.report.styles import COLOURS, MARKERS

NAME = "orderings"
SPREAD = 0.36  # of a row, in which footings stand one above the other
CAPTION = (
    "Differences of test accuracy, first minus second, with 95 % intervals; filled where the test "
    "tells the difference from 0. Crosses are the paper's own."
)


def drawing_of(found: Replayed) -> Drawing | None:
    """A row for each ordering of accuracies; None where no footing has a difference."""
    told = [v for v in found.verdicts if not isnan(v.difference) and v.pair.figure == TEST.name]
    if not told:
        return None
    pairs = [pair for pair in found.claim.pairs if any(v.pair == pair for v in told)]
    height = rows_height(round(1.4 * len(pairs)))
    figure, axes = canvas("difference of test accuracy, points", "", height)
    axes.axvline(0, color="#57606a", linewidth=1)
    footings = [ground.part.footing for ground in found.grounds]
    offsets = np.linspace(-SPREAD, SPREAD, len(footings) + 2)[1:-1]
    for place, (footing, offset) in enumerate(zip(footings, offsets, strict=True)):
        own = [v for v in told if v.footing == footing]
        rows = np.array([pairs.index(v.pair) for v in own]) + offset
        middle = np.array([100 * v.difference for v in own])
        ends = np.array([[100 * v.interval.low, 100 * v.interval.high] for v in own]).T
        colour = COLOURS[place % len(COLOURS)]
        told_apart = [v.word in ("holds", "reversed") for v in own]
        if own:
            axes.hlines(rows, *ends, color=colour, linewidth=1.2)
            axes.scatter(
                middle,
                rows,
                marker=MARKERS[place % len(MARKERS)],
                edgecolors=colour,
                facecolors=[colour if filled else "white" for filled in told_apart],
                s=28,
                zorder=3,
                label=TITLES[footing],
            )
    printed = [(found.claim.printed(pair), row) for row, pair in enumerate(pairs)]
    known = [(value, row) for value, row in printed if value is not None]
    if known:
        axes.scatter(*zip(*known, strict=True), marker="x", color="black", s=22, label="the paper")
    label_rows(axes, [title(pair) for pair in pairs])
    legend(figure, axes)
    return Drawing(NAME, CAPTION, figure)
