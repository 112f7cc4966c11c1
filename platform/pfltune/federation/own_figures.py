"""The figures of a method's own: numbers of each client that trained, and their means."""

from collections.abc import Sequence

import torch
from torch import Tensor

from pfltune.devices import brought_over
from pfltune.figures import OF_METHOD
from pfltune.method import Method, Update
from pfltune.metrics import number


def own_numbers(method: Method, update: Update, device: torch.device) -> list[Tensor]:
    """What a method says of a client that has trained, in the order of its declaration.

    Raises:
        ValueError: it says something else than its class has declared.
    """
    declared = [figure.name.removeprefix(OF_METHOD) for figure in method.own_figures]
    if not declared:
        return []
    found = method.figures(update.upload, update.personal)
    if found.keys() != set(declared):
        raise ValueError(
            f"figures() returns {sorted(found) or 'nothing'}, own_figures declares {declared}"
        )
    return [number(found[name], device) for name in declared]


def own_figures(method: Method, told: Sequence[Sequence[Tensor]]) -> dict[str, float]:
    """The means over the clients of a round, under the names that everybody reads.

    Args:
        method: the method.
        told: of :func:`own_numbers`, of each client.
    """
    if not method.own_figures:
        return {}
    means = brought_over([torch.stack(list(each)).mean() for each in zip(*told, strict=True)])
    return {figure.name: mean for figure, mean in zip(method.own_figures, means, strict=True)}
