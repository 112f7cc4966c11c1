"""Where a model is sensitive: each kind of layer kept personal, alone and with the head.

The study of FedPerfix's Table 1 (Sun et al., ICCV 2023, arXiv 2308.09160): FedSim with one personal
part after the other at one learning rate, all seeds the same.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pfltune.federation.federation import Rounds
from pfltune.knobs import Knob, knobs_of
from pfltune.layers import PERSONAL
from pfltune.method import Method
from pfltune.record import Sensitivity
from pfltune.registry import find_method, make_method
from pfltune.search.candidate import confirmation_seed
from pfltune.search.plan import Plan
from pfltune.stages import Stage
from pfltune.studies.cells import CellsJob, Configurations, cells_plan

METHOD = "fedsim"


@dataclass(frozen=True, kw_only=True)
class Study(CellsJob):
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
            f"{self.scenario.protocol.told}, {self.hardware.workers} trials side by side "
            f"in {self.hardware.compute.precision}"
        )

    def firsts(self) -> Iterator[Method]:
        """FedSim with each personal part."""
        return study_methods(self.budget.lr)

    @property
    def stage(self) -> Stage:
        """Every part is tested."""
        return "confirm"

    @property
    def cells(self) -> Configurations:
        """One for each personal part."""
        return {METHOD: [{"lr": self.budget.lr, "personal": part} for part in PERSONAL]}

    @property
    def seeds(self) -> Sequence[int]:
        """Fresh ones."""
        return [confirmation_seed(self.budget.seed, n) for n in range(self.budget.seeds)]

    @property
    def told(self) -> Sequence[str]:
        """The personal part."""
        return ("personal",)


def study_plan(budget: Sensitivity, protocol: Rounds) -> Plan:
    """No search; every trial is a confirmation of one personal part with one seed."""
    trials = len(PERSONAL) * budget.seeds
    return cells_plan((METHOD,), trials, budget.seed, protocol, {})


def study_methods(lr: float) -> Iterator[Method]:
    """FedSim with each personal part."""
    for part in PERSONAL:
        yield make_method(METHOD, {"lr": lr, "personal": part})
