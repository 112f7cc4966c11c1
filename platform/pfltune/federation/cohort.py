"""Clients that train at once, whatever their method's ``train`` does between its fits."""

import logging
import sys
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from types import FrameType
from typing import Generic, TypeVar

import torch
from torch import nn

from pfltune.errors import noted
from pfltune.federation.hindrance import OWN_LOOP, Hindrance, of_difference, of_error, of_model
from pfltune.federation.stacked import alike, fit_together
from pfltune.federation.work import ClientWork, Fit
from pfltune.method import Tensors

T = TypeVar("T")
log = logging.getLogger(__name__)


class Cohort:
    """Carries out the same function for several clients, their fits together.

    Each client runs until it asks for a fit; when all have, those that are alike are trained in
    one go. Exactly one client runs at any time, in the order of their indices.

    Args:
        model: the grafted model.
        size: clients at once; 1 for one after the other.

    Attributes:
        size: the present one. It is halved when the GPU's memory does not suffice, and 1 where the
            method or its model cannot be mapped over clients.
        hindrances: why clients that were to train at once did not, each reason once, as first met.
    """

    def __init__(self, model: nn.Module, size: int) -> None:
        self.size = size
        self.hindrances: list[Hindrance] = []
        if size > 1 and (found := of_model(model)):
            self.size = 1
            self._note(found)

    def run(self, works: Sequence[ClientWork], body: Callable[[ClientWork], T]) -> list[T]:
        """The results of ``body`` for each of at most ``size`` clients, in their order."""
        if len(works) == 1:
            return [body(works[0])]
        clients = [_Client(work, body) for work in works]
        try:
            for client in clients:
                client.go_on(None)
            while waiting := [(c, c.asks) for c in clients if c.asks is not None]:
                same = [(c, fit) for c, fit in waiting if alike(fit, waiting[0][1])]
                self._compare(waiting)
                answers = self._fitted([fit for _, fit in same])
                for (client, _), answer in zip(same, answers, strict=True):
                    client.go_on(answer)
        finally:
            for client in clients:
                client.abandon()
        for loop in filter(None, (work.loop for work in works)):
            self._note(Hindrance(OWN_LOOP, (loop,)))
        return [client.result for client in clients]

    def _compare(self, waiting: "Sequence[tuple[_Client[T], Fit]]") -> None:
        first = waiting[0][1]
        for client, fit in waiting:
            if not alike(first, fit):
                self._note(of_difference(first, fit, client.frame()))

    def _note(self, found: Hindrance) -> None:
        if found.words not in (known.words for known in self.hindrances):
            self.hindrances.append(found)

    def _fitted(self, fits: Sequence[Fit]) -> list[Tensors]:
        if self.size == 1 or len(fits) == 1:
            return [fit.alone() for fit in fits]
        taken = [(fit.work.steps, fit.work.operations) for fit in fits]
        clients = ", ".join(str(fit.work.client) for fit in fits)
        try:
            with noted(f"clients {clients}, round {fits[0].work.round}"):
                return fit_together(fits)
        except RuntimeError as error:
            for fit, (steps, operations) in zip(fits, taken, strict=True):
                del fit.work.losses[steps:]
                fit.work.operations = operations
            self._shrink(error)
        half = len(fits) // 2
        return self._fitted(fits[:half]) + self._fitted(fits[half:])

    def _shrink(self, error: RuntimeError) -> None:
        if isinstance(error, torch.OutOfMemoryError):
            self.size = max(1, self.size // 2)
        else:
            self.size = 1
            found = of_error(error)
            self._note(found)
            log.warning("clients train one after the other: %s", found.words)


class _Client(Generic[T]):
    """A client's function in a thread of its own, which runs only while its caller waits.

    Attributes:
        asks: the fit that it waits for; None when it has ended.
        result: what the function returned.
    """

    result: T

    def __init__(self, work: ClientWork, body: Callable[[ClientWork], T]) -> None:
        self.asks: Fit | None = None
        self._work, self._body = work, body
        self._asked: SimpleQueue[Fit | BaseException | None] = SimpleQueue()
        self._answers: SimpleQueue[Tensors | None] = SimpleQueue()
        self._thread = Thread(target=self._run, daemon=True)
        self._abandoned = False
        self._draws = torch.empty(0)

    def go_on(self, answer: Tensors | None) -> None:
        """Run until the next fit or the end; what the function raises is raised here."""
        outside = torch.get_rng_state()
        if self._thread.ident is None:
            self._work.run = self._ask
            self._thread.start()
        else:
            torch.set_rng_state(self._draws)
            self._answers.put(answer)
        asked = self._asked.get()
        # A client may ask amid draws of its own: the global generator is another for each.
        self._draws = torch.get_rng_state()
        torch.set_rng_state(outside)
        self.asks = asked if isinstance(asked, Fit) else None
        if isinstance(asked, BaseException):
            raise asked

    def frame(self) -> FrameType | None:
        """Where its function waits."""
        return sys._current_frames().get(self._thread.ident or 0)

    def abandon(self) -> None:
        """Let the function fail where it waits, and wait for its end."""
        self._abandoned = True
        outside = torch.get_rng_state()
        if self.asks is not None:
            self._answers.put(None)
        if self._thread.ident is not None:
            self._thread.join()
        torch.set_rng_state(outside)
        # Else the two would hold each other, and the client's tensors, until Python looks for such.
        self._work.run = Fit.alone

    def _run(self) -> None:
        try:
            with torch.no_grad():  # a new thread begins with gradients on
                self.result = self._body(self._work)
        except BaseException as error:
            self._asked.put(error)
        else:
            self._asked.put(None)

    def _ask(self, fit: Fit) -> Tensors:
        answer = None
        if not self._abandoned:
            self._asked.put(fit)
            answer = self._answers.get()
        if answer is None:
            raise RuntimeError("another client of the cohort failed")
        return answer
