"""The result table, for the terminal, for Markdown and for a spreadsheet."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass

from rich import box
from rich.table import Table

from pfltune.report.results import ComparisonResult, MethodResult


@dataclass(frozen=True)
class Column:
    """A column of the table.

    Attributes:
        title: its heading.
        text: a method's cell.
    """

    title: str
    text: Callable[[MethodResult], str]


def accuracy(method: MethodResult) -> str:
    """Test accuracy, mean ± sample standard deviation over seeds, in percent."""
    mean, std = method.mean("selected/test_accuracy"), method.std("selected/test_accuracy")
    return f"{100 * mean:.2f} ± {100 * std:.2f}"


def _figure(metric: str, form: str, factor: float = 1.0) -> Callable[[MethodResult], str]:
    return lambda method: form.format(method.summary()[metric] * factor)


def local_steps(method: MethodResult) -> str:
    """SGD steps of one trial's training, and after a plus those of adapting before evaluations."""
    figures = method.summary()
    trained, adapted = figures["train/steps"], figures["train/adaptation_steps"]
    return f"{trained:,.0f}" + (f" + {adapted:,.0f}" if adapted else "")


COLUMNS = (
    Column("test accuracy %", accuracy),
    Column("client std", _figure("test/accuracy_std", "{:.2f}", 100)),
    Column("MB per round", _figure("comm/mb_per_round", "{:.3f}")),
    Column("total MB", _figure("comm/total_mb", "{:.2f}")),
    Column("personal params", _figure("params/personal", "{:,.0f}")),
    Column("shared params", _figure("params/shared", "{:,.0f}")),
    Column("local steps", local_steps),
    Column("seconds", _figure("time/total_s", "{:.1f}")),
)


def cells(method: MethodResult) -> list[str]:
    """A method's row without its name; dashes if no confirmation trial ended."""
    if not method.runs:
        return ["failed", *["-"] * (len(COLUMNS) - 1)]
    return [column.text(method) for column in COLUMNS]


def terminal_table(result: ComparisonResult) -> Table:
    """For a terminal."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("method", no_wrap=True)
    for column in COLUMNS:
        table.add_column(column.title.replace(" ", "\n"), justify="right", vertical="bottom")
    for method in result.methods:
        table.add_row(method.title, *cells(method))
    return table


def markdown_table(result: ComparisonResult) -> str:
    """For a README."""
    heads = ["method", *(column.title for column in COLUMNS)]
    lines = [heads, ["---", *["---:"] * len(COLUMNS)]]
    lines += [[method.title, *cells(method)] for method in result.methods]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def csv_table(result: ComparisonResult) -> str:
    """For a spreadsheet: one row per method and seed, unrounded."""
    buffer = io.StringIO()
    metrics = sorted({name for m in result.methods for run in m.runs for name in run.metrics})
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["method", "seed", *metrics])
    for method in result.methods:
        for run in method.runs:
            figures = [repr(run.metrics[name]) if name in run.metrics else "" for name in metrics]
            writer.writerow([method.name, run.seed, *figures])
    return buffer.getvalue()
