"""Where a model is sensitive: each kind of layer kept personal, alone and with the head.

The study of FedPerfix's Table 1 (Sun et al., ICCV 2023, arXiv 2308.09160): FedSim with one personal
part after the other at one learning rate, all seeds the same.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pfltune.budget import Budget
from pfltune.federation.federation import Federation, Rounds
from pfltune.knobs import Knob, Value, knobs_of
from pfltune.method import Method
from pfltune.ranking import Outcome
from pfltune.record import Sensitivity
from pfltune.registry import find_method, make_method
from pfltune.running.job import Job
from pfltune.search.brackets import Brackets
from pfltune.search.candidate import Candidate, confirmation_seed
from pfltune.search.plan import Plan
from pfltune.stages import Stage

METHOD = "fedsim"
KINDS = ("patch_embed", "pos_embed", "norm", "attn", "mlp")
PERSONAL = (
    "all",
    "none",
    "head",
    *(part for kind in KINDS for part in (kind, f"{kind},head")),
)


@dataclass(frozen=True, kw_only=True)
class Study(Job):
    """A sensitivity study.

    Attributes:
        budget: learning rate of every trial, seeds per personal part, the seed of all of them.
    """

    budget: Sensitivity

    def own_record(self) -> dict[str, Any]:
        """The budget of a study."""
        return {"titles": {METHOD: "Sensitivity"}, "budget": self.budget}

    def searched(self) -> dict[str, tuple[Knob, ...]]:
        """The personal part alone."""
        return {METHOD: (knobs_of(find_method(METHOD))["personal"],)}

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


def study_plan(budget: Sensitivity, protocol: Rounds) -> Plan:
    """No search; every trial is a confirmation of one personal part with one seed."""
    trials = len(PERSONAL) * budget.seeds
    return Plan((METHOD,), Budget(generations=(1,), seeds=trials, seed=budget.seed), protocol)


def study_methods(lr: float) -> Iterator[Method]:
    """FedSim with each personal part."""
    for part in PERSONAL:
        yield make_method(METHOD, {"lr": lr, "personal": part})


class GridDealer:
    """Deals the trials of a study."""

    def __init__(self, study: Study) -> None:
        self._study = study
        self._dealt = 0
        self.brackets = Brackets(study.plan)

    @property
    def exhausted(self) -> bool:
        """Whether all have been dealt."""
        return self._dealt == self._study.plan.budget.seeds

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
