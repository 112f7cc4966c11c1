"""The figures of a report with every digit, for spreadsheets and for whoever computes on."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

from pfltune import figures
from pfltune.figures import PARTS
from pfltune.goal import Goal
from pfltune.report.analysis import Analysis
from pfltune.report.communication import per_client
from pfltune.report.fairness import INDICES, over_runs
from pfltune.report.racing import rows
from pfltune.report.results import ComparisonResult, ConfirmedRun, MethodResult
from pfltune.report.spending import rows as within_rows
from pfltune.report.statistics import Interval

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a formula begins with."""


def csv_table(result: ComparisonResult) -> str:
    """One row per method and seed, and of several studies per study."""
    metrics = sorted({name for m in result.methods for run in m.runs for name in run.metrics})
    places = _places(result)
    rows = [
        [
            method.name,
            *(getattr(run, place) for place in places),
            *(digits(run.metrics.get(name)) for name in metrics),
        ]
        for method in result.methods
        for run in method.runs
    ]
    return text(["method", *places, *metrics], rows)


def csv_clients(result: ComparisonResult) -> str:
    """One row per method, seed and client: accuracies in [0, 1] in the chosen round, and metrics.

    A client has the number that it has in the partition. Of several studies, one row for each.
    """
    places = _places(result)
    names = [figures.ACCURACY.name, *(measure.name for measure in result.measures)]
    heads = [f"{part}_{name}" for name in names for part in PARTS]
    rows = [
        [method.name, *(getattr(run, place) for place in places), client, *map(digits, numbers)]
        for method in result.methods
        for run in method.runs
        for client, *numbers in _of_clients(run)
    ]
    return text(["method", *places, "client", *heads], rows)


def places_of(runs: Iterable[ConfirmedRun]) -> tuple[str, ...]:
    """The columns that say which run a row is of."""
    return ("study", "seed") if any(run.study for run in runs) else ("seed",)


def _places(result: ComparisonResult) -> tuple[str, ...]:
    return places_of(run for method in result.methods for run in method.runs)


def csv_summary(analysis: Analysis) -> str:
    """One row per confirmed method: means, interval, difference to the reference, target.

    What a method has no figure of is empty.
    """
    rows = [summary_row(analysis, method) for method in analysis.result.confirmed]
    heads = list(dict.fromkeys(name for row in rows for name in row))
    return text(heads, [[cell_text(row.get(n)) for n in heads] for row in rows]) if rows else ""


def csv_within(result: ComparisonResult) -> str:
    """One row per confirmed method, figure that adds up, and budget of it; see ``spending``.

    ``ended`` says that all rounds were within the budget.
    """
    found = list(within_rows(result))
    heads = list(found[0]) if found else []
    return text(heads, [[cell_text(value) for value in row.values()] for row in found])


def csv_race(result: ComparisonResult) -> str:
    """One row per hypothesis of a race, with its e-value after each seed."""
    found = list(rows(result))
    heads = list(found[0]) if found else []
    return text(heads, [[cell_text(row[h]) for h in heads] for row in found]) if found else ""


def text(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table as CSV, in which no text is a formula."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(map(_shown, heads))
    writer.writerows(map(_shown, row) for row in rows)
    return buffer.getvalue()


def _shown(cell: object) -> object:
    """A cell as it is; a text that a spreadsheet would compute is quoted, as they do it.

    See OWASP, "CSV Injection". Numbers stay numbers, whatever their sign.
    """
    if not isinstance(cell, str) or not cell.startswith(FORMULA):
        return cell
    with suppress(ValueError):
        float(cell)
        return cell
    return f"'{cell}"


def _of_clients(run: ConfirmedRun) -> Iterator[tuple[float, ...]]:
    """A row for each client that was tested."""
    selected = run.selected
    if selected is None:
        yield from zip(run.indices, run.val, run.test, strict=True)
        return
    clients = selected.get("clients") or range(len(selected["test"]))
    measured = (each[part] for each in selected.get("metrics", ()) for part in PARTS)
    yield from zip(clients, selected["val"], selected["test"], *measured, strict=True)


def summary_row(analysis: Analysis, method: MethodResult) -> dict[str, Any]:
    """What is said of a confirmed method, all figures as they are; None where there is none."""
    interval, reached = analysis.intervals[method.name], analysis.reached[method.name]
    found = analysis.differences.get(method.name)
    protocol = analysis.result.record.scenario.protocol
    gain, goal = analysis.gains.get(method.name), analysis.result.goal
    low, high = ends_of(goal, interval)
    ends = ends_of(goal, found.interval) if found else (None, None)
    apart = (found.higher, found.lower) if found else (0, 0)
    above, below = apart[::-1] if goal.is_minimised else apart
    return {
        "method": method.name,
        "seeds": len(method.seeds),
        **({"studies": len(method.studies)} if method.chosen else {}),
        **method.summary(),
        **{goal.named(each).name: over_runs(method, index) for each, index in INDICES.items()},
        goal.of_table(figures.TEST_LOW).name: low,
        goal.of_table(figures.TEST_HIGH).name: high,
        "difference": goal.score(found.mean) if found else None,
        "difference_low": ends[0],
        "difference_high": ends[1],
        "effect_size": goal.score(found.effect) if found else None,
        "clients_higher": float(above) if found else None,
        "clients_lower": float(below) if found else None,
        "seeds_agreeing": float(found.agreeing) if found else None,
        "p_all_pairs": found.p if found else None,
        "p": found.raw_p if found else None,
        figures.MB_PER_CLIENT.name: per_client(method, protocol),
        "rounds_to_target": float(reached.round) if reached else None,
        "mb_to_target": reached.mb if reached else None,
        "reference": analysis.reference.name if analysis.reference else "",
        "generalises_over": " ".join(found.over) if found else "",
        "verdict": found.verdict if found else "reference",
        "target": goal.score(analysis.target),
        **({"gain_over_start": goal.score(gain.mean), "gain_std": gain.std} if gain else {}),
    }


def ends_of(goal: Goal, interval: Interval) -> tuple[float, float]:
    """The ends of an interval of figures, the lower first."""
    low, high = goal.score(interval.low), goal.score(interval.high)
    return (high, low) if goal.is_minimised else (low, high)


def cell_text(value: object) -> object:
    """A value as it stands in a CSV, numbers with all digits."""
    return digits(value) if value is None or isinstance(value, float) else value


def digits(value: float | None) -> str:
    """All digits; nothing for nothing."""
    return "" if value is None or value != value else repr(float(value))
