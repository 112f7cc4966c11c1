"""Evaluation of a round whose clients are tested right after their training."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from pfltune.devices import settle
from pfltune.federation.crew import Trained
from pfltune.federation.evaluating import Evaluator
from pfltune.federation.evaluation import Evaluation
from pfltune.federation.measuring import Row
from pfltune.federation.meter import Totals
from pfltune.federation.states import PersonalStates
from pfltune.federation.work import ClientWork
from pfltune.method import Tensors


@dataclass
class RoundEvaluation:
    """The evaluation of a round whose clients are tested right after their training.

    The others are tested before it, with the server's state that they have as yet.

    Attributes:
        evaluator: of the trial.
        round: its number.
        totals: where downloads and steps of adaptation are added up.
        rows: what was measured of each client.
        kept: where it is kept with what those who have trained are tested; None if nobody asks.
        before: the server's state that the others have.
        seconds: that it took so far.
    """

    evaluator: Evaluator
    round: int
    totals: Totals
    rows: dict[int, Row] = field(default_factory=dict)
    kept: PersonalStates | None = None
    before: Tensors = field(default_factory=dict)
    seconds: float = 0.0

    def others(self, sampled: Sequence[int], server: Tensors, personal: PersonalStates) -> None:
        """Test those who are not sampled."""
        self.before = server
        seen = self.evaluator.crew.federation.seen
        clients = [client for client in seen if client not in sampled]
        with self._timed():
            self.rows |= self.evaluator.rows(clients, server, personal, self.round, self.totals)

    def trained(self, cohort: Sequence[tuple[ClientWork, Trained]]) -> None:
        """Test some who have just trained."""
        hear = None if self.kept is None else self.kept.__setitem__
        with self._timed():
            self.rows |= self.evaluator.trained_rows(cohort, self.round, self.totals, hear)

    def ended(self) -> Evaluation:
        """All clients of the rounds together."""
        seen = self.evaluator.crew.federation.seen
        return self.evaluator.together(seen, [self.rows[client] for client in seen])

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Count the seconds of the block, and none of what a GPU had to do before."""
        device = self.evaluator.crew.device
        settle(device)
        began = time.perf_counter()
        yield
        settle(device)
        self.seconds += time.perf_counter() - began
