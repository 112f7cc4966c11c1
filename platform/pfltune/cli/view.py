"""What the commands that run many trials say and show in a terminal."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import click
from rich.console import Console

from pfltune.cli.live import ComparisonProgress, SweepProgress
from pfltune.running.job import Job, Progress, Voice
from pfltune.search.plan import Plan
from pfltune.studies.cells import CellsJob
from pfltune.studies.progress import CellLines, SweepLines


class Terminal:
    """A view on a console; what must be heard goes to standard error.

    Args:
        console: where to say it.
        show: prints what was found.
    """

    def __init__(self, console: Console, show: Callable[[Any], object]) -> None:
        self._console = console
        self._show = show
        self.voice = voice(console)

    def progress(self, job: Job) -> Progress:
        """One live table for a comparison, a line per trial for a grid or study."""
        if isinstance(job, CellsJob):
            tell = partial(self._console.print, soft_wrap=True, highlight=False)
            return CellLines(job.plan, job.told, tell, job.scenario.goal)
        return ComparisonProgress(job.plan, self._console, job.scenario.goal)

    def sweep_progress(self, plans: Mapping[str, Plan]) -> SweepLines:
        """One live table, or lines, for all cells."""
        return SweepProgress(plans, self._console)

    def show(self, found: Any) -> None:
        """Print what was found."""
        self._show(found)


def voice(console: Console) -> Voice:
    """How a session speaks on a console; what must be heard goes to standard error."""
    tell = partial(console.print, soft_wrap=True, highlight=False)
    return Voice(tell, partial(click.echo, err=True))
