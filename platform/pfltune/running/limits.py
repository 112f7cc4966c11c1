"""A limit on the time that a trial may take."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class OverTime(Exception):
    """A trial has taken longer than it may."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Interrupt the block after ``seconds``; infinity stands for no limit.

    By a signal, so that a method that never comes back is interrupted too; for a process' main
    thread only.

    Raises:
        OverTime: the time is up.
    """
    if seconds == float("inf"):
        yield
        return

    def expire(_number: int, _frame: FrameType | None) -> None:
        raise OverTime

    before = signal.signal(signal.SIGALRM, expire)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1e-3))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
