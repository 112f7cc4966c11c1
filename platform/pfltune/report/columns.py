"""The columns of a report's tables: what each shows, how it sorts, and which value is best."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pfltune.report.analysis import Analysis
from pfltune.report.communication import per_client
from pfltune.report.results import MethodResult

MINUS = "−"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        title: its heading.
        text: a method's cell.
        value: the number behind it, which sorts; NaN where there is none.
        best: whether the highest or the lowest value is to be striven for; empty if neither.
    """

    title: str
    text: Callable[[MethodResult], str]
    value: Callable[[MethodResult], float]
    best: Literal["", "high", "low"] = ""

    def winners(self, methods: Iterable[MethodResult]) -> set[str]:
        """Short names of the methods whose cell reads like the best one's."""
        shown = [m for m in methods if m.runs and not np.isnan(self.value(m))]
        if not self.best or not shown:
            return set()
        first = (max if self.best == "high" else min)(shown, key=self.value)
        return {method.name for method in shown if self.text(method) == self.text(first)}


def accuracy(method: MethodResult) -> str:
    """Test accuracy, mean ± sample standard deviation over seeds, in percent."""
    mean, std = method.mean("selected/test_accuracy"), method.std("selected/test_accuracy")
    return f"{100 * mean:.2f} ± {100 * std:.2f}"


def local_steps(method: MethodResult) -> str:
    """SGD steps of one trial's training, and after a plus those of adapting before evaluations."""
    figures = method.summary()
    trained, adapted = figures["train/steps"], figures["train/adaptation_steps"]
    return f"{trained:,.0f}" + (f" + {adapted:,.0f}" if adapted else "")


def signed(number: float) -> str:
    """With two digits, and a sign that is as wide as a digit."""
    return f"{number:+.2f}".replace("-", MINUS)


def p_value(p: float) -> str:
    """With as many digits as say something."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _figure(
    title: str,
    metric: str,
    form: str,
    factor: float = 1.0,
    best: Literal["", "high", "low"] = "",
) -> Column:
    """A column of one figure of :meth:`MethodResult.summary`."""

    def value(method: MethodResult) -> float:
        return method.summary().get(metric, float("nan")) * factor

    def text(method: MethodResult) -> str:
        return "–" if np.isnan(value(method)) else form.format(value(method))

    return Column(title, text, value, best)


ACCURACY = Column("test accuracy %", accuracy, lambda m: m.mean("selected/test_accuracy"), "high")
CLIENT_STD = _figure("client std", "test/accuracy_std", "{:.2f}", 100, "low")
WORST = _figure("worst decile %", "test/accuracy_worst_decile", "{:.2f}", 100, "high")
MB_PER_ROUND = _figure("MB per round", "comm/mb_per_round", "{:.3f}")
TOTAL_MB = _figure("total MB", "comm/total_mb", "{:.2f}")
PERSONAL = _figure("personal params", "params/personal", "{:,.0f}")
SHARED = _figure("shared params", "params/shared", "{:,.0f}")
STEPS = Column("local steps", local_steps, lambda method: method.summary()["train/steps"])
SECONDS = _figure("seconds", "time/total_s", "{:.1f}")
PEAK = _figure("peak MB", "memory/peak_mb", "{:,.0f}")
GFLOPS = _figure("GFLOPs per image", "compute/gflops", "{:.4g}")

TERMINAL = (ACCURACY, CLIENT_STD, MB_PER_ROUND, TOTAL_MB, PERSONAL, SHARED, STEPS, SECONDS)


def result_columns(analysis: Analysis) -> tuple[Column, ...]:
    """How good the methods are, and what they send."""
    return (
        ACCURACY,
        _interval(analysis),
        CLIENT_STD,
        WORST,
        *_against_reference(analysis),
        MB_PER_ROUND,
        TOTAL_MB,
    )


def resource_columns(analysis: Analysis) -> tuple[Column, ...]:
    """What the methods cost."""
    return (
        _mb_per_client(analysis),
        MB_PER_ROUND,
        TOTAL_MB,
        _to_target(analysis, "rounds", "round"),
        _to_target(analysis, "MB", "mb"),
        PERSONAL,
        SHARED,
        GFLOPS,
        STEPS,
        SECONDS,
        PEAK,
    )


def cells(method: MethodResult, columns: Iterable[Column]) -> list[str]:
    """A method's row without its name; dashes if no confirmation trial ended."""
    if not method.runs:
        status = "failed" if method.is_over else "not yet"
        return [status, *["–" for _ in columns][1:]]
    return [column.text(method) for column in columns]


def _interval(analysis: Analysis) -> Column:
    def text(method: MethodResult) -> str:
        interval = analysis.intervals[method.name]
        return f"{100 * interval.low:.2f} – {100 * interval.high:.2f}"

    return Column("95 % interval", text, lambda method: analysis.intervals[method.name].low)


def _against_reference(analysis: Analysis) -> tuple[Column, ...]:
    """Nothing where there is nobody to compare with."""
    if analysis.reference is None or not analysis.differences:
        return ()
    title = f"vs. {analysis.reference.title} (95 %)"
    return (
        Column(title, lambda m: _difference(analysis, m), lambda m: _mean(analysis, m)),
        Column("verdict", lambda m: _tested(analysis, m), lambda m: _p(analysis, m)),
    )


def _difference(analysis: Analysis, method: MethodResult) -> str:
    if method is analysis.reference:
        return "reference"
    found = analysis.differences[method.name]
    if np.isnan(found.mean):
        return "–"
    low, high = (signed(100 * each) for each in (found.interval.low, found.interval.high))
    return f"{signed(100 * found.mean)} ({low} to {high})"


def _tested(analysis: Analysis, method: MethodResult) -> str:
    if method is analysis.reference:
        return "–"
    found = analysis.differences[method.name]
    if found.untested:
        return found.verdict
    seeds = f" in {found.agreeing} of {found.seeds} seeds" if found.is_significant else ""
    return f"{found.verdict}{seeds}, {p_value(found.p)}"


def _mean(analysis: Analysis, method: MethodResult) -> float:
    found = analysis.differences.get(method.name)
    return found.mean if found else 0.0


def _p(analysis: Analysis, method: MethodResult) -> float:
    found = analysis.differences.get(method.name)
    return found.p if found else float("nan")


def _mb_per_client(analysis: Analysis) -> Column:
    def value(method: MethodResult) -> float:
        return per_client(method, analysis.result.settings)

    return Column("MB per client and round", lambda method: f"{value(method):.3f}", value)


def _to_target(analysis: Analysis, unit: str, field: Literal["round", "mb"]) -> Column:
    def value(method: MethodResult) -> float:
        return float(getattr(analysis.reached[method.name], field, float("nan")))

    def text(method: MethodResult) -> str:
        if analysis.reached[method.name] is None:
            return "not reached"
        return f"{value(method):,.0f}" if field == "round" else f"{value(method):,.2f}"

    return Column(f"{unit} to {100 * analysis.target:.1f} %", text, value, "low")
