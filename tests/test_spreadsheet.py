"""CSV files hold figures and texts, and nothing that a spreadsheet would compute."""

import csv
import io

import pytest

from pfltune.report.spreadsheet import text


def cells(table: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(table)))


@pytest.mark.parametrize(
    "told", ["=1+1", "@SUM(A1)", "+cmd|' /C calc'!A0", "-2+3", "\t=1", '=HYPERLINK("x","y")']
)
def test_a_text_that_looks_like_a_formula_is_quoted(told):
    assert cells(text([told], [[told, 1]])) == [[f"'{told}"], [f"'{told}", "1"]]


@pytest.mark.parametrize("told", ["-0.5", "+1e-3", "-inf", "nan", "fedavg[lr=0.1]", "FedAvg", ""])
def test_numbers_and_other_texts_are_as_they_are(told):
    assert cells(text(["head"], [[told, -0.25]])) == [["head"], [told, "-0.25"]]
