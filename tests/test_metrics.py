"""What a scenario has told of its clients beside accuracy."""

import pickle
import re
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
import pytest
import torch
from comparisons import Fake, record
from sklearn.metrics import balanced_accuracy_score

from pfltune.errors import UserError, told
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.evaluation import over_clients
from pfltune.federation.trial import FederatedTrial
from pfltune.figures import Measure
from pfltune.methods.fedbabu import FedBABU
from pfltune.methods.fedper import FedPer
from pfltune.metrics import BalancedAccuracy, measures
from pfltune.program import Program
from pfltune.report.analysis import analyse
from pfltune.report.columns import cells, result_columns
from pfltune.report.results import read_results
from pfltune.report.spreadsheet import csv_clients, csv_summary, csv_table
from pfltune.scenario import load_scenario
from pfltune.storage import Folder
from pfltune.tracking.store import Store

METRIC = """
import torch
from pfltune import Metric

class Own(Metric):
    {body}

    def of(self, logits, labels):
        {code}
"""


def named(*references):
    """The metrics that a scenario names so."""
    return load_scenario("digits", [f"metrics=[{','.join(references)}]"]).metrics


@pytest.fixture
def own(tmp_path):
    """``own(code, body)`` writes a metric and returns its reference."""

    def write(code="return logits.sum()", body='"""A number."""'):
        path = tmp_path / "own.py"
        path.write_text(METRIC.format(code=code, body=body))
        return f"{path}:Own"

    return write


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
@pytest.mark.parametrize("seed", range(20))
def test_balanced_accuracy_is_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    classes, samples = int(rng.integers(2, 8)), int(rng.integers(1, 40))
    labels = rng.integers(0, rng.integers(1, classes + 1), samples)  # some classes are not there
    logits = rng.normal(size=(samples, classes))
    found = BalancedAccuracy().of(torch.tensor(logits), torch.tensor(labels))
    expected = balanced_accuracy_score(labels, logits.argmax(1))
    assert found.item() == pytest.approx(expected, rel=1e-12)


@pytest.fixture
def measured(federation):
    return replace(federation, metrics=(BalancedAccuracy(),))


@pytest.mark.filterwarnings("ignore:y_pred contains", "ignore:A single label")
def test_every_client_is_measured_on_its_own_samples(measured):
    trial = FederatedTrial(FedPer(lr=0.3), measured, seed=0)
    (report, *_) = list(trial.run())
    (found,) = trial.evaluate().extras
    for client, split in enumerate(measured.clients):
        model = trial.method.assemble(trial.server, trial.personal[client])
        for values, part in ((found.val, split.val), (found.test, split.test)):
            logits, labels = trial._trainer.answers(model, part)
            expected = balanced_accuracy_score(labels, logits.argmax(1))
            assert values[client] == pytest.approx(expected)
    assert {"val/balanced_accuracy_std", "test/balanced_accuracy"} <= report.metrics.keys()


def test_nothing_else_depends_on_what_is_measured(federation, measured, run_trial, state_of):
    without, beside = run_trial(FedBABU(), federation), run_trial(FedBABU(), measured)
    for one, other in zip(without.metrics, beside.metrics, strict=True):
        assert one == {name: other[name] for name in one}
        assert all("balanced" in name for name in other.keys() - one.keys())
    assert without.trial.selection.round == beside.trial.selection.round
    a, b = state_of(without.trial), state_of(beside.trial)
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_the_device_is_waited_for_once_in_an_evaluation(measured, monkeypatch):
    """However many clients there are: on a GPU each wait costs as much as a small batch."""
    trial = FederatedTrial(FedPer(), measured, seed=0)
    waits = []
    for name in ("item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__"):
        plain = getattr(torch.Tensor, name)

        def counted(tensor, *args, plain=plain, name=name):
            waits.append(name)
            return plain(tensor, *args)

        monkeypatch.setattr(torch.Tensor, name, counted)
    trial.evaluate()
    assert waits == ["tolist"]


def test_what_was_measured_comes_back_with_a_checkpoint(measured, tmp_path):
    trial = FederatedTrial(FedPer(lr=0.3), measured, seed=0)
    trial.step()
    Checkpoints(Folder(tmp_path)).save(trial, [])
    again = FederatedTrial(FedPer(lr=0.3), measured, seed=0)
    Checkpoints(Folder(tmp_path)).load(again)
    assert again.selection == trial.selection
    assert again.selection.evaluation.extras


def test_a_client_of_which_a_metric_says_nothing_is_left_out():
    assert over_clients("x", [0.5, nan, 1.0], "high")["x"] == 0.75
    assert over_clients("x", [nan, nan], "high") == {}


def test_the_worst_clients_are_those_with_the_highest_where_lower_is_better():
    values = [float(n) for n in range(20)]
    assert over_clients("x", values, "low")["x_worst_decile"] == 18.5
    assert over_clients("x", values, "high")["x_worst_decile"] == 0.5
    assert "x_worst_decile" not in over_clients("x", values, "")


def test_a_metric_of_a_file_is_called_as_its_class(own, federation):
    reference = own("return float(len(labels))", 'better = "low"; heading = "samples"')
    ground = replace(federation, metrics=named(reference))
    report = FederatedTrial(FedPer(), ground, seed=0).step()
    assert report.metrics["val/own"] == np.mean([len(c.val) for c in ground.clients])
    assert report.metrics["test/own_worst_decile"] == max(len(c.test) for c in ground.clients)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("return 1 / 0 * logits.sum()", r"metric own: ZeroDivisionError: .*\(line 9\)"),
        ("return logits", r"metric own: TypeError: a tensor of shape \(20, 10\)"),
        ("return 'much'", "metric own: TypeError: 'much' is not one number"),
        ("exit()", "metric own: SystemExit"),
    ],
)
def test_a_metric_that_fails_is_a_line_before_anything_is_trained(own, code, words):
    scenario = load_scenario("digits", [f"metrics=[{own(code)}]"])
    with pytest.raises(UserError, match=words) as found:
        scenario.check([])
    assert len(str(found.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("return 1 / (len(labels) - 6)", "ZeroDivisionError: .* [(]metric own, client 2, round 1"),
        ("return torch.tensor(float('inf'))", "ValueError: metric own of client 0 is inf"),
    ],
)
def test_one_that_fails_later_says_where(own, federation, code, words):
    ground = replace(federation, metrics=named(own(code)))
    with pytest.raises((ZeroDivisionError, ValueError)) as found:
        FederatedTrial(FedPer(), ground, seed=0).step()
    assert re.search(words, told(found.value))


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('better = "more"', "better = 'more' must be 'high', 'low' or ''"),
        ('form = "{:d}"', "write no number"),
        ('heading = "a\\nb"', "cannot be printed"),
    ],
)
def test_what_a_metric_says_of_itself_is_checked(own, body, words):
    with pytest.raises(UserError, match=words):
        named(own(body=body))


def test_metrics_that_are_not_there_are_refused(own):
    with pytest.raises(UserError, match=r"unknown metric 'balanced' .did you mean"):
        named("balanced")
    with pytest.raises(UserError, match="there is no metric file"):
        named("nowhere.py:Own")
    with pytest.raises(UserError, match=r"unknown class in .* 'Other'"):
        named(own().replace(":Own", ":Other"))
    with pytest.raises(UserError, match="has the name of another"):
        measures(named("balanced_accuracy", "balanced_accuracy"))


def test_a_metric_has_settings_and_goes_to_other_processes_without_its_file(own):
    reference = own("return self.k * len(labels)", "k: int = 2")
    scenario = load_scenario("digits", [f"metrics=[{{name: '{reference}', k: 3}}]"])
    Path(reference.rpartition(":")[0]).unlink()
    metric = pickle.loads(pickle.dumps(scenario.metrics[0]))
    assert metric.of(torch.zeros(2, 3), torch.zeros(2)) == 6
    assert scenario.by_content()["metrics"] == [{"name": "own", "k": 3}]


def test_a_comparison_notices_that_a_metrics_code_has_changed(own):
    before, after = (
        Program.of((), "cpu", load_scenario("digits", [f"metrics=[{own(code)}]"]).strangers())
        for code in ("return 1", "return 2")
    )
    assert before.changes(after) == ["the code of metric own has changed"]


def test_a_report_tells_them(tmp_path):
    """A column with the spread over seeds, and every digit in the CSVs."""
    measure = Measure("brier", "squared distance", "Brier score", form="{:.3f}", better="low")
    methods = {
        "fedavg": Fake("FedAvg", np.array([[0.5, 0.6], [0.7, 0.6]]), measured={"brier": 0.5}),
        "local": Fake("Local", np.array([[0.4, 0.5], [0.5, 0.5]]), measured={"brier": 0.25}),
    }
    record(Store(tmp_path), "one", methods, mirrored=False, measures=(measure,))
    result = read_results(tmp_path, "one")
    (column,) = [c for c in result_columns(analyse(result)) if c.title == "Brier score"]
    assert column.winners(result.methods) == {"local"}
    fedavg = next(m for m in result.methods if m.name == "fedavg")
    assert cells(fedavg, [column]) == ["0.300 ± 0.035"]
    assert fedavg.summary()["test/brier"] == pytest.approx(0.3)
    heads, first, *_ = csv_clients(result).splitlines()
    assert heads == "method,seed,client,val_accuracy,test_accuracy,val_brier,test_brier"
    assert first.split(",")[-1] == "0.25"
    assert "selected/test_brier" in csv_table(result).splitlines()[0]
    assert "test/brier_worst_decile" in csv_summary(analyse(result)).splitlines()[0]
