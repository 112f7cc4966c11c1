"""The contract of every method, whoever wrote it: which checks there are, on which subjects."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pfltune.method import Method
from pfltune.registry import find_method, short_name
from pfltune.testing import (
    cohorts,
    evaluation,
    knobs,
    newcomers,
    purity,
    repetition,
    sgd,
    traffic,
    transfers,
)
from pfltune.testing.subject import Change, Subject, changes, idle_changes, variants

OF_SUBJECTS: tuple[Callable[[Subject], str | None], ...] = (
    repetition.trains,
    repetition.repeats_itself,
    repetition.resumes,
    repetition.has_no_order_of_clients,
    evaluation.evaluates_without_trace,
    evaluation.trains_alike_however_often_evaluated,
    evaluation.needs_no_test_data,
    traffic.counts_what_travels,
    traffic.counts_what_evaluation_needs,
    traffic.uploads_nothing_personal,
    traffic.trains_what_it_sends,
    traffic.keeps_frozen_tensors_home,
    traffic.leaves_the_model_alone,
    purity.leaves_its_arguments_alone,
    purity.leaves_the_process_alone,
    cohorts.trains_at_once_as_one_by_one,
    sgd.is_plain_sgd_on_one_client,
    newcomers.meets_unseen_clients,
    transfers.keeps_to_the_device,
)
CHECKS: tuple[Callable[[Any], str | None], ...] = (
    *OF_SUBJECTS,
    knobs.has_an_effect,
    knobs.has_no_effect_elsewhere,
)
"""Each is a function of a :class:`Subject`, or of a :class:`Change` of one of its knobs.

It raises :class:`Broken` where the promise in its docstring is not kept, and returns why there was
nothing to check where that is so.
"""


@dataclass(frozen=True)
class Case:
    """One check of one subject.

    Attributes:
        function: one of :data:`CHECKS`.
        subject: what it is given.
    """

    function: Callable[[Any], str | None]
    subject: Subject | Change

    def __str__(self) -> str:
        return f"{self.function.__name__}-{self.subject}"

    @property
    def promise(self) -> str:
        """What is checked, in a line."""
        return (inspect.getdoc(self.function) or "").partition("\n")[0]

    def check(self) -> str | None:
        """See that the promise is kept; returns why there was nothing to check, where it was so.

        Raises:
            Broken: it is not kept.
            Exception: whatever the method's own code raised.
        """
        return self.function(self.subject)


def contract_of(method: str | type[Method], name: str = "") -> list[Case]:
    """All cases of a method's contract, check by check.

    Each check runs on the method with its defaults and with each choice of its categorical knobs;
    each knob is changed once.

    Args:
        method: a name, ``path/to/file.py:Class``, or a class.
        name: how it is called; by default as in tables.

    Raises:
        UserError: there is no such method, or its class says what nothing would read.
    """
    cls = find_method(method) if isinstance(method, str) else method
    name = name or (short_name(method) if isinstance(method, str) else cls.__name__.lower())
    subjects = [*variants(cls, name)]
    return [
        *(Case(function, subject) for function in OF_SUBJECTS for subject in subjects),
        *(Case(knobs.has_an_effect, change) for change in changes(cls, name)),
        *(Case(knobs.has_no_effect_elsewhere, change) for change in idle_changes(cls, name)),
    ]


def check_method(method: str | type[Method]) -> None:
    """See that a method keeps the whole contract.

    Args:
        method: as for :func:`contract_of`.

    Raises:
        Broken: the first promise that is not kept.
        UserError: as :func:`contract_of`.
    """
    for case in contract_of(method):
        case.check()
