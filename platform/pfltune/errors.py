"""The mistakes a user can make; the command line turns them into one line and exit code 2."""

from collections.abc import Iterable
from difflib import get_close_matches

MOST_CHOICES = 50


class UserError(Exception):
    """Something the user asked for cannot be done; the message names the value and the choices."""


class Diverged(Exception):
    """Local training left the finite numbers; the trial has failed, the comparison goes on."""


class Halted(Exception):
    """A comparison cannot go on for now; what it has done is kept, and it can be resumed."""


class TrackingError(Exception):
    """MLflow lacks something of a comparison, whose journal has it; resuming hands it over."""


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
