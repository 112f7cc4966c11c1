"""The sensitivity study: as a process on real images, and its table from figures by hand."""

import csv

import pytest
from inline import command

from pfltune.report.sensitivity import Cell, figure, rows
from pfltune.tracking.store import Store

SHORT = ["-o", "protocol.rounds=2", "-o", "warm_start.epochs=1"]


def test_the_table_has_a_row_for_each_kind_alone_and_with_the_head():
    cells = {
        "none": Cell((0.25,), 6.0),
        "attn": Cell((0.5, 0.75), 4.0),
        "attn,head": Cell((0.5, 0.5), 3.5),
    }
    found = {line[0]: line[1:] for line in rows(cells)}
    assert found["nothing (FedAvg)"] == ["25.00", "", "6.000", ""]
    # mean 62.5, sample standard deviation 25/√2 = 17.68
    assert found["self-attention"] == ["62.50 ± 17.68", "50.00 ± 0.00", "4.000", "3.500"]
    assert found["MLP"] == ["", "", "", ""]


def test_the_figure_shows_each_part_once():
    axes = figure({"attn": Cell((0.5,), 1.0), "attn,head": Cell((0.6,), 1.0)}).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["self-attention"]
    assert sorted(x for line in axes.lines for x in line.get_xdata()) == [50.0, 60.0]


@pytest.mark.slow
def test_every_part_is_trained_and_told(tmp_path):
    done = command(tmp_path, "sensitivity", *SHORT, "--name", "study", "--workers", "2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "13 of 13" in done.stdout
    report = tmp_path / "results" / "study" / "report"
    lines = list(csv.DictReader((report / "sensitivity.csv").open()))
    assert len({line["personal"] for line in lines}) == len(lines) == 13
    assert len({line["seed"] for line in lines}) == 1
    sent = {line["personal"]: float(line["mb_per_round"]) for line in lines}
    assert sent["all"] == 0
    assert sent["mlp,head"] < sent["mlp"] < sent["attn"] < sent["none"]
    store = Store(tmp_path / "results")
    experiment = store.client.get_experiment_by_name("study").experiment_id
    runs = store.client.search_runs([experiment])
    assert {run.info.status for run in runs} == {"FINISHED"}
    assert len(runs) == 15
    top = next(run for run in runs if run.data.tags["stage"] == "comparison")
    attached = {item.path for item in store.client.list_artifacts(top.info.run_id, "report")}
    assert "report/sensitivity.png" in attached
