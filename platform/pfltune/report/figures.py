"""The figures of a report; one style per method in all of them."""

from pathlib import Path

from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing
from pfltune.report.clients import client_accuracies, gain_over_local, paired_clients
from pfltune.report.curves import (
    accuracy_over_bytes,
    accuracy_vs_communication,
    learning_curves,
    to_target,
)
from pfltune.report.search_figures import best_so_far, knob_contour, knob_slices

FIGURES = (
    accuracy_vs_communication,
    learning_curves,
    accuracy_over_bytes,
    to_target,
    client_accuracies,
    gain_over_local,
    paired_clients,
    best_so_far,
    knob_slices,
    knob_contour,
)


def write_figures(analysis: Analysis, folder: Path) -> list[Drawing]:
    """Draw every figure that the comparison has figures for, as PNG, PDF and SVG.

    Returns:
        The figures in the order in which a report shows them; none without a confirmed method.
    """
    if not analysis.result.confirmed:
        return []
    drawn = [draw(analysis) for draw in FIGURES]
    drawings = [drawing for drawing in drawn if drawing is not None]
    for drawing in drawings:
        drawing.write(folder)
    return drawings
