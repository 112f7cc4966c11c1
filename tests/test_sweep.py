"""Sweeps: which cells options ask for, their record, and the report over all of them."""

import csv
import json
from itertools import count
from math import prod

import numpy as np
import pytest
from comparisons import Fake, record
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from pfltune.cli.tables import print_sweep
from pfltune.errors import UserError
from pfltune.report.sweep import over_settings, read_sweep_result, write_sweep
from pfltune.running.folder_lock import checked_name
from pfltune.sweeps import SWEEP, Sweep, cells_of, read_sweep, values_in
from pfltune.tracking.store import Store

pytestmark = pytest.mark.usefixtures("png_alone")

ALPHAS = ("0.1", "0.5", "1.0")
VALUES = st.one_of(
    st.floats(0.01, 9).map(str),
    st.integers(0, 9).map(str),
    st.sampled_from(["fedper", "a/b.yaml", "[1, 2]", "{a: 1, b: 2}", '"x, y"', "folder:/a b"]),
)


@given(values=st.lists(VALUES, min_size=1, max_size=5), space=st.sampled_from(["", " "]))
def test_commas_divide_values_unless_they_stand_in_brackets_or_quotes(values, space):
    assert values_in(f",{space}".join(values)) == values


def test_a_setting_with_one_value_is_not_swept():
    assert cells_of("n", "digits", ["partition.alpha=0.1", "published={a: 1, b: 2}"]) == ()


@given(
    alphas=st.lists(VALUES, min_size=1, max_size=3, unique=True),
    scenarios=st.lists(
        st.sampled_from(["digits", "my/digits.yaml", "x.yaml"]), min_size=1, max_size=3, unique=True
    ),
)
def test_every_choice_is_one_cell_with_a_name_of_its_own(alphas, scenarios):
    overrides = ["protocol.rounds=3", f"partition.alpha={','.join(alphas)}"]
    cells = cells_of("n", ",".join(scenarios), overrides)
    wanted = prod(map(len, (alphas, scenarios)))
    assert len(cells) == (wanted if wanted > 1 else 0)
    assert len({cell.name for cell in cells}) == len(cells)
    assert len({(cell.scenario, cell.overrides) for cell in cells}) == len(cells)
    for cell in cells:
        assert checked_name(cell.name).startswith("n.")
        assert cell.overrides[0] == "protocol.rounds=3"


def test_names_and_labels_are_short():
    cells = cells_of("n", "digits,my/own.yaml", ["partition.alpha=0.1,0.5"])
    assert [cell.name for cell in cells] == [
        "n.digits.alpha-0.1",
        "n.digits.alpha-0.5",
        "n.own.alpha-0.1",
        "n.own.alpha-0.5",
    ]
    assert cells[0].label == "digits, alpha=0.1"
    two = cells_of("n", "digits", ["data.size=1,2", "backbone.size=3,4"])
    assert two[0].label == "data.size=1, backbone.size=3"


def test_a_value_twice_and_too_many_cells_are_refused():
    with pytest.raises(UserError, match=r"partition\.alpha is swept over 0\.1 twice"):
        cells_of("n", "digits", ["partition.alpha=0.1,0.5,0.1"])
    many = ",".join(map(str, range(20)))
    with pytest.raises(UserError, match="20 × 20 = 400 cells; possible: up to 200"):
        cells_of("n", "digits", [f"a.b={many}", f"a.c={many}"])


def sweep_of(overrides, scenarios="digits"):
    return Sweep(name="n", command="compare", cells=cells_of("n", scenarios, overrides))


def test_the_record_comes_back_and_a_damaged_one_is_one_line(tmp_path):
    assert read_sweep(tmp_path) is None
    made = sweep_of(["partition.alpha=0.1,0.5"])
    made.write(tmp_path)
    assert read_sweep(tmp_path) == made
    assert made.swept == {"partition.alpha": ("0.1", "0.5")}
    content = json.loads((tmp_path / SWEEP).read_text())
    (tmp_path / SWEEP).write_text(json.dumps({**content, "cells": []}))
    with pytest.raises(UserError, match=r"sweep\.json is damaged") as told:
        read_sweep(tmp_path)
    assert "\n" not in str(told.value)


@pytest.fixture
def swept(tmp_path):
    """A sweep over three values in two scenarios, of which one cell has not begun."""
    sweep = sweep_of([f"partition.alpha={','.join(ALPHAS)}"], "digits,other.yaml")
    sweep.write(tmp_path / "n")
    store, numbers = Store(tmp_path), count()
    for cell in sweep.cells[:-1]:
        shift = 0.05 * next(numbers)
        methods = {
            "fedavg": Fake("FedAvg", np.full((2, 4), 0.5) + shift + [[0], [0.02]]),
            "local": Fake("Local", np.full((2, 4), 0.7) - shift),
        }
        record(store, cell.name, methods, mirrored=False)
    return tmp_path, sweep


def test_the_report_has_a_section_for_each_cell_and_says_what_is_missing(swept):
    results, sweep = swept
    why = "partition.alpha=1.0: it does not suffice\x1b"
    found = read_sweep_result(results, sweep, {"n.other.alpha-1.0": why})
    folder = write_sweep(found, results)
    page = (folder / "report.html").read_text()
    for cell in sweep.cells[:-1]:
        assert f"<h2>{cell.label}</h2>" in page
    assert "n.other.alpha-1.0 is missing: partition.alpha=1.0: it does not suffice" in page
    assert "\x1b" not in page
    assert "accuracy over settings" in page, "the figure is there"
    with (folder / "table.csv").open() as file:
        rows = {row["method"]: row for row in csv.DictReader(file)}
    for place, cell in enumerate(sweep.cells[:-1]):
        assert float(rows["fedavg"][cell.label]) == pytest.approx(0.51 + 0.05 * place)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    write_sweep(found, results)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_the_figure_has_a_panel_for_each_choice_of_the_other_settings(swept):
    drawing = over_settings(read_sweep_result(*swept))
    shown = [pane for pane in drawing.figure.axes if pane.get_visible()]
    assert [pane.get_title() for pane in shown] == ["digits", "other.yaml"]
    (first, second) = shown
    line = first.containers[0].lines[0]
    assert list(line.get_xdata()) == [0.1, 0.5, 1.0]
    assert list(line.get_ydata()) == pytest.approx([51, 56, 61])
    assert list(second.containers[0].lines[0].get_xdata()) == [0.1, 0.5], "one has not begun"
    assert first.get_xscale() == "log"


def test_values_that_are_no_numbers_stand_one_after_the_other(tmp_path):
    sweep = sweep_of(["partition.kind=iid,dirichlet"])
    for cell in sweep.cells:
        methods = {"fedavg": Fake("FedAvg", np.full((1, 4), 0.5))}
        record(Store(tmp_path), cell.name, methods, mirrored=False)
    drawing = over_settings(read_sweep_result(tmp_path, sweep))
    (pane,) = drawing.figure.axes
    assert [text.get_text() for text in pane.get_xticklabels()] == ["iid", "dirichlet"]


def test_a_sweep_of_which_nothing_has_begun_is_one_line(tmp_path):
    sweep = sweep_of(["partition.alpha=0.1,0.5"])
    with pytest.raises(UserError, match=r"no cell of n has begun: .*alpha") as told:
        read_sweep_result(tmp_path, sweep, {"n.alpha-0.1": "alpha is too small"})
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_terminal_shows_as_many_cells_as_fit(swept, tmp_path, width):
    path = tmp_path / "out.txt"
    with path.open("w") as file:
        print_sweep(Console(file=file, width=width, force_terminal=True), read_sweep_result(*swept))
    lines = path.read_text().splitlines()
    assert all(len(line) <= width for line in lines if "missing" not in line)
    assert any(line.split()[:1] == ["Local"] for line in lines)
    assert any("n.other.alpha-1.0 is missing" in line for line in lines)
    assert any("no room here" in line for line in lines) == (width < 200)


@pytest.mark.parametrize(
    "command",
    [
        ("extend", "n", "--seeds", "9"),
        ("certify", "n"),
        ("trials", "n"),
        ("report", "n", "n.digits.alpha-0.1"),
        ("sensitivity", "--name", "n"),
        ("compare", "--name", "n"),
        ("compare", "--name", "n", "-o", "partition.alpha=0.1,0.9"),
        ("tune", "fedavg", "--name", "n", "-o", "partition.alpha=0.1,0.5"),
    ],
    ids=" ".join,
)
def test_a_sweep_is_no_comparison_and_that_is_said_in_one_line(swept, called, command):
    results, _ = swept
    before = sorted(path for path in results.rglob("*"))
    code, _, errors = called(*command, "--results", str(results))
    assert code == 2
    assert "n is a sweep" in errors or "n was begun by another command" in errors
    assert errors.count("\n") == 1
    assert sorted(path for path in results.rglob("*")) == before


def test_methods_of_a_sweep_are_read_as_those_of_a_comparison(called, tmp_path):
    """They were taken letter by letter: "unknown method 'f'"."""
    where = ("--results", str(tmp_path), "-o", "partition.alpha=-1,-2")
    code, _, errors = called("compare", "--methods", "fedavg,local", *where)
    assert code == 2
    assert "no cell of" in errors
    assert "alpha=-1: Input should be greater than 0" in errors
