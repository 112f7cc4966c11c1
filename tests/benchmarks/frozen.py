"""What need not be done: what stands still in a phase, and evaluations in batches across clients.

A round of the engine stands beside the bare loop that computes everything in every epoch, and
beside a floor that no engine gets below: one forward pass in place of those of all epochs that
move the head alone. All three do the same steps; the first two end in the same server state.
"""

from functools import partial
from typing import Any
from unittest.mock import patch

import torch
import torch.nn.functional as F
from bare_loop import BareLoop, Batch, Tensors
from grounds import TINY, VIT_TINY_32, Case, Clients, federation
from pairs import alternately, paired, taking_turns
from recording import FirstRound
from rows import Row
from torch import nn

from pfltune.federation import evaluating
from pfltune.federation.compute import Compute
from pfltune.federation.local import LocalTrainer
from pfltune.federation.trial import FederatedTrial
from pfltune.registry import make_method

NAME = "frozen"
EPOCHS = 10
PROBE = ("linear_probe", {}, {"local_epochs": EPOCHS}, (EPOCHS, 0), "≤ 0.15")
REP = ("fedrep", {"head_epochs": EPOCHS}, {}, (EPOCHS, 1), "")
FEW = Clients(total=4, sampled=2, train=96, val=8, test=8)
MANY = Clients(total=40, sampled=4, train=40, val=8, test=8)


def frozen(quick: bool) -> list[Row]:
    """A round over the bare loop and over the floor, and an evaluation over one by one."""
    case, repeats = (TINY, 1) if quick else (VIT_TINY_32, 5)
    rows = [row for each in (REP, PROBE) for row in round_rows(*each, case, repeats)]
    return [*rows, evaluation(repeats if quick else 20)]


def round_rows(
    name: str,
    knobs: dict[str, float],
    protocol: dict[str, int],
    epochs: tuple[int, int],
    target: str,
    case: Case,
    repeats: int,
) -> list[Row]:
    """The engine over both, and the floor over the bare loop."""
    method, ground = make_method(name, knobs), federation(case, FEW, **protocol)
    trial = FederatedTrial(method, ground, 0, Compute(threads=torch.get_num_threads()))
    with patch.object(LocalTrainer, "_remembered", lambda *_: None):  # all batches are recorded
        same = FirstRound(trial, loop=partial(PhasedLoop, epochs=epochs))
    bare = same.bare
    floor = Floor(bare.module, bare.work, bare.server, bare.personal, bare.lr, epochs=epochs)
    calls = [trial.step, bare.round, floor.round]
    engine, plain, least = taking_turns(calls, repeats, same.rewind)
    told = f"{method.title}, {EPOCHS} epochs of the head, {case.name}"
    of = {
        "round, engine over bare loop": (paired(engine, plain), target),
        "round, floor over bare loop": (paired(least, plain), ""),
        "round, engine over floor": (paired(engine, least), "≤ 1.10"),
    }
    return [
        Row(NAME, f"{told}: {what}", pairs.ratio, "×", target, pairs.spread)
        for what, (pairs, target) in of.items()
    ]


def evaluation(repeats: int) -> Row:
    """An evaluation of many clients with one model, over the same client by client."""
    trial = FederatedTrial(make_method("fedavg", {}), federation(TINY, MANY), 0, Compute())

    def one_by_one() -> None:
        with patch.object(evaluating, "origin_of", lambda *_: None):
            trial.evaluate()

    pairs = alternately(trial.evaluate, one_by_one, repeats)
    told = f"FedAvg, tiny, {MANY.total} clients: evaluation, in common batches over one by one"
    return Row(NAME, told, pairs.ratio, "×", "< 1", pairs.spread)


class PhasedLoop(BareLoop):
    """Epochs that move the head alone, then epochs that move all the rest.

    Args:
        given: those of :class:`BareLoop`.
        epochs: how many there are of each.
    """

    def __init__(self, *given: object, epochs: tuple[int, int]) -> None:
        super().__init__(*given)  # type: ignore[arg-type]
        self.epochs = epochs
        self.head: nn.Module = self.module.get_classifier()  # type: ignore[operator]
        self.body = [p for n, p in self.module.named_parameters() if not n.startswith("head.")]

    def _train(self, client: int, batches: list[Batch]) -> Tensors:
        self._load(client)
        self.module.train()
        of_head, of_body = self.epochs
        cut = len(batches) // (of_head + of_body) * of_head
        self._move_head(batches[:cut])
        self._descend(self.module, self.body if of_body else [], batches[cut:])
        return {name: value.clone() for name, value in self.module.state_dict().items()}

    def _move_head(self, batches: list[Batch]) -> None:
        self._descend(self.module, [*self.head.parameters()], batches)

    def _descend(self, model: nn.Module, moving: list[nn.Parameter], batches: list[Batch]) -> None:
        for parameter in self.module.parameters():
            parameter.requires_grad_(False)
        for parameter in moving:
            parameter.requires_grad_(True)
        optimizer = torch.optim.SGD(moving, lr=self.lr) if batches else None
        for x, y in batches if optimizer else ():
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()


class Floor(PhasedLoop):
    """The same with one forward pass for all epochs of the head; it meets one order of batches."""

    def _move_head(self, batches: list[Batch]) -> None:
        of_epoch = batches[: len(batches) // self.epochs[0]]
        body: Any = self.module
        with torch.no_grad():
            features = [body.forward_features(x) for x, _ in of_epoch]
            read = [
                (body.forward_head(each, pre_logits=True), y)
                for each, (_, y) in zip(features, of_epoch, strict=True)
            ]
        self._descend(self.head, [*self.head.parameters()], read * self.epochs[0])
