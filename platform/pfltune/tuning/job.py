"""What a session runs and how it shows where it stands."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from pfltune.federation.ground import Federation
from pfltune.method import Method
from pfltune.scenario import Scenario
from pfltune.tracking.events import Event
from pfltune.tuning.candidate import Phase
from pfltune.tuning.dealing import Dealer
from pfltune.tuning.endurance import Endurance
from pfltune.tuning.hardware import Hardware
from pfltune.tuning.plan import Plan


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
        """The ground."""

    @property
    def plan(self) -> Plan:
        """What there is to do."""

    @property
    def hardware(self) -> Hardware:
        """What it runs on."""

    @property
    def endurance(self) -> Endurance:
        """Checkpoints and limits."""

    def settings(self) -> dict[str, Any]:
        """The parts of its record, see :class:`pfltune.record.Record`."""

    def announcement(self) -> str:
        """What is about to happen, in a line."""

    def firsts(self) -> Iterable[Method]:
        """Methods to check the scenario with before anything begins."""

    def grounds(self, federation: Federation) -> Mapping[Phase, Federation]:
        """What the trials of each phase are given."""

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
