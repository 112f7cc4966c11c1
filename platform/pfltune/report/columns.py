"""The columns of a report's tables: what each shows, how it sorts, and which value is best."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from pfltune import figures
from pfltune.figures import MB_PER_CLIENT, Better, Figure, Measure
from pfltune.goal import MINUS, Goal
from pfltune.report.analysis import Analysis
from pfltune.report.communication import per_client
from pfltune.report.fairness import INDICES, over_runs
from pfltune.report.racing import standing
from pfltune.report.results import MethodResult
from pfltune.report.spending import budgets, in_words, within
from pfltune.report.statistics import Difference
from pfltune.text import count, plain
from pfltune.ties import settled

PLUS_MINUS = " ± "
NO_FIGURE = "–"
ENDED = " *"
"""Behind an accuracy within a budget that was not spent: all rounds are within it."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        text: a method's cell.
        value: the number behind it, which sorts; NaN where there is none.
        best: whether the highest or the lowest value is to be striven for; empty if neither.
        leaders: short names of those that are ahead, where that is more than a look at figures.
    """

    title: str
    text: Callable[[MethodResult], str]
    value: Callable[[MethodResult], float]
    best: Better = ""
    leaders: frozenset[str] | None = None

    def winners(self, methods: Iterable[MethodResult]) -> set[str]:
        """Short names of the leaders, or of the methods whose figure reads like the best one's.

        None where that are all: then no method is ahead of another.
        """
        shown = [m for m in methods if m.runs and not np.isnan(self.value(m))]
        if not self.best or not shown:
            return set()
        first = (max if self.best == "high" else min)(shown, key=self.value)
        best = {m.name for m in shown if self._is_ahead(m, first)}
        return best if len(best) < len(shown) else set()

    def _is_ahead(self, method: MethodResult, first: MethodResult) -> bool:
        if self.leaders is not None:
            return method.name in self.leaders
        return self._figure(method) == self._figure(first)

    def _figure(self, method: MethodResult) -> str:
        """What a cell shows, without its spread."""
        return self.text(method).removesuffix(ENDED).partition(PLUS_MINUS)[0]


def mean_test(method: MethodResult) -> str:
    """The test figure, mean ± sample standard deviation over seeds; of one, no spread."""
    return with_spread(method.goal, method.test, method.score_std())


def with_spread(goal: Goal, mean: float, std: float) -> str:
    """``84.12 ± 0.51``; without a standard deviation the mean alone."""
    return goal.text(mean) + ("" if np.isnan(std) else f"{PLUS_MINUS}{goal.spread(std)}")


def local_steps(method: MethodResult) -> str:
    """SGD steps of one trial's training, and after a plus those of adapting before evaluations."""
    found = method.summary()
    trained, adapted = found[figures.STEPS.name], found[figures.ADAPTATION_STEPS.name]
    return f"{trained:,.0f}" + (f" + {adapted:,.0f}" if adapted else "")


def signed(number: float) -> str:
    """With two digits, and a sign that is as wide as a digit; what rounds to 0 has none."""
    return f"{number:+.2f}".replace("-", MINUS) if round(number, 2) else "0.00"


def p_value(p: float) -> str:
    """With as many digits as say something."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def bare_p(p: float) -> str:
    """The same below a heading that says what it is."""
    return p_value(p).removeprefix("p ").removeprefix("= ")


def _index(figure: Figure, of: Callable[[np.ndarray], float]) -> Column:
    """How evenly test figures are spread over clients."""

    def value(method: MethodResult) -> float:
        return over_runs(method, of)

    def text(method: MethodResult) -> str:
        return NO_FIGURE if np.isnan(value(method)) else figure.text(value(method))

    return Column(figure.heading, text, value, figure.better)


def _column(figure: Figure, *, bold: bool = False) -> Column:
    """A column of one figure of :meth:`MethodResult.summary`."""

    def value(method: MethodResult) -> float:
        return method.summary().get(figure.name, float("nan"))

    def text(method: MethodResult) -> str:
        return NO_FIGURE if np.isnan(value(method)) else figure.text(value(method))

    return Column(figure.heading, text, value, figure.better if bold else "")


INDEX_COLUMNS = tuple(_index(figure, of) for figure, of in INDICES.items())


def of_tests(goal: Goal) -> Column:
    """The figure that methods are ranked by."""
    value = partial(_figure, goal)
    return Column(goal.heading(), mean_test, value, goal.measure.better)


def _figure(goal: Goal, method: MethodResult) -> float:
    return goal.score(settled(method.test))


def client_std(goal: Goal) -> Column:
    """How it spreads over clients."""
    return _column(goal.of_table(figures.TEST_STD), bold=True)


def worst_decile(goal: Goal) -> Column:
    """How it is where it is worst."""
    return _column(goal.of_table(figures.TEST_WORST), bold=True)


MB_PER_ROUND = _column(figures.MB_PER_ROUND)
TOTAL_MB = _column(figures.TOTAL)
PERSONAL = _column(figures.PERSONAL)
SHARED = _column(figures.SHARED)
STEPS = Column(
    figures.STEPS.heading, local_steps, lambda method: method.summary()[figures.STEPS.name]
)
SECONDS = _column(figures.SECONDS)
PEAK = _column(figures.PEAK)
GFLOPS = _column(figures.GFLOPS)
OPERATIONS = Column("operations", lambda m: _operations(m), lambda m: _pflop(m))
ROUNDS = Column(
    "rounds",
    lambda method: figures.ROUNDS.text(method.mean(figures.ROUNDS.name)),
    lambda method: method.mean(figures.ROUNDS.name),
)


def terminal_columns(goal: Goal) -> tuple[Column, ...]:
    """Those of a terminal, the most telling ones first."""
    shown = (MB_PER_ROUND, TOTAL_MB, PERSONAL, SHARED, STEPS, SECONDS)
    return (of_tests(goal), client_std(goal), *shown)


def result_columns(analysis: Analysis) -> tuple[Column, ...]:
    """How good the methods are, and what they send."""
    goal = analysis.result.goal
    return (
        _tested(analysis),
        _interval(analysis),
        client_std(goal),
        worst_decile(goal),
        *INDEX_COLUMNS,
        *_sometimes(analysis),
        *_against_reference(analysis),
        MB_PER_ROUND,
        TOTAL_MB,
    )


def _sometimes(analysis: Analysis) -> tuple[Column, ...]:
    """Other figures of the same round, of which there are any."""
    result, goal = analysis.result, analysis.result.goal
    told = (() if goal.is_accuracy else (figures.ACCURACY,)) + result.measures
    columns = (
        *(_measured(each) for each in told if each.name != goal.name),
        _of_all(goal, figures.POOLED, "all clients together"),
        _of_all(goal, figures.GLOBAL, "global model"),
        _measured(goal.measure, goal.unseen.name, f"unseen clients{goal.unit}"),
    )
    return tuple(c for c in columns if any(not np.isnan(c.value(m)) for m in result.confirmed))


def _of_all(goal: Goal, ending: str, title: str) -> Column:
    name = figures.selected("test", goal.name + ending)
    return _measured(goal.measure, name, title + goal.unit)


def resource_columns(analysis: Analysis) -> tuple[Column, ...]:
    """What the methods cost."""
    return (
        _mb_per_client(analysis),
        MB_PER_ROUND,
        TOTAL_MB,
        *_to_targets(analysis),
        PERSONAL,
        SHARED,
        GFLOPS,
        *_spending(analysis),
        STEPS,
        OPERATIONS,
        SECONDS,
        PEAK,
    )


def _pflop(method: MethodResult) -> float:
    return method.summary().get(figures.PFLOP.name, float("nan"))


def _operations(method: MethodResult) -> str:
    """Those of local training, in the unit that suits each."""
    number = _pflop(method)
    return NO_FIGURE if np.isnan(number) else in_words(figures.PFLOP, number)


def within_columns(analysis: Analysis, figure: Figure) -> tuple[Column, ...]:
    """The test figure within each of some budgets of a figure."""
    goal = analysis.result.goal
    return tuple(_within(goal, figure, budget) for budget in budgets(analysis.result, figure))


def _within(goal: Goal, figure: Figure, budget: float) -> Column:
    def text(method: MethodResult) -> str:
        found = within(method, figure, budget)
        if np.isnan(found.mean):
            return NO_FIGURE
        return method.goal.text(found.mean) + (ENDED if found.ended else "")

    def value(method: MethodResult) -> float:
        return goal.score(settled(within(method, figure, budget).mean))

    return Column(in_words(figure, budget), text, value, goal.measure.better)


def cells(method: MethodResult, columns: Iterable[Column]) -> list[str]:
    """A method's row without its name; dashes if no confirmation trial ended."""
    if not method.runs:
        status = ("too many MB" if method.unfit else "failed") if method.is_over else "not yet"
        return [status, *[NO_FIGURE for _ in columns][1:]]
    return [column.text(method) for column in columns]


def _measured(measure: Measure, of: str = "", title: str = "") -> Column:
    """A figure of the chosen round beside the one that methods are ranked by, mean over seeds.

    Args:
        measure: how it is written.
        of: its name; by default the mean over clients of their test samples.
        title: of the column.
    """
    name = of or figures.selected("test", measure.name)

    def value(method: MethodResult) -> float:
        return method.mean(name) if all(name in run.metrics for run in method.runs) else np.nan

    def text(method: MethodResult) -> str:
        if np.isnan(value(method)):
            return NO_FIGURE
        spread = method.std(name)
        mean = measure.text(value(method))
        return mean if np.isnan(spread) else mean + PLUS_MINUS + measure.text(spread)

    return Column(title or plain(measure.heading), text, value, measure.better)


def _tested(analysis: Analysis) -> Column:
    """In bold are all that are not told apart from the best."""
    return replace(of_tests(analysis.result.goal), leaders=analysis.leaders)


def _interval(analysis: Analysis) -> Column:
    def text(method: MethodResult) -> str:
        interval = analysis.intervals[method.name]
        if np.isnan(interval.low):
            return NO_FIGURE
        return " – ".join(map(goal.written_as, goal.span(interval.low, interval.high)))

    goal = analysis.result.goal

    def value(method: MethodResult) -> float:
        interval = analysis.intervals[method.name]
        return goal.span(interval.low, interval.high)[0]

    return Column("95 % interval", text, value)


def _against_reference(analysis: Analysis) -> tuple[Column, ...]:
    """Nothing where there is nobody to compare with."""
    if not is_compared(analysis):
        return ()
    verdict = Column(
        "test, all pairs together", lambda m: _verdict(analysis, m), lambda m: _p(analysis, m)
    )
    effect = Column(
        "effect size", lambda m: _effect_text(analysis, m), lambda m: _effect(analysis, m)
    )
    difference = _difference_column(analysis, "95 %, all pairs together")
    return (difference, _race_column(analysis) or verdict, effect)


def paper_columns(analysis: Analysis) -> tuple[Column, ...]:
    """Of the result table in a paper: what was found, and what it took."""
    p = Column("p", lambda m: _bare_p(analysis, m), lambda m: _p(analysis, m))
    race = _race_column(analysis)
    compared: list[Column] = []
    if is_compared(analysis):
        compared = [_difference_column(analysis, "95 %"), *([race] if race else [])]
    if analysis.is_tested:
        compared.append(p)
    goal = analysis.result.goal
    return (
        _tested(analysis),
        _interval(analysis),
        *compared,
        client_std(goal),
        worst_decile(goal),
        TOTAL_MB,
        PERSONAL,
    )


def _race_column(analysis: Analysis) -> Column | None:
    """What the race says of each method; None where there was none."""
    race = analysis.result.race
    if race is None:
        return None
    return Column("race", lambda m: standing(race, m.name), lambda _: float("nan"))


def is_compared(analysis: Analysis) -> bool:
    """Whether there are two methods to compare."""
    return analysis.reference is not None and bool(analysis.differences)


def _difference_column(analysis: Analysis, of_interval: str) -> Column:
    to = analysis.reference.title if analysis.reference else ""
    title = f"difference to {to}"
    if analysis.is_tested:
        title += f" ({of_interval})"
    elif analysis.result.budget.decide is not None:
        title += " (95 % each)"
    return Column(title, lambda m: _difference(analysis, m), lambda m: _mean(analysis, m))


def _difference(analysis: Analysis, method: MethodResult) -> str:
    if method is analysis.reference:
        return "reference"
    found = analysis.differences[method.name]
    if np.isnan(found.mean):
        return NO_FIGURE
    return difference_text(analysis.result.goal, found)


def difference_text(goal: Goal, found: Difference) -> str:
    """``+1.20 (−0.10 to +2.50)``, in the figure's own unit."""
    if np.isnan(found.interval.low):
        return goal.signed(found.mean)
    low, high = map(goal.written, goal.span(found.interval.low, found.interval.high))
    return f"{goal.signed(found.mean)} ({low} to {high})"


def _verdict(analysis: Analysis, method: MethodResult) -> str:
    if method is analysis.reference:
        return NO_FIGURE
    found = analysis.differences[method.name]
    if found.untested:
        return found.verdict
    seeds = f" in {found.agreeing} of {count(found.seeds, 'seed')}" if found.is_significant else ""
    return f"{found.verdict}{seeds}, {p_value(found.p)}"


def _bare_p(analysis: Analysis, method: MethodResult) -> str:
    if np.isnan(_p(analysis, method)):
        return NO_FIGURE
    return bare_p(_p(analysis, method))


def _effect_text(analysis: Analysis, method: MethodResult) -> str:
    value = _effect(analysis, method)
    return NO_FIGURE if np.isnan(value) else signed(value)


def _effect(analysis: Analysis, method: MethodResult) -> float:
    found = analysis.differences.get(method.name)
    return analysis.result.goal.score(found.effect) if found else float("nan")


def _mean(analysis: Analysis, method: MethodResult) -> float:
    found = analysis.differences.get(method.name)
    return analysis.result.goal.score(found.mean) if found else 0.0


def _p(analysis: Analysis, method: MethodResult) -> float:
    found = analysis.differences.get(method.name)
    return found.p if found else float("nan")


def _mb_per_client(analysis: Analysis) -> Column:
    def value(method: MethodResult) -> float:
        return per_client(method, analysis.result.record.scenario.protocol)

    return Column(MB_PER_CLIENT.heading, lambda method: MB_PER_CLIENT.text(value(method)), value)


def _spending(analysis: Analysis) -> tuple[Column, ...]:
    """The rounds, where each trial has as many as its budget holds."""
    return () if analysis.result.record.scenario.protocol.budget is None else (ROUNDS,)


def _to_targets(analysis: Analysis) -> tuple[Column, ...]:
    """Nothing where no figure says what a target would be."""
    if not analysis.result.confirmed:
        return ()
    return _to_target(analysis, "rounds", "round"), _to_target(analysis, "MB", "mb")


def _to_target(analysis: Analysis, unit: str, field: Literal["round", "mb"]) -> Column:
    def value(method: MethodResult) -> float:
        return float(getattr(analysis.reached[method.name], field, float("nan")))

    def text(method: MethodResult) -> str:
        if analysis.reached[method.name] is None:
            return "not reached"
        return f"{value(method):,.0f}" if field == "round" else f"{value(method):,.2f}"

    goal = analysis.result.goal
    return Column(f"{unit} to {goal.target_text(analysis.target)}", text, value, "low")
