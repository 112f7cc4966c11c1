"""On a GPU a method waits for nothing, and what goes there and back is bounded.

Each stage of a comparison is passed through: a search trial one client after the other, without
test data and evaluated right after training; a confirmation trial in cohorts, with test data, a
client that is met at the end, and models that are kept.
"""

from dataclasses import dataclass, replace
from typing import Any

from pfltune.federation.compute import Compute
from pfltune.federation.federation import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Tensors
from pfltune.testing.broken import Broken
from pfltune.testing.federations import Sizes, small_federation
from pfltune.testing.runs import with_hooks
from pfltune.testing.stand_in import STAND_IN, Counter, Guard, Transfers, guarded, stand_in
from pfltune.testing.subject import Subject
from pfltune.wrapped import made_of

CLIENTS = (Sizes(5, 3, 4), Sizes(9, 4, 3))
NEWCOMER = len(CLIENTS)
OF_A_ROUND = Transfers(sent=2, received=3)
"""Of the engine: it waits for losses, figures of the method's own and an evaluation."""
OF_A_CLIENT = Transfers(sent=6, received=3)
"""Indices, orders and samples are sent. The engine waits for a client that is tested before the
server has heard of it, and the method may do so twice."""
OF_A_STEP = Transfers(sent=2)
OF_THE_CHANNEL = Transfers(received=1)
"""Of what wraps a method: whether numbers have survived it is asked where clients are tested, so of
each client that is tested right after training, and once more in the round."""
OF_A_LOOP = Transfers(sent=2, received=2)
"""Of a step of a loop that a method writes itself, see :meth:`pfltune.method.LocalWork.batches`."""


@dataclass(frozen=True)
class Spent:
    """What a round took.

    Attributes:
        transfers: what went to the device and back.
        steps: local steps, those of adaptation among them.
        own: local steps of the method's own loops.
        is_wrapped: whether what travels goes through wraps.
    """

    transfers: Transfers
    steps: int
    own: int
    is_wrapped: bool

    @property
    def allowed(self) -> Transfers:
        """What may go there and back for it."""
        of_clients = OF_A_CLIENT * len(CLIENTS)
        of_channel = OF_THE_CHANNEL * (len(CLIENTS) + 1 if self.is_wrapped else 0)
        of_steps = OF_A_STEP * self.steps + OF_A_LOOP * self.own
        return OF_A_ROUND + of_clients + of_channel + of_steps


def keeps_to_the_device(subject: Subject) -> str | None:
    """On a GPU nothing waits for it, nor is mixed with the CPU, and transfers are few"""
    try:
        rounds, first, last = searched(subject), *confirmed(subject)
    except NotImplementedError as error:
        return f"torch cannot say: {str(error).partition(':')[0]}"
    for spent in (*rounds, first):
        _see(spent.transfers, spent.allowed)
    _see(last.transfers, last.allowed * 2)  # newcomers train no longer than those who are known
    _see(rounds[-1].transfers, rounds[-2].transfers)
    return None


def searched(subject: Subject) -> list[Spent]:
    """What the rounds of a search trial took, whose clients train one after the other."""
    federation = small_federation(CLIENTS, rounds=3, evaluate="after_training")
    with stand_in() as counter:
        trial = _Trial(subject, federation.without_test(), counter)
        return [trial.round() for _ in range(3)]


def confirmed(subject: Subject) -> tuple[Spent, Spent]:
    """What the rounds of a confirmation trial took, whose clients train at once.

    In the last one a newcomer is met. The models are asked for afterwards.
    """
    known = small_federation((*CLIENTS, CLIENTS[0]), rounds=2)
    federation = replace(known, unseen=frozenset({NEWCOMER}))
    with stand_in() as counter:
        trial = _Trial(subject, federation, counter, cohort=len(CLIENTS))
        rounds = trial.round(), trial.round()
        trial.ended()
        return rounds


class _Trial:
    """A trial on the device that stands in for a GPU, which is looked after.

    Args:
        subject: the method.
        federation: of its clients.
        counter: of transfers.
        cohort: clients at once; where there are several, the selected models are kept.
    """

    def __init__(
        self, subject: Subject, federation: Federation, counter: Counter, cohort: int = 1
    ) -> None:
        self._counter = counter
        self._is_wrapped = bool(made_of(subject.cls).wraps)
        self._own = 0
        compute = Compute(device=STAND_IN, cohort=cohort)
        with Guard(may_wait=True):
            method = guarded(self._noting(subject.make()))
            self._trial = FederatedTrial(method, federation, 0, compute, keeps=cohort > 1)
        counter.taken()

    def round(self) -> Spent:
        """What the next round takes."""
        steps, self._own = self._steps(), 0
        with Guard():
            self._trial.step()
        steps = self._steps() - steps
        return Spent(self._counter.taken(), steps, self._own, self._is_wrapped)

    def ended(self) -> None:
        """What is asked of a trial when its rounds are over."""
        with Guard(may_wait=True):
            self._trial.each_model(lambda *_: None)
            self._trial.footprint()

    def _steps(self) -> int:
        totals = self._trial.totals
        return totals.steps + totals.adaptation_steps

    def _noting(self, method: Method) -> Method:
        """The same method, of whose own loops the steps are counted."""
        hook: Any = type(method).train

        def train(own: Method, work: Any, down: Tensors, personal: Tensors) -> Any:
            update = hook(own, work, down, personal)
            self._own += work.steps if work.loop else 0
            return update

        return with_hooks(method, train=train)


def _see(found: Transfers, allowed: Transfers) -> None:
    if found.exceeds(allowed):
        raise Broken(
            f"at most {allowed} in a round, and no more than in the round before",
            f"{found}",
            "keep tensors on the device, and bring together what must come over",
            "train",
        )
