"""Where a model is sensitive: each kind of layer kept personal, alone and with the head.

The study of FedPerfix's Table 1 (Sun et al., ICCV 2023, arXiv 2308.09160): FedSim with one personal
part after the other at one learning rate, all seeds the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pfltune.budget import Budget
from pfltune.federation.federation import Federation
from pfltune.knobs import Value, defaults_of
from pfltune.method import Method
from pfltune.ranking import Outcome
from pfltune.record import Asked, Sensitivity
from pfltune.registry import find_method, make_method
from pfltune.running.hardware import Hardware
from pfltune.running.trial_options import TrialOptions
from pfltune.scenario import Scenario
from pfltune.search.candidate import Candidate, Stage, confirmation_seed
from pfltune.search.plan import Plan

METHOD = "fedsim"
KINDS = ("patch_embed", "pos_embed", "norm", "attn", "mlp")
PERSONAL = (
    "all",
    "none",
    "head",
    *(part for kind in KINDS for part in (kind, f"{kind},head")),
)


@dataclass(frozen=True)
class Study:
    """A sensitivity study; see :class:`pfltune.running.job.Job`.

    Attributes:
        name: of the MLflow experiment and of the folder in results.
        scenario: what is compared on.
        budget: learning rate of every trial, seeds per personal part, the seed of all of them.
        hardware: what it runs on.
        asked: what touches no figure.
        results: the results folder.
        command: of the command line, which resumes it.
    """

    name: str
    scenario: Scenario
    budget: Sensitivity
    hardware: Hardware
    asked: Asked
    results: Path
    command: str = "sensitivity"

    @property
    def folder(self) -> Path:
        """Record, journal, checkpoints, table and figure."""
        return self.results / self.name

    @property
    def trial_options(self) -> TrialOptions:
        """Checkpoints and limits."""
        return TrialOptions.of(self.asked, self.folder)

    @property
    def trials(self) -> int:
        """How many there are."""
        return len(PERSONAL) * self.budget.seeds

    @property
    def plan(self) -> Plan:
        """No search; every trial is a confirmation of one personal part with one seed."""
        budget = Budget(trials=1, seeds=self.trials, seed=self.budget.seed)
        return Plan((METHOD,), budget, self.scenario.protocol)

    def recorded(self) -> dict[str, Any]:
        """The parts of its record, see :class:`pfltune.record.Record`."""
        return {
            "command": self.command,
            "name": self.name,
            "scenario": self.scenario,
            "methods": (METHOD,),
            "titles": {METHOD: "Sensitivity"},
            "budget": self.budget,
            "computing": self.hardware.computing(),
            "asked": self.asked,
            "defaults": {METHOD: defaults_of(find_method(METHOD))},
        }

    def announcement(self) -> str:
        """What is about to happen, in a line."""
        return (
            f"{len(PERSONAL)} personal parts, {self.budget.seeds} seeds each, "
            f"{self.scenario.protocol.rounds} rounds, {self.hardware.workers} trials side by side "
            f"in {self.hardware.compute.precision}"
        )

    def firsts(self) -> Iterator[Method]:
        """FedSim with each personal part."""
        return study_methods(self.budget.lr)

    def federations(self, federation: Federation) -> dict[Stage, Federation]:
        """Nothing is searched."""
        return {"confirm": federation}

    def dealer(self) -> "GridDealer":
        """The trials, one part after the other."""
        return GridDealer(self)


def study_methods(lr: float) -> Iterator[Method]:
    """FedSim with each personal part."""
    for part in PERSONAL:
        yield make_method(METHOD, {"lr": lr, "personal": part})


class GridDealer:
    """Deals the trials of a study."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._dealt = 0

    @property
    def exhausted(self) -> bool:
        """Whether all have been dealt."""
        return self._dealt == self._study.trials

    def deal(self) -> Candidate | None:
        """The next trial."""
        if self.exhausted:
            return None
        index = self._dealt
        self._dealt += 1
        part, number = divmod(index, self._study.budget.seeds)
        seed = confirmation_seed(self._study.budget.seed, number)
        knobs: dict[str, Value] = {"lr": self._study.budget.lr, "personal": PERSONAL[part]}
        return Candidate(METHOD, "confirm", index, generation=-1, seed=seed, knobs=knobs)

    def complete(self, candidate: Candidate, outcome: Outcome) -> None:
        """Nothing follows from an outcome."""

    def best(self) -> dict[str, Mapping[str, Value] | None]:
        """What all trials have in common."""
        return {METHOD: {"lr": self._study.budget.lr}}
