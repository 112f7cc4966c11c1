"""pfltune from Python: what is found is the report's, errors are exceptions, twice works."""

import csv
import html
import math
import os
import signal
import subprocess
import sys
import threading
from importlib import reload
from types import SimpleNamespace

import comparisons
import numpy as np
import pandas as pd
import pytest
from comparisons import Fake
from matplotlib.figure import Figure

import pfltune
from pfltune import jobs
from pfltune.errors import Halted, UserError
from pfltune.jobs import released, resumable
from pfltune.methods.fedavg import FedAvg
from pfltune.registry import find_method, reference_to
from pfltune.report import notebook
from pfltune.report.analysis import analyse
from pfltune.report.columns import result_columns
from pfltune.report.notebook import Results, SensitivityResults
from pfltune.report.results import ToldTrial
from pfltune.report.writer import write_report
from pfltune.tracking.events import RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.store import Store
from pfltune.views import Lines

pytestmark = pytest.mark.usefixtures("png_alone")

CLIENTS = np.linspace(0.3, 0.9, 8)
METHODS = {
    "fedrep": Fake("FedRep", np.stack([CLIENTS, CLIENTS * 0.9]), up_mb=1.5),
    "local": Fake("<b>Local</b>", np.stack([CLIENTS * 0.7, CLIENTS * 0.8]), up_mb=0.0),
    "broken": Fake("Broken", np.empty((0, 8)), searched=(0.1,), failed=1),
}
OPTIONS = {
    "overrides": {"protocol.rounds": 2, "warm_start.epochs": 1},
    "trials": 2,
    "seeds": 1,
    "workers": 2,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A results folder with one comparison and its report."""
    folder = tmp_path_factory.mktemp("api") / "results"
    folder.mkdir()
    comparisons.record(Store(folder), "one", METHODS, mirrored=False)
    write_report(folder, "one")
    return folder


@pytest.fixture(scope="module")
def found(results) -> Results:
    return pfltune.load_results("one", results=results)


def test_the_table_is_the_reports_to_the_last_digit(found):
    rows = {r["method"]: r for r in csv.DictReader((found.report.parent / "summary.csv").open())}
    assert list(found.table.index) == ["fedrep", "local", "broken"]
    assert rows.keys() == {"fedrep", "local"}
    for name, row in rows.items():
        shown = found.table.loc[name]
        for column, text in row.items():
            if column in ("method", "reference", "generalises_over", "verdict"):
                continue
            value = shown[column]
            assert math.isnan(value) if text == "" else float(text) == value, column
    assert found.table.loc["broken"].drop(["title", "seeds"]).isna().all()
    assert found.table["seeds"].tolist() == [2, 2, 0]


def test_a_report_is_of_one_analysis(results, monkeypatch):
    """What is written, what MLflow is told and what the caller gets follow from the same."""
    made, told = [], []

    def counted(*given):
        made.append(analyse(*given))
        return made[-1]

    monkeypatch.setattr(notebook, "analyse", counted)
    monkeypatch.setattr(jobs, "attach_report", lambda _, analysis, *rest: told.append(analysis))
    job = SimpleNamespace(results=results, name="one", folder=results / "one")
    found = jobs.reported(job, Lines(lambda line: None))
    assert len(made) == 1
    assert found.analysis is made[0] is told[0]


def test_each_client_has_the_accuracy_that_it_has_in_the_report(found):
    lines = list(csv.DictReader((found.report.parent / "clients.csv").open()))
    frame = found.clients.sort_values(["method", "seed", "client"])
    ours = list(frame[["method", "seed", "client", "test_accuracy"]].itertuples(index=False))
    theirs = sorted(
        (r["method"], int(r["seed"]), int(r["client"]), float(r["test_accuracy"])) for r in lines
    )
    assert ours == theirs


def test_trials_and_curves_are_those_of_the_journal(found):
    trials = found.trials.set_index("trial")
    assert trials["outcome"].value_counts().to_dict() == {"finished": 9, "failed": 1}
    assert trials.loc["fedrep-search-1", "knobs/lr"] == 0.2
    assert trials.loc["broken-search-1", "failure"] == "loss was nan <in> round 1"
    curve = found.curves.query("trial == 'fedrep-confirm-0'")
    assert curve["round"].tolist() == [1, 2, 3, 4]
    assert curve["comm/total_mb"].tolist() == [3.0, 6.0, 9.0, 12.0]
    assert curve["test/accuracy"].isna().tolist() == [True, False, True, False]


def test_the_best_configuration_is_named_by_method(found):
    assert found.best_of("fedrep") == found.best_of("FedRep") == {"lr": 0.1, "prefix": "tokens"}
    with pytest.raises(UserError, match=r"unknown method 'fedrap'.*fedrep"):
        found.best_of("fedrap")
    with pytest.raises(UserError, match="name one of: fedrep, local, broken"):
        found.best_of()


def test_a_notebook_shows_table_and_figure_and_runs_no_strangers_markup(found):
    shown = found._repr_html_()
    for column in result_columns(found.analysis):
        assert html.escape(column.title) in shown
    assert "data:image/png;base64," in shown
    assert "<b>Local</b>" not in shown
    figure = found.figure("learning_curves")
    assert isinstance(figure, Figure)
    assert figure._repr_png_().startswith(b"\x89PNG")
    with pytest.raises(UserError, match="unknown figure 'pie'"):
        found.figure("pie")


def test_what_has_not_ended_is_shown_as_far_as_it_is(tmp_path):
    one = {"fedavg": Fake("FedAvg", np.empty((0, 4)))}
    comparisons.record(Store(tmp_path), "begun", one, over=False, mirrored=False)
    found = pfltune.load_results("begun", results=tmp_path)
    assert found.table.loc["fedavg", "seeds"] == 0
    assert found.clients.empty
    assert "partial" in found._repr_html_()
    with pytest.raises(UserError, match="nothing that the figure"):
        found.figure()


def test_a_name_that_is_not_there_is_told_with_those_that_are(results):
    with pytest.raises(UserError, match=r"unknown comparison 'two'.*one"):
        pfltune.load_results("two", results=results)


def test_a_class_stands_for_its_name_or_its_file(tmp_path):
    assert reference_to(FedAvg) == "fedavg"
    (tmp_path / "mine.py").write_text(
        "from pfltune import Method\n\n\nclass Mine(Method):\n    pass\n"
    )
    reference = f"{tmp_path / 'mine.py'}:Mine"
    assert reference_to(find_method(reference)) == reference

    class Here(FedAvg):
        pass

    with pytest.raises(UserError, match="a file of its own"):
        reference_to(Here)


def test_no_call_exits_and_a_stop_says_how_it_goes_on():
    with pytest.raises(Halted, match=r"sys\.exit\(3\)"), resumable("compare", "one"):
        sys.exit(3)
    with pytest.raises(KeyboardInterrupt) as stopped, resumable("compare", "one"):
        raise KeyboardInterrupt
    assert "pfltune.compare(resume='one')" in stopped.value.__notes__[0]


def test_a_connection_to_ray_that_is_not_ours_is_left_alone(monkeypatch):
    monkeypatch.setattr("pfltune.jobs._connected", lambda: True)
    with pytest.raises(UserError, match="connected to Ray already"), released():
        pytest.fail("nothing runs")


def test_another_thread_than_the_main_one_is_told_so():
    told = []

    def call():
        with pytest.raises(UserError, match="main thread") as error:
            pfltune.tune("fedavg")
        told.append(error.value)

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert len(told) == 1


def part(personal, seed, accuracy):
    knobs = {"lr": 0.03, "personal": personal}
    name = f"fedsim-confirm-{personal}-{seed}"
    started = TrialStarted(name, "fedsim", "confirm", seed, -1, seed, knobs)
    figures = {"comm/total_mb": 6.0, "rounds": 2.0, "selected/test_accuracy": accuracy}
    selected = {"round": 2, "val": [0.5, 0.5], "test": [accuracy - 0.1, accuracy + 0.1]}
    return ToldTrial(
        started, [RoundDone(name, 2, 0.5, figures)], TrialEnded(name, "finished", 2, "", selected)
    )


def test_a_study_is_a_table_by_personal_part(tmp_path):
    trials = [part("none", 1, 0.4), part("none", 2, 0.6), part("attn,head", 1, 0.7)]
    record = comparisons.record_of(METHODS, "study")
    found = SensitivityResults(record, tmp_path, trials)
    assert list(found.table.index) == ["none", "attn,head"]
    assert found.table.loc["none", "test/accuracy"] == 0.5
    assert found.table.loc["none", "test/accuracy_std_seeds"] == pytest.approx(0.02**0.5)
    assert found.table.loc["attn,head", "comm/mb_per_round"] == 3.0
    assert found.clients["test_accuracy"].tolist()[:2] == pytest.approx([0.3, 0.5])
    assert found.trials["knobs/personal"].tolist() == ["none", "none", "attn,head"]
    shown = found._repr_html_()
    assert "self-attention" in shown
    assert "data:image/png;base64," in shown
    assert SensitivityResults(record, tmp_path, []).table.empty


STOPPED = """
import os, signal, sys, threading
import pfltune

def interrupt(self, event):
    if type(event).__name__ == "RoundDone":
        os.kill(os.getpid(), signal.SIGINT)

import pfltune.studies.progress as progress
progress.ComparisonLines.apply = interrupt
pfltune.compare(["fedavg", "local"], name="stopped", results=sys.argv[1], trials=2, seeds=1,
    workers=1, overrides={"protocol.rounds": 4, "warm_start.epochs": 1})
"""


@pytest.mark.slow
def test_two_calls_in_one_process_and_a_third_that_goes_on(tmp_path, capsys):
    handler = signal.getsignal(signal.SIGINT)
    first = pfltune.compare("fedavg", name="one", results=tmp_path, **OPTIONS)
    capsys.readouterr()
    second = pfltune.tune(FedAvg, name="two", results=tmp_path, knobs={"lr": 0.05}, **OPTIONS)
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "")
    assert second.best == {"lr": 0.05}
    assert first.report.is_file()
    again = pfltune.compare(resume="one", results=tmp_path)
    pd.testing.assert_frame_equal(again.table, first.table)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.slow
def test_ctrl_c_is_an_exception_and_what_is_done_is_kept(tmp_path):
    program = [sys.executable, "-c", STOPPED, str(tmp_path)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=400, check=False)
    assert "KeyboardInterrupt" in done.stderr or "Stopped" in done.stderr
    assert "pfltune.compare(resume='stopped')" in done.stderr
    assert not pfltune.load_results("stopped", results=tmp_path).curves.empty


def test_mlflow_reports_no_use_to_its_makers_unless_it_is_asked_to(monkeypatch):
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    reload(pfltune)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "false")
    reload(pfltune)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "false"
