"""What is said and shown while a job runs, and what a job gives."""

import logging
from collections.abc import Callable, Mapping
from typing import Protocol

from pfltune.report.claims.notebook import ClaimResults
from pfltune.report.draws_notebook import DrawsResults
from pfltune.report.grid_results import GridResults
from pfltune.report.notebook import Results, SensitivityResults, SweepResults
from pfltune.running.job import Job, Progress, Voice
from pfltune.search.plan import Plan
from pfltune.studies.cells import CellsJob
from pfltune.studies.progress import CellLines, ComparisonLines, SweepLines

log = logging.getLogger("pfltune")

Found = Results | GridResults | SensitivityResults | SweepResults | DrawsResults | ClaimResults


class View(Protocol):
    """What is said and shown while a job runs."""

    @property
    def voice(self) -> Voice:
        """Takes what happens, line by line."""

    def progress(self, job: Job) -> Progress:
        """Shows where a job stands."""

    def sweep_progress(self, plans: Mapping[str, Plan]) -> SweepLines:
        """Shows where the cells of a sweep stand, by what they are called."""

    def show(self, found: Found) -> None:
        """Take what was found, as soon as the report is there and before MLflow is given it."""


class Lines:
    """A view in lines; warnings go to the log.

    Args:
        tell: takes a line.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.voice = Voice(tell, log.warning)

    def progress(self, job: Job) -> Progress:
        """A line now and then."""
        if isinstance(job, CellsJob):
            return CellLines(job.plan, job.told, self.voice.tell, job.scenario.goal)
        return ComparisonLines(job.plan, self.voice.tell, job.scenario.goal)

    def sweep_progress(self, plans: Mapping[str, Plan]) -> SweepLines:
        """A line now and then."""
        return SweepLines(plans, self.voice.tell)

    def show(self, found: Found) -> None:
        """The caller gets it."""


def view_of(progress: bool | View) -> View:
    """One's own, or lines that are printed or logged."""
    if isinstance(progress, bool):
        return Lines(print if progress else log.info)
    return progress
