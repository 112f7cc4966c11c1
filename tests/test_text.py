"""Texts of strangers, as they are shown: in one line, without instructions and without secrets."""

import pytest

from pfltune.text import count, plain, redacted


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("FedAvg", "FedAvg"),
        ("two\nlines\tand  more", "two lines and more"),
        ("\x1b]0;title\x07red\x1b[31m", "]0;titlered[31m"),
        ("nul\x00 and delete\x7f", "nul and delete"),
        ("abc\u202edcba\u2066x", "abcdcbax"),
        ("\ud800half", "half"),
        ("Größe ± 1 × 2, 連合学習", "Größe ± 1 × 2, 連合学習"),
        ("", ""),
    ],
)
def test_a_strangers_text_is_one_line_without_instructions(text, shown):
    assert plain(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://me:secret@host/db", "postgresql://***@host/db"),
        (
            "see 'mysql+pymysql://me:s@cr/et@host:3306/db'.",
            "see 'mysql+pymysql://***@host:3306/db'.",
        ),
        ("https://:secret@host", "https://***@host"),
        ("https://token@host/path", "https://***@host/path"),
        ("a://u:secret@x and b://v:secret@y", "a://***@x and b://***@y"),
        ("postgresql://h/db?user=me&password=secret", "postgresql://h/db?user=me&password=***"),
        ("{'Authorization': 'Bearer abc.def-123'}", "{'Authorization': 'Bearer ***'}"),
        ("sqlite:////results/mlflow.db", "sqlite:////results/mlflow.db"),
        ("http://127.0.0.1:5000/#/experiments/1", "http://127.0.0.1:5000/#/experiments/1"),
        ("me@example.org", "me@example.org"),
    ],
)
def test_credentials_are_not_shown(text, shown):
    assert redacted(text) == shown


def test_a_secret_of_the_environment_is_not_shown(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct horse")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "battery+staple")
    monkeypatch.setenv("MY_TOKEN", "no")  # short enough to be part of any word
    assert redacted("no: correct horse, battery+staple") == "no: ***, ***"


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 seeds"), (1, "1 seed"), (2, "2 seeds"), (1000, "1,000 seeds")]
)
def test_a_noun_agrees_with_its_number(number, words):
    assert count(number, "seed") == words
