"""Charts of MLflow's pages, in the form in which the pages keep what their user has arranged."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pfltune.figures import FIGURES, UNSEEN, Figure

Chart = dict[str, Any]
Axis = Figure | str
"""A metric, or the name of a param."""
UNGROUPED = "Model metrics"
"""How MLflow calls the charts of metrics without a group."""
CARD_HEIGHT = 400


@dataclass(frozen=True)
class Section:
    """Charts below a heading, of which MLflow cuts off what is longer than some 35 letters."""

    title: str
    charts: tuple[Chart, ...]


def line(figure: Figure, by: Figure | None = None) -> Chart:
    """A figure by round, or by what another figure was in the same round."""
    x = {"xAxisKey": "step"} if by is None else {"xAxisKey": "metric"}
    return {
        "type": "LINE",
        "metricKey": figure.name,
        "selectedMetricKeys": [figure.name],
        **x,
        "selectedXAxisMetricKey": "" if by is None else by.name,
        "useGlobalXaxisKey": False,
        "useGlobalLineSmoothing": True,
        "lineSmoothness": 0,
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "range": {},
        "ignoreOutliers": False,
    }


def bar(figure: Figure) -> Chart:
    """A figure of each run, or its mean over each group."""
    return {"type": "BAR", "metricKey": figure.name}


def scatter(x: Axis, y: Axis) -> Chart:
    """A point for each run that has both."""
    return {"type": "SCATTER", "xaxis": _axis(x), "yaxis": _axis(y)}


def contour(x: Axis, y: Axis, z: Figure) -> Chart:
    """A figure over a plane, with a point for each run."""
    return {"type": "CONTOUR", "xaxis": _axis(x), "yaxis": _axis(y), "zaxis": _axis(z)}


def parallel(params: Iterable[str], metrics: Iterable[Figure]) -> Chart:
    """A line for each run that has all of them, coloured by the last metric."""
    return {
        "type": "PARALLEL",
        "selectedParams": list(params),
        "selectedMetrics": [figure.name for figure in metrics],
        "showAllRuns": False,
    }


def arranged(sections: Iterable[Section]) -> dict[str, Any]:
    """The part of a view that says which charts there are; all others stand folded below them."""
    shown = [section for section in sections if section.charts]
    headings = [_heading(section.title, len(section.charts)) for section in shown]
    names = [group for group in _groups() if group not in {section.title for section in shown}]
    return {
        "compareRunCharts": [
            {**chart, "uuid": f"{section.title} {number}", **_placed(section)}
            for section in shown
            for number, chart in enumerate(section.charts)
        ],
        "compareRunSections": [*headings, *map(_folded, names)],
        # Else MLflow puts the headings into the order of the alphabet.
        "isAccordionReordered": True,
        "hideEmptyCharts": True,
        # The list of runs would take half of a narrow window; it stands in the table.
        "runListHidden": True,
    }


def _placed(section: Section) -> Chart:
    return {"metricSectionId": section.title, "deleted": False, "isGenerated": False}


def _heading(title: str, charts: int) -> dict[str, Any]:
    size = {"columns": min(charts, 2), "cardHeight": CARD_HEIGHT}
    return {"uuid": title, "name": title, "display": True, "isReordered": True, **size}


def _folded(name: str) -> dict[str, Any]:
    return {"uuid": name, "name": name, "display": False, "isReordered": False}


def _groups() -> list[str]:
    """The headings below which MLflow itself puts a chart of each metric."""
    groups = {figure.rpartition("/")[0] for figure in FIGURES if not figure.startswith(UNSEEN)}
    return [*sorted(groups - {""}), UNGROUPED]


def _axis(axis: Axis) -> dict[str, str]:
    if isinstance(axis, Figure):
        return {"key": axis.name, "type": "METRIC"}
    return {"key": axis, "type": "PARAM"}
