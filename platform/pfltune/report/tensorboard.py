"""Trials as event files of TensorBoard: a run for each, its figures by round, its knobs."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfltune.errors import UserError
from pfltune.ownership import claim, published, see_own_ground
from pfltune.record import Record
from pfltune.report.results import ToldTrial, begun_journal, find_record, told_trials
from pfltune.storage import open_storage

INSTEAD = "name another folder with --tensorboard"
OTHERS = re.compile(r"[^A-Za-z0-9_.,=+@\[\]-]+")
MS = 1_000.0


@dataclass(frozen=True)
class Point:
    """A figure of a trial after a round.

    Attributes:
        name: of the figure, as in the journal.
        value: of it.
        round: counted from 1.
        time: seconds since the epoch.
    """

    name: str
    value: float
    round: int
    time: float


def export_events(results: Path, name: str, folder: Path) -> int:
    """Write the trials of a comparison, search, grid or study; returns how many there are.

    Each has a folder of its own below its method's, with one file. What was written there before
    for the same comparison is replaced, and nothing else is touched.

    Args:
        results: the results folder.
        name: of the comparison.
        folder: where to; made if need be.

    Raises:
        UserError: there is none of that name, or the folder is not this comparison's.
    """
    record = find_record(results, name)
    journal = begun_journal(results / name, record)
    trials, _ = told_trials(journal.events, record.goal)
    see_own_ground(folder, record.owner, INSTEAD)
    try:
        claim(open_storage(str(folder)), record.owner, str(folder), INSTEAD)
        for trial in trials:
            _write(record, trial, folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}") from error
    return len(trials)


def points_of(trial: ToldTrial) -> Iterator[Point]:
    """All figures of a trial's rounds, and behind them those of its end at its last round."""
    told: set[str] = set()
    for done in trial.rounds:
        told |= done.metrics.keys()
        for name, value in done.metrics.items():
            yield Point(name, value, done.round, done.time / MS)
    if trial.ended is not None:
        for name, value in trial.metrics.items():
            if name not in told:
                yield Point(name, value, max(1, trial.ended.round), trial.ended.time / MS)


def _write(record: Record, trial: ToldTrial, folder: Path) -> None:
    from tensorboardX import SummaryWriter
    from tensorboardX.summary import hparams

    place = folder / _named(trial.started.method) / _named(trial.started.trial)
    with published(place, record.owner, INSTEAD) as draft:
        writer = SummaryWriter(logdir=str(draft))
        for point in points_of(trial):
            writer.add_scalar(point.name, point.value, point.round, walltime=point.time)
        judged = record.goal.best.name
        worth = {judged: trial.metrics[judged]} if judged in trial.metrics else {}
        for summary in hparams(_knobs(trial), worth):
            writer.file_writer.add_summary(summary)
        writer.close()
        (made,) = draft.iterdir()
        # Its own name has the hour, the machine and the process, and would be another each time.
        made.rename(draft / f"events.out.tfevents.{trial.started.time // 1000:010d}.pfltune")


def _knobs(trial: ToldTrial) -> Mapping[str, Any]:
    started = trial.started
    what = {"method": started.method, "stage": started.stage, "seed": started.seed}
    return {**what, **started.knobs}


def _named(text: str) -> str:
    return OTHERS.sub("-", text)
