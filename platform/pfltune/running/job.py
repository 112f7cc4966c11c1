"""What a session runs and how it shows where it stands."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from pfltune.data.census import Census
from pfltune.federation.federation import Federation
from pfltune.federation.setup import check_optimizer
from pfltune.knobs import Knob, Value, defaults_of
from pfltune.method import Method
from pfltune.metrics import measures
from pfltune.record import Asked, Record
from pfltune.registry import find_method, short_name
from pfltune.running.hardware import Hardware
from pfltune.running.trial_options import TrialOptions
from pfltune.scenario import Scenario
from pfltune.search.dealer import Dealer
from pfltune.search.plan import Plan
from pfltune.stages import Stage
from pfltune.tracking.events import Event


@dataclass(frozen=True, kw_only=True)
class Job(ABC):
    """A comparison, the search of one method or a study: what is asked for, all of it checked.

    Attributes:
        name: of the MLflow experiment and of the folder in results.
        command: of the command line and the Python interface, which resumes it.
        scenario: what is compared on.
        plan: what there is to do.
        hardware: what it runs on.
        asked: what touches no figure.
        results: the results folder.
        sweep: the name of the sweep of which it is a cell, which resumes it; empty if of none.
        claim: the name of the claim's replay that it is a part of, which resumes it; likewise.
        tags: what MLflow is told of what it belongs to.
        extends: whether it may ask for more than what is there, whose record then asks for it too.
        notes: what the user should know of it, a line each.
    """

    name: str
    command: str
    scenario: Scenario
    plan: Plan
    hardware: Hardware
    asked: Asked
    results: Path
    sweep: str = ""
    claim: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    extends: bool = False
    notes: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Its record, its journal, checkpoints and report."""
        return self.results / self.name

    @property
    def trial_options(self) -> TrialOptions:
        """Checkpoints and limits."""
        return TrialOptions.of(self.asked, self.folder)

    @property
    def way_back(self) -> str:
        """The command that goes on with it, from the folder of its results."""
        if self.claim:
            return f"pfltune claim --resume {self.claim}"
        return f"pfltune {self.command} --resume {self.sweep or self.name}"

    def recorded(self) -> dict[str, Any]:
        """The parts of its record, see :class:`pfltune.record.Record`."""
        return {
            "command": self.command,
            "name": self.name,
            "scenario": self.scenario,
            "methods": self.plan.methods,
            "computing": self.hardware.computing(),
            "asked": self.asked,
            "measures": measures(self.scenario.measured),
            "defaults": {short_name(m): defaults_of(find_method(m)) for m in self.plan.methods},
            **self.own_record(),
        }

    @abstractmethod
    def own_record(self) -> dict[str, Any]:
        """The parts of the record that not every job has alike."""

    @abstractmethod
    def searched(self) -> Mapping[str, tuple[Knob, ...]]:
        """The knobs that its trials vary, by short name of the method.

        Their conditions are on each other: what is held is met.
        """

    @abstractmethod
    def announcement(self) -> str:
        """What is about to happen, in a line."""

    @abstractmethod
    def firsts(self) -> Iterable[Method]:
        """Methods to check the scenario with before anything begins."""

    def check_optimizers(self) -> None:
        """See that methods that need plain SGD get it in every trial.

        Raises:
            UserError: one does not.
        """
        for method in self.firsts():
            check_optimizer(method, self.scenario.protocol.optimizer)

    @abstractmethod
    def first_trials(self) -> Mapping[str, Mapping[str, Value]]:
        """The knobs of each method's first trial, by its reference."""

    @abstractmethod
    def trial_seeds(self) -> Sequence[int]:
        """The seeds that trials may have."""

    @abstractmethod
    def federations(self, federation: Federation) -> Mapping[Stage, Federation]:
        """What the trials of each stage are given."""

    @abstractmethod
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


def once(tell: Callable[[str], object]) -> Callable[[str], None]:
    """Tells each line the first time only, where several jobs say the same."""
    told: set[str] = set()

    def tell_once(line: str) -> None:
        if line not in told:
            told.add(line)
            tell(line)

    return tell_once


Choice = Mapping[str, Sequence[Mapping[str, Value] | None]]
"""What each search of each method chose, by short name; None where every trial failed."""


@dataclass(frozen=True)
class After:
    """What a job waits for.

    Attributes:
        first: the name of a job of the same session, which chooses what this one needs.
        made: the job, of the record and the choice of the first one. It says in a
            :class:`pfltune.UserError` why there can be none.
    """

    first: str
    made: Callable[[Record, Choice], Job]


@dataclass(frozen=True)
class Watched:
    """A job and who watches it.

    Attributes:
        job: what to run. One that waits is like this, but for what is chosen.
        progress: shows where it stands.
        voice: says what happens.
        after: what it waits for; None if it can begin at once.
    """

    job: Job
    progress: Progress
    voice: Voice
    after: After | None = None


DrawPartition = Callable[[Scenario, Census, Path, Callable[[str], object]], list[Path]]
"""Writes who holds what as a table and a picture into a folder; returns the files."""
