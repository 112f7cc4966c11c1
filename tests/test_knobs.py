"""Knobs: values are typed, held to their range, and refused in words a user can act on."""

import dataclasses
from dataclasses import dataclass, make_dataclass

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


# Declarations


def declared(annotation, default, **options):
    """A class ``Strange`` with the one knob ``mu``."""
    fields = [("mu", annotation, knob(default, doc="strength", **options))]
    return make_dataclass("Strange", fields, frozen=True, kw_only=True)


@pytest.mark.parametrize(
    ("annotation", "default", "options", "words"),
    [
        (float, 0.1, {"low": 0, "high": 1, "log": True}, "log=True needs a range above 0"),
        (float, 0.1, {"low": -1, "log": True}, "log=True needs a range above 0"),
        (float, 0.5, {"low": 0.5, "high": 0.5}, "low=0.5 must be below high=0.5"),
        (float, 0.5, {"low": 1.0, "high": 0.0}, "low=1.0 must be below high=0.0"),
        (float, 0.5, {"low": 0.0, "high": float("inf")}, "not finite float values"),
        (float, 2.0, {"low": 0.0, "high": 1.0}, "mu=2.0 is not valid"),
        (int, 1, {"low": 0.5, "high": 3}, "not finite int values"),
        (int, 1.5, {}, "mu=1.5 is not valid"),
        (str, "a", {"choices": ()}, "choices=() are not different values of str"),
        (str, "a", {"choices": ("a", "a")}, "are not different values of str"),
        (int, 1, {"choices": (1, "two")}, "are not different values of int"),
        (str, "c", {"choices": ("a", "b")}, "mu='c' is not valid"),
        (str, "a", {"low": 0, "high": 1}, "a range needs a number, and it is str"),
        (bool, False, {"low": 0, "high": 1}, "a range needs a number, and it is bool"),
        (int, 1, {"choices": (1, 2), "low": 1, "high": 2}, "it has choices and a range"),
        (list, [], {}, "its type is list; possible: int, float, str, bool"),
        (float | None, 0.5, {}, "possible: int, float, str, bool"),
        (float, 0.5, {"when": {"mus": 1}}, "unknown knob in when of Strange.mu 'mus'"),
        (float, 0.5, {"when": {"mu": 0.5}}, "it depends on itself"),
    ],
)
def test_a_knob_that_is_declared_wrongly_is_one_line_with_class_and_knob(
    annotation, default, options, words
):
    if default == []:
        default = "text"
    with pytest.raises(UserError) as caught:
        knobs_of(declared(annotation, default, **options))
    message = str(caught.value)
    assert words in message
    assert "Strange" in message
    assert "mu" in message
    assert "\n" not in message


@pytest.mark.parametrize("annotation", [float, "float"])
def test_the_annotation_is_the_type(annotation):
    found = knobs_of(declared(annotation, 0, low=0, high=1))["mu"]
    assert found.type is float
    assert type(found.default) is float
    assert found.check("0.25", "strange") == 0.25


@pytest.mark.parametrize(
    ("annotation", "choices", "given"),
    [(bool, (False, True), "true"), (int, (1, 2, 4), "4"), (float, (0, 0.5), "0.5")],
)
def test_choices_may_be_of_any_type(annotation, choices, given):
    found = knobs_of(declared(annotation, choices[0], choices=choices))["mu"]
    assert found.check(given, "strange") == choices[-1]
    assert {type(choice) for choice in found.choices} == {annotation}
    with pytest.raises(UserError, match="one of"):
        found.check("3", "strange")


@dataclass(frozen=True, kw_only=True)
class Switched:
    flag: bool = knob(False, doc="whether to")
    count: int = knob(1, choices=(1, 2), doc="how many")
    rate: float = knob(0.1, low=0.0, high=1.0, when={"flag": "true", "count": "2"}, doc="rate")
    inner: float = knob(0.1, low=0.0, high=1.0, when={"rate": 0.5}, doc="inner rate")


def test_a_condition_is_a_value_of_the_knob_that_it_names():
    given = checked_values(Switched, "s", {"flag": "true", "count": 2, "rate": 0.5, "inner": 0.2})
    assert given == {"flag": True, "count": 2, "rate": 0.5, "inner": 0.2}
    with pytest.raises(UserError, match=r"rate=0\.5 has no effect; it needs flag=true and count=2"):
        checked_values(Switched, "s", {"rate": 0.5})


@pytest.mark.parametrize(
    ("fixed", "left"), [(True, ["count", "rate", "inner"]), (False, ["count"])]
)
def test_a_knob_redeclared_as_a_plain_field_decides_what_depends_on_it(fixed, left):
    fields = [("flag", bool, dataclasses.field(default=fixed))]
    cls = make_dataclass("Fixed", fields, bases=(Switched,), frozen=True, kw_only=True)
    assert list(knobs_of(cls)) == left
