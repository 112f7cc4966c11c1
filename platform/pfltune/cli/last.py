"""The last handler: whatever happens, one line without secrets, and an exit code that fits."""

import errno
import os
import sys
import threading
import traceback
from contextlib import suppress
from typing import Any, NoReturn, TextIO

import click

from pfltune.errors import Halted, TrackingError, UserError
from pfltune.text import plain, redacted

MISTAKE, NOT_NOW, INTERRUPTED, PIPE_CLOSED = 2, 1, 130, 141
DEBUG = "PFLTUNE_DEBUG"
FULL = (errno.ENOSPC, errno.EDQUOT)
LONGEST = 600


def explained(error: BaseException) -> tuple[str, int]:
    """An error in one line, and the exit code for it.

    A full disk is told as such wherever it was met, since the user can do something about it.
    """
    if (place := _full_disk(error)) is not None:
        return f"no room is left on the disk{place}; make room and give the command again", NOT_NOW
    if isinstance(error, click.ClickException):
        return error.format_message(), MISTAKE
    if isinstance(error, UserError):
        return str(error), MISTAKE
    if isinstance(error, Halted | TrackingError):
        return str(error), NOT_NOW
    if isinstance(error, click.Abort | KeyboardInterrupt):
        return "interrupted", INTERRUPTED
    if isinstance(error, SystemExit):
        return f"a method or library called sys.exit({error.code!r})", NOT_NOW
    return f"{_named(error)} (pfltune --debug … shows where)", NOT_NOW


def fail(error: BaseException) -> NoReturn:
    """End the command with one line, after the traceback if the user asked for it."""
    if _reader_is_gone(error):
        _let_go(sys.stdout)
        sys.exit(PIPE_CLOSED)
    if os.environ.get(DEBUG):
        _say(redacted("".join(traceback.format_exception(error))).rstrip())
    message, code = explained(error)
    _say(f"pfltune: {one_line(message)}")
    sys.exit(code)


def one_line(text: str) -> str:
    """``text`` fit for a terminal; of a very long one, its beginning and its end."""
    line = plain(redacted(text))
    if len(line) <= LONGEST:
        return line
    return f"{line[: LONGEST // 2]} … {line[-LONGEST // 2 :]}"


def prepare() -> None:
    """Make all that this process prints safe, also what threads and libraries print by themselves.

    A stream that takes only some characters gets ``?`` for others, instead of ending the command.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    if sys.stderr is not None:
        sys.stderr = _Redacting(sys.stderr)
    threading.excepthook = _in_thread
    sys.unraisablehook = _in_passing


class _Redacting:
    """A text stream that masks secrets in whatever is written to it, logs and tracebacks too."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(redacted(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not isinstance(args.exc_value, SystemExit):
        _aside(args.exc_value)


def _in_passing(args: "sys.UnraisableHookArgs") -> None:
    if args.exc_value is not None:
        _aside(args.exc_value)


def _aside(error: BaseException) -> None:
    """Tell of an error that ends nothing."""
    if _reader_is_gone(error):
        return
    if os.environ.get(DEBUG):
        _say(redacted("".join(traceback.format_exception(error))).rstrip())
    _say(f"pfltune: {one_line(_named(error))} (the command goes on)")


def _named(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _say(text: str) -> None:
    with suppress(OSError, ValueError):  # nobody reads, or the stream is closed
        print(text, file=sys.stderr)


def _full_disk(error: BaseException) -> str | None:
    """Where the disk is full, as far as an error or one of its causes says; None if none does."""
    for cause in _causes(error):
        if isinstance(cause, UserError | Halted | TrackingError):
            return None  # it says more
        if isinstance(cause, OSError) and cause.errno in FULL:
            return f" of {os.fspath(cause.filename)!r}" if cause.filename else ""
        if "database or disk is full" in str(cause):
            return " of the MLflow store"
    return None


def _reader_is_gone(error: BaseException) -> bool:
    """Whether standard output was a pipe to ``head`` or the like, which has read enough.

    Click and Rich turn the error into ``sys.exit(1)``.
    """
    if isinstance(error, BrokenPipeError):
        return True
    return isinstance(error, SystemExit) and isinstance(error.__context__, BrokenPipeError)


def _causes(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _let_go(stream: TextIO) -> None:
    """Send to nowhere what the interpreter would still flush at its end."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
