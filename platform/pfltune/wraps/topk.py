"""Only the largest changes travel; what is left is sent later."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from pfltune.knobs import knob
from pfltune.tensors import Tensors
from pfltune.wraps.base import Wrap, see_free

INDEX = ":index"


@dataclass(frozen=True, kw_only=True)
class TopK(Wrap):
    """Of each tensor of an upload the k largest changes travel, with error feedback.

    A change is the upload minus what was downloaded, for floating-point tensors of the same name
    and shape in both; all others travel as they are. To it is added what earlier rounds left
    unsent, which stays on the client: Stich, Cordonnier and Jaggi, "Sparsified SGD with Memory",
    NeurIPS 2018, arXiv 1809.07599, with the change of a round in place of a step's. On the wire are
    k values and k int32 indices; the server adds the values to what it sent. A tensor of which
    everything would travel is sent itself, so that a share of 1 changes no bit.
    """

    title: ClassVar[str] = "top-k"
    both_ways: ClassVar[bool] = False

    share: float = knob(
        0.1, low=1e-4, high=1.0, log=True, doc="of each tensor's values that travel, at least one"
    )

    def send(
        self, payload: Tensors, reference: Tensors, state: Tensors, rng: torch.Generator
    ) -> tuple[Tensors, Tensors]:
        """The largest of change and rest, and the new rest."""
        see_free(payload, lambda name: name.endswith(INDEX), type(self))
        wire: Tensors = {}
        rest = {name: left for name, left in state.items() if name not in payload}
        for name, value in payload.items():
            count = max(1, round(self.share * value.numel()))
            if not _changes(value, reference.get(name)) or count >= value.numel():
                wire[name] = value
                continue
            change = value.to(reference[name].dtype) - reference[name]
            if name in state and state[name].shape == change.shape:
                change = change + state[name]
            flat = change.flatten()
            index = flat.abs().topk(count, sorted=False).indices.sort().values
            wire |= {name: flat[index], name + INDEX: index.int()}
            rest[name] = flat.index_fill(0, index, 0).view_as(change)
        return wire, rest

    def receive(self, wire: Tensors, reference: Tensors) -> Tensors:
        """What was downloaded plus what came."""
        return {
            name: _added(reference[name], value, wire[name + INDEX])
            if name + INDEX in wire
            else value
            for name, value in wire.items()
            if name.removesuffix(INDEX) == name or name.removesuffix(INDEX) not in wire
        }


def _changes(value: Tensor, before: Tensor | None) -> bool:
    """Whether a tensor of an upload is a change of one that both ends have."""
    return (
        before is not None
        and value.shape == before.shape
        and value.is_floating_point()
        and before.is_floating_point()
    )


def _added(before: Tensor, values: Tensor, index: Tensor) -> Tensor:
    found = before.flatten().clone()
    found[index.long()] += values
    return found.view_as(before)
