"""The figures of a grid: lines over one knob, maps over two, small multiples over more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from math import isnan
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.patches import Rectangle

from pfltune.knobs import Value, written
from pfltune.report.canvas import (
    Drawing,
    ShownFigure,
    canvas,
    legend,
    panels,
    place_ticks,
)
from pfltune.report.grid import GridCell, GridResult, label_of
from pfltune.report.grid_words import named, validated
from pfltune.report.styles import Style, styles_of
from pfltune.text import plain

COLUMN, ROW = 0.78, 0.52
"""Inches of a cell of a map."""
FRAME = (0.9, 0.85)
"""Inches beside and above the cells of a map, for its labels."""
LEAST = 2.2
"""Inches of the narrowest map, so that its title has room."""
MAPS_IN_A_ROW = 3
WIDEST = 8.5
"""Inches of maps beside each other."""
MOST_MAPS = 12
"""In one figure; more of them make further figures."""
NO_CELL = "#e3e6ea"
BEST = "#D55E00"


@dataclass(frozen=True)
class Map:
    """The cells of one method over two knobs, at one choice of the others.

    Attributes:
        title: above it; empty where there is only one.
        cells: by the values of the first and the second knob.
    """

    title: str
    cells: Mapping[tuple[Value, Value], GridCell]


def drawings_of(result: GridResult) -> list[tuple[str, "partial[Drawing | None]"]]:
    """Name and maker of each figure."""
    if len(result.over) == 1:
        return [("grid", partial(lines, result))]
    every = maps_of(result)
    groups = [every[first : first + MOST_MAPS] for first in range(0, len(every), MOST_MAPS)]
    names = ["grid" if len(groups) == 1 else f"grid-{n}" for n in range(1, len(groups) + 1)]
    return [
        (name, partial(maps, result, group, name))
        for name, group in zip(names, groups, strict=True)
    ]


def main_figure(result: GridResult) -> Drawing | None:
    """The first of them; None without a figure."""
    return drawings_of(result)[0][1]()


def lines(result: GridResult) -> Drawing | None:
    """The validation figure over one knob, a line for each method with its standard error."""
    if not result.shown:
        return None
    ((knob, values),) = result.over.items()
    places = _places(values)
    figure, axes = canvas(plain(knob), result.goal.axis("validation"))
    styles = styles_of(result.methods)
    for method, title in result.methods.items():
        shown = [cell for cell in result.shown if cell.method == method]
        _line(axes, title, shown, [places[cell.at[knob]] for cell in shown], styles[method])
    _mark_lost(axes, result, knob, places, styles)
    _mark_best(axes, result, places)
    place_ticks(axes, "x", places.values(), [plain(written(value)) for value in places])
    legend(figure, axes)
    return Drawing("grid", _caption(result, [knob], "Band"), figure)


def maps_of(result: GridResult) -> list[Map]:
    """One for each method and each choice of what is over after the second knob."""
    first, second, *others = result.over
    choices = [
        dict(zip(others, values, strict=True))
        for values in product(*(result.over[name] for name in others))
    ]
    return [
        Map(_title(result, title, chosen), _plane(result, method, first, second, chosen))
        for method, title in result.methods.items()
        for chosen in choices
    ]


def maps(result: GridResult, shown: Sequence[Map], name: str) -> Drawing | None:
    """Mean and standard error in each cell, one scale of colours for all maps of the grid."""
    if not result.shown:
        return None
    first, second, *_ = result.over
    figure, grid = _panes(result, len(shown))
    means = [cell.goal.scale * cell.mean for cell in result.shown]
    norm = Normalize(min(means), max(means) if len(set(means)) > 1 else min(means) + 1)
    for axes, each in zip(grid.flat, shown, strict=False):
        _draw_map(axes, result, each, norm)
    for axes in grid.flat[len(shown) :]:
        axes.remove()
    colours = _colours(norm)
    label = result.goal.axis("validation")
    bar = figure.colorbar(colours, ax=grid.ravel().tolist(), label=label)
    bar.outline.set_visible(False)
    return Drawing(name, _caption(result, [first, second], "In each cell mean"), figure)


def _panes(result: GridResult, number: int) -> tuple[ShownFigure, Any]:
    """Axes for so many maps, large enough for the text of their cells."""
    across, downward, *_ = (len(values) for values in result.over.values())
    width = max(LEAST, COLUMN * across + FRAME[0])
    columns = min(number, MAPS_IN_A_ROW, max(1, int(WIDEST / width)))
    rows = -(-number // columns)
    height = ROW * downward + FRAME[1]
    return panels(rows, columns, (width * columns + 1.0, height * rows))


def _draw_map(axes: Any, result: GridResult, shown: Map, norm: Normalize) -> None:
    first, second, *_ = result.over
    across, downward = (result.over[name] for name in (first, second))
    colours, equals = _colours(norm), result.equals
    for (x, one), (y, other) in product(enumerate(across), enumerate(downward)):
        cell = shown.cells[one, other]
        _draw_cell(axes, cell, (x, y), colours, cell is result.best, cell in equals)
    axes.set(xlim=(-0.5, len(across) - 0.5), ylim=(-0.5, len(downward) - 0.5))
    axes.set_xticks(range(len(across)), [plain(written(value)) for value in across])
    axes.set_yticks(range(len(downward)), [plain(written(value)) for value in downward])
    axes.set(xlabel=plain(first), ylabel=plain(second))
    axes.set_title(shown.title)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _draw_cell(
    axes: Any,
    cell: GridCell,
    place: tuple[int, int],
    colours: Any,
    is_best: bool,
    is_equal: bool,
) -> None:
    """A coloured square with its figure; a hatched one where there is none."""
    x, y = place
    has = bool(cell.values)
    colour = colours.to_rgba(cell.goal.scale * cell.mean) if has else to_rgba(NO_CELL)
    axes.add_patch(
        Rectangle(
            (x - 0.5, y - 0.5),
            *(1, 1),
            facecolor=colour,
            edgecolor="white",
            linewidth=1.5,
            hatch="" if has else "////",
        )
    )
    if is_best or is_equal:
        inner = Rectangle((x - 0.44, y - 0.44), 0.88, 0.88, fill=False, **_frame(is_best))
        axes.add_patch(inner)
    axes.text(
        *(x, y, _text(cell)),
        ha="center",
        va="center",
        linespacing=1.25,
        fontweight="bold" if is_best else "normal",
        color=_ink(colour),
    )


def _frame(is_best: bool) -> dict[str, Any]:
    """Keywords of matplotlib for the mark of the best cell, or of one that is not told apart."""
    return {
        "edgecolor": BEST,
        "linewidth": 2.2 if is_best else 1.2,
        "linestyle": "-" if is_best else (0, (2, 2)),
    }


def _text(cell: GridCell) -> str:
    """Two lines: mean, and ± standard error; a third one where seeds are missing."""
    if not cell.values:
        return "failed" if cell.state == "failed" else ""
    lines = validated(cell).replace(" ± ", "\n± ")
    missing = len(cell.values) < cell.planned
    return f"{lines}\n{len(cell.values)} of {cell.planned}" if missing else lines


def _ink(colour: Sequence[float]) -> str:
    """Black or white, whichever stands out more (WCAG's relative luminance)."""
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3]
    )
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"


def _colours(norm: Normalize) -> Any:
    return ScalarMappable(norm, "cividis")


def _line(
    axes: Any, title: str, cells: Sequence[GridCell], at: Sequence[float], style: Style
) -> None:
    """Means, joined where the knob is a number, and a band or bars of one standard error."""
    order = np.argsort(at)
    x = np.array(at)[order]
    scale = cells[0].goal.scale if cells else 1.0
    y = scale * np.array([cells[place].mean for place in order])
    error = abs(scale) * np.array([cells[place].standard_error for place in order])
    is_number = bool(cells) and _is_number(next(iter(cells[0].at.values())))
    look = style.curve if is_number else {**style.points, "linestyle": "none"}
    axes.plot(x, y, label=title, markersize=5, **look)
    if is_number:
        axes.fill_between(x, y - error, y + error, color=style.colour, alpha=0.18, linewidth=0)
    else:
        axes.errorbar(x, y, np.nan_to_num(error), fmt="none", ecolor=style.colour, capsize=3)


def _mark_best(axes: Any, result: GridResult, places: Mapping[Value, float]) -> None:
    if result.best is None:
        return
    (value,) = result.best.at.values()
    ring = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": BEST, "linestyle": ""}
    axes.plot([places[value]], [result.goal.scale * result.best.mean], "o", label="best", **ring)


def _mark_lost(
    axes: Any,
    result: GridResult,
    knob: str,
    places: Mapping[Value, float],
    styles: Mapping[str, Style],
) -> None:
    """A cross at the foot for each cell without a figure since its trials failed."""
    foot = {"transform": axes.get_xaxis_transform(), "clip_on": False, "zorder": 3}
    for cell in result.cells:
        if cell.state == "failed":
            colour = styles[cell.method].colour
            label = f"{cell.title}: failed" if len(result.methods) > 1 else "failed"
            axes.plot([places[cell.at[knob]]], [0.0], "x", color=colour, label=label, **foot)


def _plane(
    result: GridResult, method: str, first: str, second: str, chosen: Mapping[str, Value]
) -> dict[tuple[Value, Value], GridCell]:
    return {
        (cell.at[first], cell.at[second]): cell
        for cell in result.cells
        if cell.method == method and all(cell.at[name] == v for name, v in chosen.items())
    }


def _title(result: GridResult, title: str, chosen: Mapping[str, Value]) -> str:
    parts = [title] if len(result.methods) > 1 else []
    return ", ".join([*parts, *([label_of(chosen)] if chosen else [])])


def _caption(result: GridResult, axes: Sequence[str], spread: str) -> str:
    best = f" Best: {named(result, result.best)}." if result.best else ""
    many = any(not isnan(cell.standard_error) for cell in result.shown)
    of = f" {spread} ± standard error over seeds." if many else " One seed."
    lost = " Hatched or crossed: failed." if any(c.state == "failed" for c in result.cells) else ""
    equal = " Dashed: not told apart from it." if len(axes) > 1 and result.equals else ""
    over = " and ".join(map(plain, axes))
    return f"Validation {result.goal.noun} over {over}.{of}{best}{equal}{lost}"


def _places(values: Sequence[Value]) -> dict[Value, float]:
    """Where each value stands: numbers where they are, others one after the other."""
    if all(map(_is_number, values)):
        return {value: float(value) for value in values}
    return {value: float(place) for place, value in enumerate(values)}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
