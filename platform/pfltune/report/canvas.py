"""What all figures share: size, axes, legend, and the formats they are written in."""

import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, NullLocator

from pfltune.storage import remove_files

WIDTH, HEIGHT = 6.4, 3.8  # inches
WIDE = 8.0  # inches from which on a figure takes the whole width of a page
ROW = 0.3  # inches of one method in a figure with a row for each
NOTEBOOK_DPI = 110
PAD = 0.06  # inches round all
DECADES = 3  # of MB below the most that are told from 0
MOST_TICKS = 5  # on an axis of a knob
TEXT_SIZE = 8  # points, of all text in all figures
# TrueType in PDFs, as journals demand; no random names in SVGs. What a stranger named is text: two
# dollars in it are no formula.
SETTINGS = {
    "font.size": TEXT_SIZE,
    **dict.fromkeys(("axes.titlesize", "figure.titlesize", "figure.labelsize"), "medium"),
    "pdf.fonttype": 42,
    "svg.hashsalt": "pfltune",
    "text.parse_math": False,
}
# Without the date, the same figures give the same files.
FORMATS: Mapping[str, dict[str, Any]] = {
    "png": {"dpi": 150},
    "pdf": {"metadata": {"CreationDate": None}},
    "svg": {"metadata": {"Date": None}},
}


class ShownFigure(Figure):
    """A figure that a notebook shows."""

    def png(self) -> bytes:
        """As a notebook shows it."""
        buffer = io.BytesIO()
        with styled():
            self.savefig(buffer, format="png", dpi=NOTEBOOK_DPI)
        return buffer.getvalue()

    _repr_png_ = png


@dataclass(frozen=True)
class Drawing:
    """A figure and what stands below it.

    Attributes:
        name: of its files, without suffix.
        caption: what it shows, in plain text.
        figure: the figure.
    """

    name: str
    caption: str
    figure: ShownFigure

    @property
    def is_wide(self) -> bool:
        """Whether half a page is too narrow for it."""
        width, _ = self.figure.get_size_inches()
        return bool(width > WIDE)

    @property
    def instead(self) -> str:
        """What it is and what its axes are, for who does not see it."""
        labels = [a.get_label_text() for axes in self.figure.axes for a in (axes.yaxis, axes.xaxis)]
        known = dict.fromkeys(filter(None, labels))
        return f"{self.name.replace('-', ' ')}: {'; '.join(known)}"

    def write(self, folder: Path) -> None:
        """As PNG, PDF and SVG."""
        with styled():
            _lay_out(self.figure)
            for suffix, options in FORMATS.items():
                self.figure.savefig(folder / f"{self.name}.{suffix}", **options)

    def remove(self, folder: Path) -> None:
        """What there is of its files."""
        remove_files(folder, (f"{self.name}.{suffix}" for suffix in FORMATS))


def styled() -> AbstractContextManager[None]:
    """What figures are made and written in; a text takes some of it from where it was made."""
    return mpl.rc_context(SETTINGS)


def canvas(xlabel: str, ylabel: str, height: float = HEIGHT) -> tuple[ShownFigure, Any]:
    """A figure with one pair of axes."""
    with styled():
        figure = _figure((WIDTH, height))
        axes = figure.add_subplot()
    dress(axes, xlabel, ylabel)
    return figure, axes


def panels(
    rows: int, columns: int, size: tuple[float, float], **options: Any
) -> tuple[ShownFigure, Any]:
    """A figure with a grid of axes, (rows, columns), of ``size`` inches in all."""
    with styled():
        figure = _figure(size)
        grid = figure.subplots(rows, columns, squeeze=False, **options)
    return figure, grid


def dress(axes: Any, xlabel: str = "", ylabel: str = "") -> None:
    """Labels and a quiet grid."""
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def label_rows(axes: Any, titles: list[str]) -> None:
    """One row per method, the first above."""
    axes.set_yticks(range(len(titles)), titles)
    axes.set_ylim(len(titles) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def rows_height(count: int) -> float:
    """Inches of a figure with ``count`` rows."""
    return 0.9 + ROW * max(count, 2)


def legend(figure: Figure, axes: Any) -> None:
    """Outside, to the right; none if there is nothing to name."""
    outside_legend(figure, [axes])


def outside_legend(figure: Figure, panes: Iterable[Any]) -> None:
    """To the right of all panes, each name once; none if there is nothing to name."""
    handles = {
        label: handle
        for axes in panes
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside right upper", frameon=False)


def whole_numbers(axis: Any) -> None:
    """Ticks of rounds or trials, of which there are no quarters."""
    axis.set_major_locator(MaxNLocator(MOST_TICKS + 3, integer=True))


def is_wide(values: Sequence[float] | np.ndarray) -> bool:
    """Whether values span so much that a logarithmic axis shows them better."""
    low, high = min(values), max(values)
    return bool(low > 0 and high / low >= 10)


def scale(axes: Any, way: Literal["x", "y"], values: Sequence[float] | np.ndarray) -> None:
    """The axis of a knob: logarithmic if its values are wide; few ticks, so that none overlap."""
    axis = axes.xaxis if way == "x" else axes.yaxis
    if not is_wide(values):
        whole = all(float(value).is_integer() for value in values)
        axis.set_major_locator(MaxNLocator(MOST_TICKS, integer=whole))
        return
    axes.set(**{f"{way}scale": "log"})
    decades = np.log10(max(values) / min(values))
    axis.set_major_locator(LogLocator(subs=(1, 3) if decades < 2.5 else (1,), numticks=MOST_TICKS))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def place_ticks(
    axes: Any, way: Literal["x", "y"], places: Iterable[float], labels: Sequence[str]
) -> None:
    """An axis that is ticked where values stand and nowhere else; logarithmic if they are wide."""
    where = list(places)
    if is_wide(where):
        axes.set(**{f"{way}scale": "log"})
    axis = axes.xaxis if way == "x" else axes.yaxis
    axis.set_ticks(where, labels)
    axis.set_minor_locator(NullLocator())


def scale_mb(axes: Any, most: float) -> None:
    """A logarithmic axis of MB that also holds 0, where methods are that send nothing."""
    smallest = 10.0 ** np.floor(np.log10(most or 1.0) - DECADES)
    axes.set_xscale("symlog", linthresh=smallest)
    axes.set_xlim(-smallest / 2, (most or 1.0) * 2)
    axes.xaxis.set_major_formatter("{x:g}")


def _figure(size: tuple[float, float]) -> ShownFigure:
    return ShownFigure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=PAD, h_pad=PAD))


def _lay_out(figure: Figure) -> None:
    """Once for all formats: of a figure with many panels it takes as long as all the rest.

    A figure that still has an engine, be it one that does nothing, is drawn twice for each format.
    """
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)
