"""The mistakes a user can make; the command line turns them into one line and exit code 2."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches

MOST_CHOICES = 50


class UserError(Exception):
    """Something the user asked for cannot be done; the message names the value and the choices."""


class Diverged(Exception):
    """Local training left the finite numbers; the trial has failed, the comparison goes on."""


class Overspent(Exception):
    """The budget of a trial did not suffice for one evaluated round; the trial has failed."""


class Halted(Exception):
    """A comparison cannot go on for now; what it has done is kept, and it can be resumed."""


class TrackingError(Exception):
    """MLflow lacks something of a comparison, whose journal has it; resuming hands it over."""


class ForeignExperiment(TrackingError):
    """Where MLflow should have a comparison, it has somebody else's; waiting does not help."""


def unknown(kind: str, value: object, choices: Iterable[str]) -> UserError:
    """The error for a ``value`` that is none of ``choices``, with the nearest one suggested.

    Of choices that nobody would read to their end the three nearest are named.
    """
    known = sorted(choices)
    near = get_close_matches(str(value), known, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    if len(known) > MOST_CHOICES:
        nearest = get_close_matches(str(value), known, n=3, cutoff=0.0)
        return UserError(
            f"unknown {kind} {value!r}{hint}; choose from {len(known)}, such as: "
            + ", ".join(nearest)
        )
    return UserError(f"unknown {kind} {value!r}{hint}; choose from: {', '.join(known)}")


def told(error: BaseException) -> str:
    """An error of somebody else's code in one line, with what was noted on its way."""
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", ()))
    words = " ".join(f"{type(error).__name__}: {error}".split())
    return f"{words.rstrip(':')}{notes}"


@contextmanager
def noted(note: str) -> Iterator[None]:
    """Whatever the block raises says ``note`` too, see :func:`told`; inner notes win."""
    try:
        yield
    except Exception as error:
        if not hasattr(error, "__notes__"):
            error.add_note(note)
        raise
