"""The report's figures against values worked out by hand."""

import csv
import io
import math

import pytest
from rich.console import Console

from pfltune.report.figures import write_figures
from pfltune.report.results import ComparisonResult, ConfirmedRun, MethodResult
from pfltune.report.table import csv_table, local_steps, markdown_table, terminal_table
from pfltune.report.writer import page

SCENARIO = {
    "title": "Digits",
    "backbone": {"weights": "warm-start"},
    "warm_start": {"epochs": 30, "share": 0.2},
}
BUDGET = {"trials": 8, "generation": 4, "eta": 3, "seeds": 2}


def run(seed, test, total_mb=6.0, adapted=0.0):
    metrics = {
        "selected/test_accuracy": test,
        "selected/test_accuracy_std": 0.1,
        "selected/test_accuracy_worst_decile": 0.5,
        "selected/val_accuracy": 0.9,
        "comm/total_mb": total_mb,
        "comm/setup_mb": 0.0,
        "params/shared": 1000.0,
        "params/personal": 10.0,
        "train/steps": 4000.0,
        "train/adaptation_steps": adapted,
        "time/total_s": 1.5,
        "memory/peak_mb": 100.0,
        "rounds": 4.0,
    }
    curve = [(2, 0.5), (4, test)]
    return ConfirmedRun(seed, metrics, {"val/accuracy": curve, "test/accuracy": curve})


def method(title, *runs, failures=()):
    best = {"lr": "0.1"} if runs else {}
    return MethodResult(
        title.lower(), title, "id", best, runs, 8, len(failures), 100.0, tuple(failures)
    )


@pytest.fixture
def result():
    return ComparisonResult(
        "trial",
        "1",
        "digits",
        {"scenario": SCENARIO, "budget": BUDGET},
        (
            method("FedRep", run(1, 0.70), run(2, 0.80)),
            method("Local", run(1, 0.60, 0.0), run(2, 0.60, 0.0)),
            method("Broken", failures=["<b>ZeroDivisionError</b>: oh"]),
        ),
    )


def test_mean_and_sample_standard_deviation_over_seeds(result):
    """0.70 and 0.80: mean 0.75; sample standard deviation √(2·0.05²/1) = 0.0707."""
    assert result.methods[0].mean("selected/test_accuracy") == pytest.approx(0.75)
    assert result.methods[0].std("selected/test_accuracy") == pytest.approx(math.sqrt(0.005))


def test_one_seed_has_no_spread_and_none_is_not_a_number():
    assert method("A", run(1, 0.7)).std("selected/test_accuracy") == 0.0
    assert math.isnan(method("A").mean("selected/test_accuracy"))
    assert math.isnan(method("A").std("selected/test_accuracy"))


def test_the_table_rounds_for_reading(result):
    rows = markdown_table(result).splitlines()
    assert rows[0].startswith("| method | test accuracy % |")
    assert rows[2] == "| FedRep | 75.00 ± 7.07 | 10.00 | 1.500 | 6.00 | 10 | 1,000 | 4,000 | 1.5 |"
    assert rows[4].startswith("| Broken | failed |")


def test_steps_of_adaptation_stand_beside_those_of_training(result):
    adapting = method("FedBABU", run(1, 0.7, adapted=1200.0))
    assert local_steps(result.methods[0]) == "4,000"
    assert local_steps(adapting) == "4,000 + 1,200"


def test_the_spreadsheet_keeps_every_digit_and_seed(result):
    rows = list(csv.DictReader(io.StringIO(csv_table(result))))
    assert [(row["method"], row["seed"]) for row in rows] == [
        ("fedrep", "1"),
        ("fedrep", "2"),
        ("local", "1"),
        ("local", "2"),
    ]
    assert float(rows[1]["selected/test_accuracy"]) == 0.80


def test_the_terminal_table_fits_into_a_hundred_columns(result):
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(terminal_table(result))
    text = console.export_text()
    assert "75.00 ± 7.07" in text
    assert "…" not in text


def test_the_page_stands_alone_and_escapes_what_strangers_say(result, tmp_path):
    names = write_figures(result, tmp_path)
    html = page(result, tmp_path, names)
    assert html.count("data:image/png;base64,") == len(names) == 2
    assert "http" not in html.partition("</style>")[2]
    assert "&lt;b&gt;ZeroDivisionError" in html
    assert "trained for 30 epochs on 20% of the data set" in html
    for name in names:
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000
