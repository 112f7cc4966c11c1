"""What a round would take on a GPU, by torch's counters and by data sheets: nothing is measured.

The time is a roofline (Williams, Waterman and Patterson 2009, doi 10.1145/1498765.1498785) of
each operation by itself, added up: the longer of its arithmetic at the peak for its precision and
its memory traffic at the full bandwidth. Starting kernels, and waiting for the CPU that does, is
not in it, so a GPU takes longer.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pfltune.doctor.cards import CARDS, Card
from pfltune.doctor.counting import HalfPrecision, Meter
from pfltune.doctor.ground import VIT_B, VIT_S, Workload, ground
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method
from pfltune.running.gpu_share import USABLE, share_for
from pfltune.testing.stand_in import STAND_IN, Guard, stand_in

CLIENTS = 8
COHORTS = (1, 2, 8)


@dataclass(frozen=True)
class Counted:
    """A round of federated averaging in bfloat16, counted.

    Attributes:
        workload: backbone and batches; each client takes one local step.
        alone: of :data:`CLIENTS` one after the other.
        together: the same clients at once.
        peaks: most bytes held with so many clients at once.
    """

    workload: Workload
    alone: Meter
    together: Meter
    peaks: Mapping[int, int]

    def cohort_on(self, card: Card) -> int:
        """The largest number of clients at once that a GPU holds, in its usable share; or 0."""
        first, last = COHORTS[-2:]
        each = (self.peaks[last] - self.peaks[first]) / (last - first)
        rest = self.peaks[last] - last * each
        return max(0, int((USABLE * card.memory * 1e9 - rest) / each))

    def trials_on(self, card: Card) -> int:
        """How many trials with clients one by one ``--gpus-per-trial auto`` would put on it."""
        return round(1 / share_for(self.peaks[1] / 1e6, card.memory * 1e3))


@dataclass(frozen=True)
class Foreseen:
    """A round on one GPU.

    Attributes:
        workload, card: by their titles.
        ms: milliseconds of a round, clients one after the other.
        share: what is reached of the peak in bfloat16, from 0 to 1.
        ms_at_once, share_at_once: the same with clients at once.
        trials: side by side, clients one after the other.
        clients: at once, of one trial.
    """

    workload: str
    card: str
    ms: float
    share: float
    ms_at_once: float
    share_at_once: float
    trials: int
    clients: int


def counts(workloads: Iterable[Workload] = (VIT_S, VIT_B)) -> list[Counted]:
    """Rounds on these workloads, counted on the device that stands in for a GPU."""
    return [_counts(workload) for workload in workloads]


def foreseen(counted: Iterable[Counted], cards: Iterable[Card] = CARDS) -> list[Foreseen]:
    """Each workload on each card."""
    known = [*cards]
    return [_foreseen(of, card) for of in counted for card in known]


def metered(workload: Workload, sampled: int, cohort: int) -> Meter:
    """One round of a trial, counted; what its set-up holds is part of the peak.

    Args:
        workload: backbone and batches.
        sampled: clients of the round, of :data:`CLIENTS`.
        cohort: of them at once.
    """
    federation, meter = ground(workload, CLIENTS, sampled), Meter()
    compute = Compute(device=STAND_IN, cohort=cohort)
    with stand_in(), HalfPrecision():
        with Guard(may_wait=True), meter:
            trial = FederatedTrial(Method(), federation, 0, compute)
        with Guard():
            trial.foreseen([0])  # steps that are taken for nothing but their count
        meter.kernels.clear()
        with Guard(), meter:
            trial.step()
    return meter


def _counts(workload: Workload) -> Counted:
    alone = metered(workload, sampled=CLIENTS, cohort=1)
    at_once = {size: metered(workload, sampled=size, cohort=size) for size in COHORTS[1:]}
    peaks = {1: alone.peak, **{size: meter.peak for size, meter in at_once.items()}}
    return Counted(workload, alone, at_once[CLIENTS], peaks)


def _foreseen(of: Counted, card: Card) -> Foreseen:
    alone, together = of.alone.seconds(card), of.together.seconds(card)
    # torch counts convolutions of stacked clients as if each read the images of all.
    least = of.alone.flops / (card.bfloat16 * 1e12)
    return Foreseen(
        of.workload.title,
        card.title,
        1e3 * alone,
        least / alone,
        1e3 * together,
        least / together,
        of.trials_on(card),
        of.cohort_on(card),
    )
