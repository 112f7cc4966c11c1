"""A leaderboard: what all comparisons of a results folder confirmed, ground by ground."""

import json
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pfltune import figures
from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.goal import Goal
from pfltune.ownership import published
from pfltune.record import RECORD, Record, read_record
from pfltune.report.columns import NO_FIGURE, mean_test
from pfltune.report.page import NO_COLOUR, Cell, Grid, Row, rendered
from pfltune.report.results import ComparisonResult, MethodResult, read_results
from pfltune.report.spreadsheet import digits, text
from pfltune.text import count, in_short, plain
from pfltune.ties import best_first

FOLDER, PAGE, TABLE = "leaderboard", "leaderboard.html", "leaderboard.csv"
OWNER = "pfltune's leaderboard"
INSTEAD = "name another folder with --out"


@dataclass(frozen=True)
class Entry:
    """A method as it was confirmed, in one comparison or with the same figures in several.

    Attributes:
        method: its row.
        comparisons: names.
        trials: search trials that chose it.
        partial: whether seeds of it are still to come.
    """

    method: MethodResult
    comparisons: tuple[str, ...]
    trials: int
    partial: bool

    @property
    def same(self) -> object:
        """What entries with the same trials have alike."""
        tests = tuple((run.study, run.seed, run.score("test")) for run in self.method.runs)
        return self.method.name, tuple(sorted(self.method.best.items())), tests


@dataclass(frozen=True)
class Ground:
    """What rows can be compared on: the same data, clients, start weights, rules and figure.

    Attributes:
        record: of one of its comparisons.
        entries: the best test figure first.
    """

    record: Record
    entries: tuple[Entry, ...]

    @property
    def goal(self) -> Goal:
        """What they are ranked by."""
        return self.record.goal


@dataclass(frozen=True)
class Leaderboard:
    """All grounds of a results folder.

    Attributes:
        grounds: those with most entries first, then by name of the scenario.
        skipped: comparisons that cannot be read, each with a reason.
        damaged: of comparisons that are shown what is wrong with their journals, whose rest is left
            out.
    """

    grounds: tuple[Ground, ...]
    skipped: tuple[tuple[str, str], ...]
    damaged: tuple[str, ...] = ()


def read_leaderboard(results: Path) -> Leaderboard:
    """What has been confirmed so far in a results folder.

    Grids and sensitivity studies, which confirm nothing, are left out.

    Args:
        results: the results folder.
    """
    found: dict[str, list[ComparisonResult]] = defaultdict(list)
    skipped: list[tuple[str, str]] = []
    damaged: list[str] = []
    for path in sorted([*results.glob(f"*/{RECORD}"), *results.glob(f"*/*/{RECORD}")]):
        folder = path.parent
        try:
            record = read_record(folder)
            if record is None or not isinstance(record.budget, Budget):
                continue
            result = read_results(folder.parent, folder.name)
            found[_ground_of(record)].append(result)
            damaged += [plain(result.damage)] if result.damage else []
        except UserError as error:
            skipped.append((str(folder.relative_to(results)), plain(str(error))))
    grounds = [Ground(each[0].record, tuple(_entries(each))) for each in found.values()]
    shown = [ground for ground in grounds if ground.entries]
    shown.sort(key=lambda ground: (-len(ground.entries), ground.record.scenario.name))
    return Leaderboard(tuple(shown), tuple(skipped), tuple(damaged))


def write_leaderboard(results: Path, folder: Path | None = None) -> tuple[Path, Leaderboard]:
    """Write page and table; returns the page and what is on it. Writing again replaces them.

    Args:
        results: the results folder.
        folder: where to; None for ``leaderboard`` in the results.

    Raises:
        UserError: no comparison has confirmed anything, or the folder holds somebody else's files.
        OSError: it cannot be written.
    """
    board = read_leaderboard(results)
    if not board.grounds:
        wrong = "".join(f"; {told}" for told in (*board.damaged, *map(": ".join, board.skipped)))
        raise UserError(f"no comparison in {results} has confirmed a method so far{wrong}")
    place = folder or results / FOLDER
    with published(place, OWNER, INSTEAD) as draft:
        (draft / PAGE).write_text(_page(board), encoding="utf-8")
        (draft / TABLE).write_text(_csv(board), encoding="utf-8")
    return place / PAGE, board


def _ground_of(record: Record) -> str:
    return json.dumps([record.goal.name, dict(record.data)], sort_keys=True)


def _entries(results: Sequence[ComparisonResult]) -> Iterator[Entry]:
    once: dict[object, Entry] = {}
    for result in results:
        for method in result.confirmed:
            tuned = result.record.tuned.get(method.method)
            trials = tuned.trials if tuned else method.search_trials
            new = Entry(method, (result.name,), trials, not method.is_over)
            known = once.get(new.same)
            names = (*known.comparisons, result.name) if known else new.comparisons
            once[new.same] = replace(known or new, comparisons=names)
    yield from sorted(
        once.values(), key=lambda each: (best_first(each.method.test), each.method.name)
    )


HEADS = (
    *("seeds", "client std", "worst decile", "total MB", "search trials", "configuration"),
    "comparison",
)


def _page(board: Leaderboard) -> str:
    sections = [
        (plain(ground.record.scenario.title), ground.record.scenario.name, *_shown(ground))
        for ground in board.grounds
    ]
    return rendered(
        "leaderboard.html.j2",
        title="Leaderboard",
        written=f"{datetime.now():%Y-%m-%d %H:%M}",
        sections=sections,
        skipped=board.skipped,
        damaged=board.damaged,
    )


def _shown(ground: Ground) -> tuple[str, Grid]:
    return _told(ground), _grid(ground)


def _told(ground: Ground) -> str:
    goal, protocol = ground.goal, ground.record.scenario.protocol
    return (
        f"{count(len(ground.entries), 'entry')} by test {goal.noun}, the {goal.highest} first; "
        f"{protocol.told}, {count(protocol.sampled_clients, 'client')} a round."
    )


def _grid(ground: Ground) -> Grid:
    goal = ground.goal
    rows = [
        Row(each.method.title, NO_COLOUR, _cells(each, is_first=place == 0), f"{place:06d}")
        for place, each in enumerate(ground.entries)
    ]
    return Grid(["method", goal.heading(), *HEADS], rows)


def _cells(entry: Entry, *, is_first: bool) -> list[Cell]:
    method, goal = entry.method, entry.method.goal
    test, mb = goal.score(method.test), method.mean(figures.TOTAL.name)
    return [
        Cell(mean_test(method), repr(test), is_first),
        _number(len(method.seeds), str(len(method.seeds)) + (" so far" if entry.partial else "")),
        *(_figure(goal, method, ending) for ending in (figures.STD, figures.WORST)),
        _number(mb, figures.TOTAL.text(mb)),
        _number(entry.trials, f"{entry.trials:,}"),
        Cell(in_short(method.best), in_short(method.best), is_best=False),
        Cell(", ".join(entry.comparisons), ", ".join(entry.comparisons), is_best=False),
    ]


def _figure(goal: Goal, method: MethodResult, ending: str) -> Cell:
    value = method.mean(goal.selected("test", ending).name)
    return _number(value, goal.measure.text(value))


def _number(value: float, shown: str) -> Cell:
    known = not math.isnan(value)
    return Cell(shown if known else NO_FIGURE, repr(value) if known else "", is_best=False)


def _csv(board: Leaderboard) -> str:
    heads = ["scenario", "metric", "place", "method", "test", "std_seeds", "seeds", "search_trials"]
    rows = [
        [
            ground.record.scenario.name,
            ground.goal.name,
            place,
            each.method.name,
            digits(ground.goal.score(each.method.test)),
            digits(each.method.score_std()),
            len(each.method.seeds),
            each.trials,
            digits(each.method.mean(figures.TOTAL.name)),
            json.dumps(dict(each.method.best)),
            " ".join(each.comparisons),
        ]
        for ground in board.grounds
        for place, each in enumerate(ground.entries, start=1)
    ]
    return text([*heads, figures.TOTAL.name, "best", "comparisons"], rows)
