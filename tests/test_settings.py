"""YAML files: read safely, and nothing of them passed over without a word."""

import pytest

from pfltune.errors import UserError
from pfltune.settings import MOST_BYTES, plain_yaml, read_yaml


def refusal(text):
    with pytest.raises(UserError) as caught:
        plain_yaml(text, "here")
    message = str(caught.value)
    assert message.startswith("here is not valid YAML: ")
    assert "\n" not in message
    assert message.isprintable()
    return message


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",
        "x: {a: 1, b: 2, a: 3}",
        "- {a: 1, a: 1}",
        "x: &x {a: 1, a: 2}\ny: *x",
        "x: {<<: {a: 1, a: 2}}",
    ],
)
def test_a_key_that_stands_twice_is_refused_by_name(text):
    assert "the key 'a' stands there twice" in refusal(text)


def test_what_is_merged_may_be_changed():
    text = "deep: {er: {c: &c {<<: &b {a: 1}, a: 2}}}\nd: {<<: *c, a: 3}"
    assert plain_yaml(text, "here")["d"] == {"a": 3}
    assert plain_yaml(text, "here")["deep"]["er"]["c"] == {"a": 2}


@pytest.mark.parametrize("escape", ["\\e[31m", "\\x07", "\\r", "\\x9b", "\\0"])
def test_characters_that_command_a_terminal_are_refused(escape):
    assert "control characters" in refusal(f'title: "red {escape}"')
    assert "control characters" in refusal(f'"{escape}": 1')


def test_lines_and_tabs_are_text():
    assert plain_yaml('about: "one\\n\\ttwo"', "here") == {"about": "one\n\ttwo"}


def test_a_file_that_is_too_large_is_refused_unread(tmp_path):
    path = tmp_path / "large.yaml"
    path.write_text("a: 1\n" + "#" * MOST_BYTES)
    with pytest.raises(UserError, match=r"large\.yaml is no file of settings: .* 1,000,000 bytes"):
        read_yaml(path)
    path.write_text("a: 1\n" + "#" * (MOST_BYTES - 5))
    assert read_yaml(path) == {"a": 1}
