"""Several comparisons in one table: a test figure for each scenario, average ranks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from pfltune.goal import Goal
from pfltune.report import words
from pfltune.report.aggregates import Aggregates, aggregate, profiles_figure
from pfltune.report.aggregates_table import (
    AGGREGATE_HEADS,
    aggregate_cells,
    aggregate_columns,
    aggregate_note,
)
from pfltune.report.analysis import Analysis
from pfltune.report.canvas import Drawing, canvas, label_rows, legend, rows_height
from pfltune.report.columns import Column, cells, mean_test, p_value
from pfltune.report.figures import written
from pfltune.report.latex import Tabular, escaped, table_rows
from pfltune.report.markdown import markdown
from pfltune.report.page import grid, pictures, plain_grid, rendered
from pfltune.report.ranks import (
    FEWEST_FOR_PAIRS,
    Ranking,
    critical_difference_diagram,
    rank,
)
from pfltune.report.results import MethodResult
from pfltune.report.spreadsheet import digits
from pfltune.report.spreadsheet import text as csv_text
from pfltune.report.statistics import ALPHA
from pfltune.report.styles import COLOURS, MARKERS, Style, row_styles
from pfltune.report.tuning.versus import sampler_lines, sampler_note
from pfltune.ties import settled

SPREAD = 0.32  # of a row, in which scenarios stand one above the other


@dataclass(frozen=True)
class Scenarios:
    """Comparisons side by side.

    Attributes:
        analyses: one per scenario.
        names: of the scenarios, or of the comparisons where two have one scenario.
        methods: one row each, the best average rank first; methods that miss somewhere come last.
        ranking: of the methods that have a figure everywhere.
        styles: by short name of a method.
        aggregates: of the ranked methods, the best average rank first; None with one scenario, and
            where scenarios go by figures that have no mean together.
    """

    analyses: tuple[Analysis, ...]
    names: tuple[str, ...]
    methods: tuple[MethodResult, ...]
    ranking: Ranking
    styles: dict[str, Style]
    aggregates: Aggregates | None

    def found(self, scenario: int, method: MethodResult) -> MethodResult | None:
        """A method's confirmed figures in one scenario."""
        shown = self.analyses[scenario].result.confirmed
        return next((each for each in shown if each.name == method.name), None)

    @property
    def goal(self) -> Goal:
        """What methods are ranked by in the first scenario, and mostly in all."""
        return self.analyses[0].result.goal

    @property
    def are_alike(self) -> bool:
        """Whether all scenarios go by the same figure."""
        return len({analysis.result.goal.name for analysis in self.analyses}) == 1

    @property
    def titles(self) -> dict[str, str]:
        """Of the methods by short name; of two with one title, the short names."""
        number = Counter(method.title for method in self.methods)
        return {m.name: m.title if number[m.title] == 1 else m.name for m in self.methods}


def side_by_side(analyses: Sequence[Analysis], names: Sequence[str] = ()) -> Scenarios:
    """Line the methods of several comparisons up.

    Args:
        analyses: of the comparisons.
        names: what stands above their columns; by default their scenarios, or where two have one
            scenario their own names.
    """
    by_name: dict[str, MethodResult] = {}
    for analysis in analyses:
        for method in analysis.result.methods:
            if not by_name.get(method.name, method).runs or method.name not in by_name:
                by_name[method.name] = method
    ranking = rank({name: [_score(a, name) for a in analyses] for name in by_name})
    places = dict(zip(ranking.names, ranking.ranks, strict=True))
    ordered = sorted(by_name.values(), key=lambda m: (places.get(m.name, np.inf), m.name))
    heads = tuple(names) or _names(analyses)
    runs = {m.name: [_runs(a, m.name) for a in analyses] for m in ordered if m.name in places}
    found = Scenarios(tuple(analyses), heads, tuple(ordered), ranking, row_styles(ordered), None)
    return replace(found, aggregates=aggregate(runs)) if found.are_alike else found


def _names(analyses: Sequence[Analysis]) -> tuple[str, ...]:
    scenarios = tuple(analysis.result.scenario for analysis in analyses)
    distinct = len(set(scenarios)) == len(scenarios)
    return scenarios if distinct else tuple(analysis.result.name for analysis in analyses)


def write_scenarios(scenarios: Scenarios, folder: Path) -> None:
    """Tables, figures and page into ``folder``, made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    drawings = written(
        [
            ("accuracies", lambda: _figures(scenarios)),
            ("critical-difference", lambda: _ranks(scenarios)),
            ("performance-profiles", lambda: profiles(scenarios)),
        ],
        folder,
    )
    texts = {
        "table.md": markdown_table(scenarios, rank_note(scenarios.ranking)),
        "table.tex": latex_table(scenarios, rank_note(scenarios.ranking)),
        "table.csv": csv_table(scenarios),
        "report.html": _page(scenarios, folder, drawings),
    }
    for name, content in texts.items():
        (folder / name).write_text(content, encoding="utf-8")


def scenario_columns(scenarios: Scenarios) -> tuple[Column, ...]:
    """The test figure for each scenario, then the average rank."""
    places = dict(zip(scenarios.ranking.names, scenarios.ranking.ranks, strict=True))

    def average_rank(method: MethodResult) -> float:
        return float(places.get(method.name, np.nan))

    def shown_rank(method: MethodResult) -> str:
        return f"{places[method.name]:.2f}" if method.name in places else "–"

    figures = [_column(scenarios, place) for place in range(len(scenarios.names))]
    return (*figures, Column("average rank", shown_rank, average_rank, "low"))


def profiles(scenarios: Scenarios) -> Drawing | None:
    """The performance profiles; None with one scenario."""
    if scenarios.aggregates is None:
        return None
    return profiles_figure(scenarios.aggregates, scenarios.titles, scenarios.styles, scenarios.goal)


def rank_note(ranking: Ranking) -> str:
    """What the ranks say, and what they do not."""
    if not len(ranking.names):
        return "No method has a confirmed run in every scenario, so there are no ranks."
    many = f"{len(ranking.names)} methods over {ranking.scores.shape[1]} scenarios"
    if not ranking.is_tested:
        return f"Average ranks of {many}; a test needs at least three of both."
    told = f"Average ranks of {many}. Friedman's test by permutation: {p_value(ranking.p)}"
    if ranking.p >= ALPHA:
        return f"{told}: no difference was found among all, so that no pair is to be told apart."
    if not ranking.has_pairs:
        return (
            f"{told}: they differ. Which of them do is not tested with fewer than "
            f"{FEWEST_FOR_PAIRS} scenarios: Nemenyi's critical difference is for many."
        )
    return (
        f"{told}. Average ranks differ at {ALPHA} where they are further apart than "
        f"{ranking.critical_difference:.2f} (Nemenyi's critical difference)."
    )


def _score(analysis: Analysis, name: str) -> float:
    shown = {m.name: settled(m.test) for m in analysis.result.confirmed}
    return shown.get(name, float("nan"))


def _runs(analysis: Analysis, name: str) -> list[float]:
    """Test score of each run of a confirmed method, by study and seed."""
    return next(m.scores("test") for m in analysis.result.confirmed if m.name == name)


def _column(scenarios: Scenarios, place: int) -> Column:
    def text(method: MethodResult) -> str:
        found = scenarios.found(place, method)
        return mean_test(found) if found else "–"

    def value(method: MethodResult) -> float:
        return goal.score(_score(analysis, method.name))

    analysis = scenarios.analyses[place]
    goal = analysis.result.goal
    of = "" if scenarios.are_alike else f" {goal.noun}"
    title = f"{scenarios.names[place]}{of}{goal.unit}"
    return Column(title, text, value, goal.measure.better, analysis.leaders)


def _figures(scenarios: Scenarios) -> Drawing | None:
    """One row per method, one marker per scenario; None where they have no axis in common."""
    if not scenarios.are_alike:
        return None
    shown = [method for method in scenarios.methods if method.runs]
    figure, axes = canvas(scenarios.goal.axis("test"), "", max(rows_height(len(shown)), 1.8))
    offsets = np.linspace(-SPREAD, SPREAD, len(scenarios.names) + 2)[1:-1]
    for place, (name, offset) in enumerate(zip(scenarios.names, offsets, strict=True)):
        there = scenarios.analyses[place]
        values = [there.result.goal.scale * _score(there, method.name) for method in shown]
        axes.plot(
            values,
            np.arange(len(shown)) + offset,
            linestyle="none",
            marker=MARKERS[place % len(MARKERS)],
            color=COLOURS[place % len(COLOURS)],
            label=name,
        )
    label_rows(axes, [scenarios.titles[method.name] for method in shown])
    legend(figure, axes)
    caption = f"Test {scenarios.goal.noun} in each scenario, mean over clients and seeds."
    return Drawing("accuracies", caption, figure)


def _ranks(scenarios: Scenarios) -> Drawing | None:
    """None without scenarios and methods enough to test pairs."""
    if not scenarios.ranking.has_pairs:
        return None
    return critical_difference_diagram(scenarios.ranking, scenarios.titles, scenarios.styles)


def markdown_table(scenarios: Scenarios, told: str) -> str:
    """The table and what is to be told of the ranks."""
    tables = [_lines(scenarios, scenario_columns(scenarios)), [told]]
    if scenarios.aggregates is not None:
        tables += [
            _lines(
                scenarios, aggregate_columns(scenarios.aggregates, scenarios.titles, scenarios.goal)
            ),
            [aggregate_note(scenarios.aggregates, scenarios.titles, scenarios.goal)],
        ]
    return "\n".join("".join(each).rstrip("\n") + "\n" for each in tables)


def _lines(scenarios: Scenarios, columns: Sequence[Column]) -> list[str]:
    heads = ["method", *(column.title for column in columns)]
    rows = [[scenarios.titles[m.name], *cells(m, columns)] for m in scenarios.methods]
    return [markdown([heads, *rows])]


def latex_table(scenarios: Scenarios, ranks: str) -> str:
    """The table for a paper, with what it needs to be understood and what is told of the ranks."""
    results = [analysis.result for analysis in scenarios.analyses]
    told = " ".join((words.accuracy_note(results), words.bold_note(results), ranks))
    caption = f"Test {words.noun_of(results)} by scenario."
    first = _latex(scenarios, scenario_columns(scenarios), caption, told, "scenarios")
    if scenarios.aggregates is None:
        return first
    columns, note = (
        aggregate_columns(scenarios.aggregates, scenarios.titles, scenarios.goal),
        aggregate_note(scenarios.aggregates, scenarios.titles, scenarios.goal),
    )
    return f"{first}\n{_latex(scenarios, columns, 'All scenarios together.', note, 'together')}"


def _latex(
    scenarios: Scenarios, columns: Sequence[Column], caption: str, note: str, label: str
) -> str:
    heads = ["method", *(escaped(column.title) for column in columns)]
    rows = table_rows(columns, scenarios.methods)
    return str(Tabular(heads, rows, caption, escaped(note), f"tab:{label}"))


def csv_table(scenarios: Scenarios) -> str:
    """One row per method, unrounded."""
    columns = scenario_columns(scenarios)
    rows = [
        [
            m.name,
            *(digits(column.value(m)) for column in columns),
            *aggregate_cells(scenarios.aggregates, m, scenarios.goal),
        ]
        for m in scenarios.methods
    ]
    more = AGGREGATE_HEADS if scenarios.aggregates is not None else ()
    return csv_text(["method", *scenarios.names, "average_rank", *more], rows)


def _page(scenarios: Scenarios, folder: Path, drawings: Sequence[Drawing]) -> str:
    results = [analysis.result for analysis in scenarios.analyses]
    statuses = [f"{r.name}: {words.status(r)}" for r in results if r.is_partial]
    return rendered(
        "side_by_side.html.j2",
        title=" + ".join(result.name for result in results),
        statuses=statuses,
        results=grid(scenario_columns(scenarios), scenarios.methods, scenarios.styles),
        accuracy_note=f"{words.accuracy_note(results)} {words.bold_note(results)}",
        rank_note=rank_note(scenarios.ranking),
        samplers=plain_grid(sampler_lines(scenarios.analyses), {}),
        sampler_note=sampler_note(scenarios.analyses),
        together=grid(
            aggregate_columns(scenarios.aggregates, scenarios.titles, scenarios.goal),
            scenarios.methods,
            scenarios.styles,
        ),
        together_note=aggregate_note(scenarios.aggregates, scenarios.titles, scenarios.goal),
        figures=pictures(folder, drawings),
        findings=[
            (name, analysis.result.record.scenario.title, words.finding(analysis))
            for name, analysis in zip(scenarios.names, scenarios.analyses, strict=True)
        ],
        latex=latex_table(scenarios, rank_note(scenarios.ranking)),
    )
