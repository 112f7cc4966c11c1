"""A wrap: of every change the signs travel, and one size."""

from dataclasses import dataclass

import torch

from pfltune import Wrap


@dataclass(frozen=True, kw_only=True)
class Signs(Wrap):
    """Of each change the signs travel as int8, and their mean size."""

    title = "signs"
    both_ways = False

    def send(self, payload, reference, state, rng):
        change = {name: value - reference[name] for name, value in payload.items()}
        sizes = {f"{name}:size": value.abs().mean() for name, value in change.items()}
        return {name: v.sign().to(torch.int8) for name, v in change.items()} | sizes, {}

    def receive(self, wire, reference):
        return {n: reference[n] + wire[f"{n}:size"] * wire[n] for n in wire if n in reference}
