"""The whole contract of one method, check by check, with what to look at where one fails."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from pfltune.errors import UserError, told
from pfltune.federation.work import Line
from pfltune.interface import HOOKS
from pfltune.method import Method
from pfltune.testing.broken import Broken
from pfltune.testing.cohorts import hindrances_of
from pfltune.testing.contract import OF_SUBJECTS, Case, contract_of
from pfltune.testing.lookalikes import interface_faults
from pfltune.testing.places import files_of, line_of, raised_in
from pfltune.testing.subject import variants

INTERFACE = "says_what_is_read"
INTERFACE_PROMISE = "Every hook, knob and name is one that the engine reads and can call"


@dataclass(frozen=True)
class Complaint:
    """What is wrong.

    Attributes:
        subject: the method with the values of its knobs.
        expected, found, advice: see :class:`Broken`; empty where nothing is to be said.
        hook: where to look; empty if it is not known.
        line: of the hook, or in it.
    """

    subject: str
    expected: str
    found: str
    advice: str = ""
    hook: str = ""
    line: Line | None = None


@dataclass(frozen=True)
class Outcome:
    """How one check ended on all subjects of a method.

    Attributes:
        check: its name.
        promise: what is checked, in a line.
        state: ``kept``, ``broken``, or ``idle`` where there was nothing to check.
        complaints: why it is broken, each once.
        reason: why there was nothing to check.
    """

    check: str
    promise: str
    state: Literal["kept", "broken", "idle"]
    complaints: tuple[Complaint, ...] = ()
    reason: str = ""


@dataclass(frozen=True)
class Obstacle:
    """What keeps a method's clients from training at once, and where it is in its files."""

    words: str
    line: Line | None


def examine(cls: type[Method], name: str) -> Iterator[Outcome]:
    """The outcome of each check as it ends.

    After a class that the engine would refuse, or a method that cannot train at all, nothing more
    is checked.
    """
    first = _of_interface(cls, name)
    yield first
    if first.state == "broken":
        return
    for function, cases in groupby(contract_of(cls, name), key=lambda case: case.function):
        outcome = outcome_of(cls, cases)
        yield outcome
        if function is OF_SUBJECTS[0] and outcome.state == "broken":
            return


def outcome_of(cls: type[Method], cases: Iterable[Case]) -> Outcome:
    """How one check ended on the subjects of its cases, which are of that check alone."""
    complaints: dict[tuple[str, str], Complaint] = {}
    reasons = set()
    for case in cases:
        check, promise = case.function.__name__, case.promise
        try:
            reasons.add(case.check() or "")
        except Exception as error:
            found = _complaint(cls, str(case.subject), error)
            complaints.setdefault((found.expected, found.found), found)
    if complaints:
        return Outcome(check, promise, "broken", tuple(complaints.values()))
    if "" not in reasons:
        return Outcome(check, promise, "idle", reason=", ".join(sorted(reasons)))
    return Outcome(check, promise, "kept")


def obstacles(cls: type[Method], name: str) -> list[Obstacle]:
    """What keeps the method, with its defaults or with a choice of its knobs, from cohorts."""
    files = files_of(cls)
    found: dict[str, Obstacle] = {}
    for subject in variants(cls, name):
        for each in hindrances_of(subject):
            found.setdefault(each.words, Obstacle(each.words, each.line_in(files)))
    return [*found.values()]


def _of_interface(cls: type[Method], name: str) -> Outcome:
    complaints = [Complaint(name, "", fault) for fault in interface_faults(cls)]
    state: Literal["kept", "broken"] = "broken" if complaints else "kept"
    return Outcome(INTERFACE, INTERFACE_PROMISE, state, tuple(complaints))


def _complaint(cls: type[Method], subject: str, error: Exception) -> Complaint:
    if isinstance(error, Broken):
        hook, line = _place(cls, error)
        return Complaint(subject, error.expected, error.found, error.advice, hook, line)
    words = str(error) if isinstance(error, UserError) else told(error)
    return Complaint(subject, "a trial that runs to its end", words, "", *_raised(cls, error))


def _place(cls: type[Method], error: Broken) -> tuple[str, Line | None]:
    """The hook that is to blame, or where in the method's code the promise was broken."""
    return (error.hook, line_of(cls, error.hook)) if error.hook else _raised(cls, error)


def _raised(cls: type[Method], error: Exception) -> tuple[str, Line | None]:
    function, line = raised_in(cls, error) or ("", None)
    return function if function in HOOKS else "", line
