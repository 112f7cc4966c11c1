"""What a session runs and how it shows where it stands."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pfltune.data.census import Census
from pfltune.federation.federation import Federation
from pfltune.method import Method
from pfltune.running.hardware import Hardware
from pfltune.running.trial_options import TrialOptions
from pfltune.scenario import Scenario
from pfltune.search.candidate import Stage
from pfltune.search.dealer import Dealer
from pfltune.search.plan import Plan
from pfltune.tracking.events import Event


class Job(Protocol):
    """A comparison or a study."""

    @property
    def command(self) -> str:
        """The command that resumes it."""

    @property
    def name(self) -> str:
        """Of the MLflow experiment and of the folder in results."""

    @property
    def results(self) -> Path:
        """The results folder."""

    @property
    def folder(self) -> Path:
        """Settings, journal, checkpoints and report."""

    @property
    def scenario(self) -> Scenario:
        """What is compared on."""

    @property
    def plan(self) -> Plan:
        """What there is to do."""

    @property
    def hardware(self) -> Hardware:
        """What it runs on."""

    @property
    def trial_options(self) -> TrialOptions:
        """Checkpoints and limits."""

    def recorded(self) -> dict[str, Any]:
        """The parts of its record, see :class:`pfltune.record.Record`."""

    def announcement(self) -> str:
        """What is about to happen, in a line."""

    def firsts(self) -> Iterable[Method]:
        """Methods to check the scenario with before anything begins."""

    def federations(self, federation: Federation) -> Mapping[Stage, Federation]:
        """What the trials of each stage are given."""

    def dealer(self) -> Dealer:
        """Deals the trials, from the first one."""


class Progress(Protocol):
    """Shows where a session stands."""

    def apply(self, event: Event) -> None:
        """Take an event into account, of an earlier session too."""

    def start(self) -> None:
        """Begin to show."""

    def close(self) -> None:
        """Leave the last state on the screen."""


@dataclass(frozen=True)
class Voice:
    """How a session speaks to its user, one line at a time.

    Attributes:
        tell: what happens.
        warn: what the user must hear even where only the result is wanted.
    """

    tell: Callable[[str], object]
    warn: Callable[[str], object]


@dataclass(frozen=True)
class Watched:
    """A job and who watches it.

    Attributes:
        job: what to run.
        progress: shows where it stands.
        voice: says what happens.
    """

    job: Job
    progress: Progress
    voice: Voice


DrawPartition = Callable[[Scenario, Census, Path, Callable[[str], object]], list[Path]]
"""Writes who holds what as a table and a picture into a folder; returns the files."""
