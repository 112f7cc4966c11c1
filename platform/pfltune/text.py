"""Texts of strangers made fit to be shown, and words that depend on a number."""

import os
import re
import unicodedata
from collections.abc import Mapping, Sequence

# Up to the last @, since a password may hold one; a name without a password is mostly a token.
_CREDENTIALS = re.compile(r"(\w[\w+.-]*://)(?:[^\s/:@]*:\S*|[^\s/:@]+)@")
_QUERY = re.compile(
    r"([?&;](?:password|passwd|token|secret|api_key|access_key)=)[^\s&;#'\"]+", re.I
)
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[\w.~+/=-]{6,}")
_SECRET_VARIABLE = re.compile(r"(?:PASSWORD|TOKEN|SECRET|SECRET_ACCESS_KEY|API_KEY)$")
_SHORTEST_SECRET = 6
# Control, format, surrogate and unassigned or private characters, by Unicode's names.
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))


def plain(text: str) -> str:
    """``text`` in one line, without what a terminal or a file would take as an instruction.

    Every run of white space is a space; control characters, and format characters such as those
    that turn the direction of writing round, are left out.
    """
    spaced = " ".join(text.split())
    return "".join(char for char in spaced if unicodedata.category(char) not in _UNSEEN)


def redacted(text: str) -> str:
    """``text`` with every secret in it as ``***``.

    Secrets are the credentials of ``scheme://user:password@host``, those in a query or a header,
    and the values of environment variables whose name says so, as ``MLFLOW_TRACKING_PASSWORD``.
    """
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_VARIABLE.search(name):
            text = text.replace(value, "***")
    text = _CREDENTIALS.sub(r"\1***@", text)
    text = _QUERY.sub(r"\1***", text)
    return _BEARER.sub(r"\1 ***", text)


def in_short(values: Mapping[str, object]) -> str:
    """``lr=0.031 prefix_length=8``: values to be recognised by, not to be repeated with."""
    return " ".join(f"{plain(name)}={_in_short(value)}" for name, value in values.items())


def _in_short(value: object) -> str:
    return f"{float(f'{value:.2g}'):g}" if isinstance(value, float) else plain(str(value))


def count(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``, ``3 studies``, ``4 classes``."""
    endings = {"y": f"{noun[:-1]}ies", "s": f"{noun}es"}
    several = endings.get(noun[-1:], f"{noun}s")
    return f"{number:,} {noun if number == 1 else several}"


def listed(names: Sequence[str], last: str = "and") -> str:
    """``seeds``, ``seeds and draws``, ``searches, seeds and draws``; empty of none."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {last} {names[-1]}"
