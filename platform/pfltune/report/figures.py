"""The figures of a report; one colour per method in all of them."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from pfltune.report.results import ComparisonResult, MethodResult

# Okabe and Ito's palette, told apart by colour-blind readers, with markers for print in grey.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX*"


def write_figures(result: ComparisonResult, folder: Path) -> list[str]:
    """Draw every figure as PNG and SVG; returns their names without suffix."""
    mpl.rcParams["svg.hashsalt"] = "pfltune"
    styles = _styles(result)
    shown = [method for method in result.methods if method.runs]
    figures = {
        "learning-curves": _learning_curves(shown, styles),
        "accuracy-vs-communication": _accuracy_vs_communication(shown, styles),
    }
    for name, figure in figures.items():
        figure.savefig(folder / f"{name}.png", dpi=150)
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    return list(figures)


def _styles(result: ComparisonResult) -> dict[str, dict[str, Any]]:
    names = sorted(method.name for method in result.methods)
    return {
        name: {"color": COLOURS[i % len(COLOURS)], "marker": MARKERS[i % len(MARKERS)]}
        for i, name in enumerate(names)
    }


def _canvas(xlabel: str, ylabel: str) -> tuple[Figure, Any]:
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    return figure, axes


def _learning_curves(methods: list[MethodResult], styles: dict[str, dict[str, Any]]) -> Figure:
    figure, axes = _canvas("round", "validation accuracy, %")
    for method in methods:
        curves = np.array([run.curves["val/accuracy"] for run in method.runs])
        rounds, values = curves[0, :, 0], 100 * curves[:, :, 1]
        style = styles[method.name]
        axes.plot(rounds, values.mean(0), label=method.title, markersize=4, **style)
        axes.fill_between(
            rounds, values.min(0), values.max(0), color=style["color"], alpha=0.12, linewidth=0
        )
    _legend(figure, axes)
    return figure


def _accuracy_vs_communication(
    methods: list[MethodResult], styles: dict[str, dict[str, Any]]
) -> Figure:
    figure, axes = _canvas("total MB up and down", "test accuracy, %")
    most = max((method.mean("comm/total_mb") for method in methods), default=1.0)
    axes.set_xscale("symlog", linthresh=most / 1000)  # linear near zero, where Local is
    axes.set_xlim(-most / 5000, most * 2)
    axes.xaxis.set_major_formatter("{x:g}")
    for method in methods:
        axes.errorbar(
            method.mean("comm/total_mb"),
            100 * method.mean("selected/test_accuracy"),
            yerr=100 * method.std("selected/test_accuracy"),
            label=method.title,
            linestyle="none",
            capsize=3,
            **styles[method.name],
        )
    _legend(figure, axes)
    return figure


def _legend(figure: Figure, axes: Any) -> None:
    if axes.get_legend_handles_labels()[0]:
        figure.legend(loc="outside right upper", frameon=False)
