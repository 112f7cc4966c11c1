"""Wall-clock times of calls that take turns, so that a slow moment of the machine hits all."""

import gc
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

Call = Callable[[], object]


@dataclass(frozen=True)
class Pairs:
    """Two calls, timed side by side.

    Attributes:
        first, second: median seconds of each.
        ratio: the median of first over second within a pair.
        lowest, highest: of these ratios.
    """

    first: float
    second: float
    ratio: float
    lowest: float
    highest: float

    @property
    def spread(self) -> str:
        """The lowest and the highest ratio."""
        return f"{self.lowest:.3f} to {self.highest:.3f}"


def alternately(first: Call, second: Call, repeats: int, before: Call | None = None) -> Pairs:
    """Time two calls in turn, after one warm-up of each; see :func:`taking_turns`."""
    return paired(*taking_turns([first, second], repeats, before))


def paired(first: Sequence[float], second: Sequence[float]) -> Pairs:
    """Seconds of two calls, those of the same turn as a pair."""
    ratios = [a / b for a, b in zip(first, second, strict=True)]
    return Pairs(median(first), median(second), median(ratios), min(ratios), max(ratios))


def taking_turns(
    calls: Sequence[Call], repeats: int, before: Call | None = None, warm_ups: int = 1
) -> list[list[float]]:
    """Seconds of each call in each turn.

    Args:
        calls: what is timed, in this order in every turn.
        repeats: number of turns.
        before: called before each call, untimed, e.g. to bring back the state it starts from.
        warm_ups: turns before those that count.
    """
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(warm_ups + repeats):
        for call, own in zip(calls, seconds, strict=True):
            if before is not None:
                before()
            own.append(_seconds(call))
    return [own[warm_ups:] for own in seconds]


def _seconds(call: Call) -> float:
    """As timeit does, without the garbage collector, which runs beforehand instead."""
    gc.collect()
    gc.disable()
    try:
        began = time.perf_counter()
        call()
        return time.perf_counter() - began
    finally:
        gc.enable()
