"""How far a figure may be from the certified one where it cannot come again to the last bit."""

import math
from collections.abc import Iterable

from torch import Tensor

from pfltune.federation.federation import Federation

FLIPPED = 0.1
"""Share of the predictions that may be others after training on another processor."""
DEVIATIONS = 4.0


def bound(federation: Federation, part: str) -> float:
    """How far two means over clients of an accuracy may lie from each other, in (0, 1].

    If a share ``FLIPPED`` of the predictions differ, each as likely for the better as for the
    worse, the difference of the means has the variance FLIPPED · Σ 1/n / C² for C clients with n
    samples each. ``DEVIATIONS`` standard deviations are allowed, and one sample at least.

    Args:
        federation: with test indices.
        part: ``val`` or ``test``.
    """
    sizes = [len(each) for each in _parts(federation, part) if each is not None]
    spread = math.sqrt(FLIPPED * sum(1 / size for size in sizes)) / len(sizes)
    return min(1.0, max(DEVIATIONS * spread, 1 / (min(sizes) * len(sizes))))


def _parts(federation: Federation, part: str) -> Iterable[Tensor | None]:
    seen = (federation.clients[client] for client in federation.seen)
    return [client.val if part == "val" else client.test for client in seen]
