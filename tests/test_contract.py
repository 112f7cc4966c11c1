"""What every method must keep, whoever wrote it. The registry is asked; no name stands here.

The checks themselves ship with the package, in ``pfltune.testing``. A method that is added to
methods/, or installed with an entry point of the group ``pfltune.methods``, is tested without any
change to this file.
"""

from collections import Counter

import pytest

from pfltune.knobs import knobs_of
from pfltune.registry import available_methods
from pfltune.testing import CHECKS, Subject, contract_of
from pfltune.testing.cohorts import hindrances_of
from pfltune.testing.lookalikes import lookalikes
from pfltune.testing.subject import changes, variants

THOROUGH = {
    "resumes",
    "has_no_order_of_clients",
    "trains_at_once_as_one_by_one",
    "meets_unseen_clients",
    "has_an_effect",
    "keeps_to_the_device",
}
OF_ONE_RECORDING = {
    "trains",
    "counts_what_travels",
    "trains_what_it_sends",
    "keeps_frozen_tensors_home",
    "leaves_the_model_alone",
}
"""All that the quick tests ask of a method with other choices than its defaults."""
OWN_LOOP = "a loop of its own"


def cases():
    for name, cls in available_methods().items():
        for case in contract_of(cls, name):
            slow = [pytest.mark.thorough] if is_slow(case) else []
            # Checks of one method share what they recorded, so they stay in one process.
            marks = [pytest.mark.xdist_group(f"contract of {name}"), *slow]
            yield pytest.param(case, id=str(case), marks=marks)


def is_slow(case):
    check, subject = case.function.__name__, case.subject
    chosen = isinstance(subject, Subject) and subject.values
    return check in THOROUGH or (chosen and check not in OF_ONE_RECORDING)


@pytest.mark.parametrize("case", list(cases()))
def test_a_method_keeps(case):
    case.check()


@pytest.mark.parametrize("name", available_methods())
def test_every_check_and_every_knob_of_every_method_is_covered(name):
    cls = available_methods()[name]
    checked = Counter(case.function for case in contract_of(cls, name))
    many = len(list(variants(cls, name)))
    assert all(checked[function] == many for function in CHECKS[:-2])
    assert {change.knob for change in changes(cls, name)} == set(knobs_of(cls))


@pytest.mark.thorough
@pytest.mark.parametrize("name", available_methods())
def test_a_method_trains_its_clients_at_once_unless_its_loop_is_its_own(name):
    for subject in variants(available_methods()[name], name):
        found = [each.words for each in hindrances_of(subject) if OWN_LOOP not in each.words]
        assert not found, f"{subject} cannot be mapped over clients: {found}"


@pytest.mark.parametrize("name", available_methods())
def test_a_method_has_nothing_that_only_looks_like_a_hook(name):
    assert not lookalikes(available_methods()[name])
