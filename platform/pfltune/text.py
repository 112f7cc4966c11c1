"""Texts of strangers made fit to be shown, and words that depend on a number."""

import unicodedata


def plain(text: str) -> str:
    """``text`` in one line, without what a terminal or a file would take as an instruction.

    Every run of white space is a space; control characters, and format characters such as those
    that turn the direction of writing round, are left out.
    """
    spaced = " ".join(text.split())
    return "".join(char for char in spaced if unicodedata.category(char) not in _UNSEEN)


# Control, format, surrogate and unassigned or private characters, by Unicode's names.
_UNSEEN = frozenset(("Cc", "Cf", "Cs", "Co", "Cn"))


def count(number: int, noun: str) -> str:
    """``1 seed``, ``2 seeds``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
