"""Ctrl-C: once for a clean stop, twice for one at once."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(KeyboardInterrupt):
    """The user asked to stop, and no trial runs any more."""


class Stopping:
    """Whether the user has asked to stop; true from the first Ctrl-C on."""

    def __init__(self) -> None:
        self._asked = False

    def __bool__(self) -> bool:
        return self._asked

    def ask(self) -> None:
        """Let every trial end its round."""
        self._asked = True

    def settle(self, running: bool) -> None:
        """End the session once nothing runs.

        Raises:
            Stopped: nothing runs.
        """
        if not running:
            raise Stopped


@contextmanager
def stopping_by_signals(tell: Callable[[], object]) -> Iterator[Stopping]:
    """Take Ctrl-C, SIGTERM and SIGHUP as a wish to stop; the second one interrupts at once.

    SIGHUP, which comes when a terminal is closed, is ignored where it was, as below ``nohup``.

    Args:
        tell: called when the wish is heard.
    """
    stopping = Stopping()

    def hear(number: int, _frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            _close(terminal)
        if stopping:
            raise KeyboardInterrupt
        signal.alarm(0)  # of Ray's handler, if that came first: it would abort this process
        stopping.ask()
        tell()

    terminal = [stream for stream in (0, 1, 2) if os.isatty(stream)]
    kinds = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        kinds.append(signal.SIGHUP)
    before = [signal.signal(kind, hear) for kind in kinds]
    try:
        yield stopping
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)


@contextmanager
def ending_when_interrupted() -> Iterator[None]:
    """Ctrl-C ends the block, at its end at the latest: libraries may swallow the exception.

    Raises:
        KeyboardInterrupt: it came.
    """
    heard = False

    def hear(_number: int, _frame: FrameType | None) -> None:
        nonlocal heard
        heard = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if heard:
        raise KeyboardInterrupt


def _close(terminal: list[int]) -> None:
    """Print to nowhere: printing to a terminal that is gone is an error."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in terminal:
        os.dup2(nowhere, stream)
    os.close(nowhere)
