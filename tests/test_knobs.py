"""Knobs: values are typed, held to their range, and refused in words a user can act on."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pfltune.errors import UserError
from pfltune.knobs import checked_values, knob, knobs_of


@dataclass(frozen=True, kw_only=True)
class Sample:
    rate: float = knob(0.1, low=0.001, high=1.0, log=True, doc="rate of learning")
    epochs: int = knob(2, low=1, high=10, doc="passes over the data")
    kind: str = knob("adapter", choices=("adapter", "tokens"), doc="kind of prefix")
    flag: bool = knob(False, doc="whether to")
    label: str = knob("none", doc="free text")
    width: int = knob(8, low=1, high=64, when={"kind": "adapter"}, doc="inner width")
    length: int = knob(4, low=1, high=32, when={"kind": "tokens"}, doc="tokens per layer")
    plain: int = 3


def check(**values):
    return checked_values(Sample, "sample", values)


def refusal(**values) -> str:
    """The one line that a user reads when ``values`` are refused."""
    with pytest.raises(UserError) as caught:
        check(**values)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_knobs_are_the_fields_declared_as_such_in_order():
    names = ["rate", "epochs", "kind", "flag", "label", "width", "length"]
    assert list(knobs_of(Sample)) == names
    assert knobs_of(Sample)["epochs"].type is int
    assert knobs_of(Sample)["rate"].default == 0.1


@pytest.mark.parametrize(
    ("name", "given", "typed"),
    [
        ("rate", "0.5", 0.5),
        ("rate", "1e-2", 0.01),
        ("rate", 1, 1.0),
        ("epochs", "2", 2),
        ("epochs", 2.0, 2),
        ("epochs", "3.0", 3),
        ("kind", "tokens", "tokens"),
        ("flag", "true", True),
        ("flag", "False", False),
        ("flag", True, True),
        ("label", "anything", "anything"),
    ],
)
def test_a_value_comes_back_in_the_type_of_its_knob(name, given, typed):
    value = check(**{name: given})[name]
    assert value == typed
    assert type(value) is type(typed)


@pytest.mark.parametrize("value", [0.001, 1.0, "0.001", "1"])
def test_both_ends_of_a_range_are_valid(value):
    assert check(rate=value)["rate"] == float(value)


@pytest.mark.parametrize("value", [0.000999, 1.0001, -0.5, "2", 0])
def test_a_value_outside_its_range_is_refused_with_the_range(value):
    message = refusal(rate=value)
    for word in ("sample", f"rate={value!r}", "0.001 to 1", "rate of learning"):
        assert word in message


@pytest.mark.parametrize("value", [0, 11, "0", "11"])
def test_whole_numbers_have_their_range_too(value):
    message = refusal(epochs=value)
    assert f"epochs={value!r}" in message
    assert "1 to 10" in message


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["rate", "epochs"])
def test_what_is_not_finite_is_refused(name, value):
    assert f"{name}={value!r}" in refusal(**{name: value})


def test_a_number_too_large_for_a_float_is_refused_like_any_other():
    assert "0.001 to 1" in refusal(rate=10**400)


@pytest.mark.parametrize("value", [2.5, "2.5", "two", "", None, [2], True, "true"])
def test_what_is_no_whole_number_is_refused(value):
    message = refusal(epochs=value)
    assert f"epochs={value!r}" in message
    assert "whole number" in message


@pytest.mark.parametrize("value", ["fast", "", None, (0.1,), True])
def test_what_is_no_number_is_refused(value):
    assert "a number" in refusal(rate=value)


@pytest.mark.parametrize("value", ["prompts", "Adapter", "", 1, None])
def test_a_word_that_is_no_choice_is_refused_with_the_choices(value):
    message = refusal(kind=value)
    assert f"kind={value!r}" in message
    assert "adapter, tokens" in message


@pytest.mark.parametrize("value", ["yes", "1", 1, 0, 1.0, None, []])
def test_only_true_and_false_are_truth_values(value):
    message = refusal(flag=value)
    assert f"flag={value!r}" in message
    assert "true or false" in message


def test_an_unknown_knob_names_the_choices_and_the_nearest():
    message = refusal(epoch=3)
    assert "'epoch'" in message
    assert "did you mean 'epochs'" in message
    for name in knobs_of(Sample):
        assert name in message


def test_a_field_that_is_no_knob_cannot_be_set():
    assert "unknown knob" in refusal(plain=4)


def test_a_knob_without_effect_is_refused_with_what_it_needs():
    message = refusal(kind="tokens", width=16)
    assert "width=16" in message
    assert "kind=adapter" in message


def test_a_knob_without_effect_beside_the_defaults_is_refused():
    assert "kind=tokens" in refusal(length=5)


def test_a_conditional_knob_is_accepted_where_it_applies():
    assert check(width=16) == {"width": 16}, "kind is adapter by default"
    assert check(kind="tokens", length="5") == {"kind": "tokens", "length": 5}


def test_defaults_are_not_filled_in():
    assert check() == {}


@settings(max_examples=50)
@given(st.floats(min_value=0.001, max_value=1.0))
def test_any_number_in_range_survives_being_written_as_text(value):
    assert check(rate=str(value)) == {"rate": value}


@settings(max_examples=20)
@given(st.integers(1, 10))
def test_any_whole_number_in_range_survives_being_written_as_text(value):
    assert check(epochs=str(value)) == check(epochs=float(value)) == {"epochs": value}


@settings(max_examples=20)
@given(st.text(max_size=10))
def test_any_text_survives(value):
    assert check(label=value) == {"label": value}


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_float_is_either_in_range_or_refused(value):
    if 0.001 <= value <= 1.0:
        assert check(rate=value) == {"rate": value}
    else:
        assert "0.001 to 1" in refusal(rate=value)
