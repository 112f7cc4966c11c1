"""A partition as a table and a picture: what each client holds, class by class, part by part."""

import textwrap
import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import PolyCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pfltune.data.census import Census
from pfltune.data.names import on_one_line
from pfltune.report.canvas import TEXT_SIZE, styled
from pfltune.report.styles import COLOURS
from pfltune.scenario import Scenario
from pfltune.storage import write_whole

# Inches. Rows and columns of bubbles have their least size as long as the picture is not too large.
GRID_WIDTH, COLUMN = 5.6, (0.14, 0.8)
GRID_HEIGHT, ROW = 3.4, (0.14, 0.3)
LARGEST_GRID = 30.0
BARS, GAP, LINE = 1.1, 0.16, 0.19
BAR = 0.8  # width of a client's bar, in columns
ABOVE, BELOW, RIGHT = 0.25, 0.5, 1.1
LETTER, TITLE_LETTER = 0.07, 0.075
CLIENT_LABEL, CLASS_LABEL = 0.3, 0.13  # from one to the next

LONGEST_NAME, LONGEST_TITLE = 24, 400
CLASS_BUBBLE, DOMAIN_BUBBLE = 1.4, 0.95  # largest diameters in cells; few of a row are large
MOST_INK = 0.5  # share of the grid that bubbles may cover
SMALLEST_BUBBLE = 0.8  # points²: one sample among thousands must still be seen
BUBBLE = {"color": "0.25", "edgecolors": "white"}
PARTS = {"train": COLOURS[0], "val": COLOURS[5], "test": COLOURS[3]}


def write_partition(
    scenario: Scenario, census: Census, folder: Path, tell: Callable[[str], object]
) -> list[Path]:
    """Write partition.csv and partition.png into ``folder``; returns the paths of what is there.

    A picture that cannot be drawn is told in one line: the table is worth having without it.

    Raises:
        OSError: a file cannot be written.
    """
    table, picture = folder / "partition.csv", folder / "partition.png"
    write_whole(table, census.csv().encode(errors="backslashreplace"))
    title = f"{scenario.name}: {scenario.partition.describe()}, data_seed {scenario.data_seed}"
    try:
        drawn = _png(partition_figure(census, title))
    except Exception as error:
        tell(f"the partition's picture cannot be drawn: {' '.join(str(error).split())}")
        return [table]
    write_whole(picture, drawn)
    return [table, picture]


def _png(figure: Figure) -> bytes:
    file = BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # drawn as a box
        figure.savefig(file, dpi=150, format="png")
    return file.getvalue()


def partition_figure(census: Census, title: str) -> Figure:
    """Bubbles of clients × classes, of clients × domains where there are any, and bars of parts.

    A bubble's area is the number of samples.
    """
    with styled():
        return _drawn(census, title)


def _drawn(census: Census, title: str) -> Figure:
    clients = len(census.by_class)
    column = _cell(clients, GRID_WIDTH, COLUMN)
    row = _cell(len(census.class_names), GRID_HEIGHT, ROW)
    bars, by_class, *by_domain = panels = _panels(census, column, row, title)
    _bars(bars, census)
    by_name = census.by_class.sum(1)
    _bubbles(by_class, by_name, census.class_names, (column, row), CLASS_BUBBLE)
    by_class.set_ylabel("class")
    for axes in by_domain:
        by_name, cell = census.by_domain.sum(1), (column, ROW[1])
        _bubbles(axes, by_name, census.domain_names, cell, DOMAIN_BUBBLE)
        axes.set_ylabel("domain")
    _name_clients(bars, census, column)
    bars.set_xlim(-0.5, clients - 0.5)
    return panels[0].figure


def _name_clients(bars: Any, census: Census, column: float) -> None:
    """Below the bars: the names of the clients, upright, or their numbers."""
    clients, names = len(census.by_class), census.client_names
    number = max(CLIENT_LABEL, LETTER * (len(str(clients)) + 1))
    ticks = range(0, clients, _step(clients, column, CLASS_LABEL if names else number))
    bars.set_xticks(ticks)
    if names:
        shown = [_short(names[tick]) for tick in ticks]
        bars.set_xticklabels(shown, rotation=90, parse_math=False)
    bars.set_xlabel("client")


def _panels(census: Census, column: float, row: float, title: str) -> list[Any]:
    """The axes of bars, classes and, if there are any, domains, from below, under the title."""
    names = [_short(name) for name in (*census.domain_names, *census.class_names)]
    left, grid = 0.5 + LETTER * max(map(len, names)), column * len(census.by_class)
    heights = [BARS, row * len(census.class_names)]
    if census.domain_names:
        heights.append(ROW[1] * len(census.domain_names))
    width = left + grid + RIGHT
    lines = textwrap.wrap(on_one_line(title, LONGEST_TITLE), int(width / TITLE_LETTER))
    below = BELOW + LETTER * max(map(len, map(_short, census.client_names)), default=0)
    height = below + sum(heights) + GAP * (len(heights) - 1) + ABOVE + LINE * len(lines)
    figure = Figure(figsize=(width, height))
    figure.text(0.1 / width, 1 - 0.08 / height, "\n".join(lines), va="top", parse_math=False)
    panels: list[Any] = []
    bottom = below
    for each in heights:
        box = (left / width, bottom / height, grid / width, each / height)
        panels.append(figure.add_axes(box, sharex=panels[0] if panels else None))
        bottom += each + GAP
    return panels


def _bubbles(
    axes: Any,
    counts: np.ndarray,
    names: tuple[str, ...],
    cell: tuple[float, float],
    largest: float,
) -> None:
    """One bubble per client and kind.

    Args:
        axes: where.
        counts: samples, (clients, kinds).
        names: of the kinds.
        cell: width and height in inches of one client and kind.
        largest: diameter that a bubble may have, in cells.
    """
    scales = (largest**2 / counts.max(), MOST_INK * 4 / np.pi / counts.mean())
    scale = (72 * min(cell)) ** 2 * min(scales)  # points² per sample, of the square round a bubble
    client, kind = np.nonzero(counts)
    areas = np.maximum(counts[client, kind] * scale, SMALLEST_BUBBLE)
    edges = np.where(areas > 25, 0.3, 0.0)  # a white edge would hide a small bubble
    axes.scatter(client, kind, s=areas, linewidths=edges, clip_on=False, zorder=2, **BUBBLE)
    for shown in _round_numbers(int(counts.max()))[: max(1, len(names) - 1)]:
        axes.scatter([], [], s=max(shown * scale, SMALLEST_BUBBLE), label=f"{shown:,}", **BUBBLE)
    letters = np.sqrt(counts.max() * scale) / TEXT_SIZE  # legends are measured in letters
    _legend(axes, title="samples", handlelength=letters, labelspacing=max(0.4, letters - 1.0))
    axes.set_ylim(len(names) - 0.5, -0.5)
    ticks = range(0, len(names), _step(len(names), cell[1], CLASS_LABEL))
    axes.set_yticks(ticks, [_short(names[tick]) for tick in ticks], parse_math=False)
    axes.grid(color="0.88", linewidth=0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, pad=5, labelbottom=False)


def _bars(axes: Any, census: Census) -> None:
    """Each client's samples by part, stacked."""
    floor = np.zeros(len(census.sizes))
    for part, sizes in zip(census.parts, census.sizes.T, strict=True):
        axes.add_collection(_stacked(floor, floor + sizes, facecolors=PARTS[part], label=part))
        floor += sizes
    axes.autoscale_view()
    axes.set_ylim(bottom=0)
    _legend(axes, reverse=True)
    axes.set_ylabel("samples")
    axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.tick_params(length=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.88", linewidth=0.5)
    axes.set_axisbelow(True)


def _stacked(low: np.ndarray, high: np.ndarray, **options: Any) -> PolyCollection:
    """A bar for each client as one artist: ten thousand of matplotlib's own take 100 MB."""
    left = np.arange(len(low)) - BAR / 2
    sides = np.stack([left, left, left + BAR, left + BAR], axis=1)
    corners = np.stack([sides, np.stack([low, high, high, low], axis=1)], axis=2)
    return PolyCollection(list(corners), **options)


def _legend(axes: Any, **options: Any) -> None:
    """To the right of the panel, from its top."""
    axes.legend(
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        alignment="left",
        frameon=False,
        borderpad=0,
        borderaxespad=1.2,
        **options,
    )


def _cell(count: int, room: float, limits: tuple[float, float]) -> float:
    """The size of one of ``count`` cells in ``room``, all in inches."""
    return min(float(np.clip(room / count, *limits)), LARGEST_GRID / count)


def _step(count: int, cell: float, label: float) -> int:
    """Label every so many of ``count`` cells that labels do not touch."""
    steps = [step * 10**power for power in range(6) for step in (1, 2, 5)]
    return next(step for step in steps if step * cell >= label or step >= count)


def _round_numbers(largest: int) -> list[int]:
    """Up to three numbers for a legend: about the largest, a fourth and a sixteenth of it."""
    numbers = {_rounded_down(largest / part) for part in (1, 4, 16)}
    return sorted(numbers - {0}, reverse=True)


def _rounded_down(number: float) -> int:
    """To 1, 2 or 5 times a power of ten; 0 for less than 1."""
    if number < 1:
        return 0
    power = 10 ** int(np.log10(number))
    return int(max(step for step in (1, 2, 5) if step * power <= number) * power)


def _short(name: str) -> str:
    return on_one_line(name, LONGEST_NAME)
