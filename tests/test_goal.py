"""Metrics beside accuracy, and whatever of them a comparison goes by: lowest or highest first."""

import json
from dataclasses import replace
from functools import partial
from math import isnan, log, nan
from types import SimpleNamespace

import numpy as np
import optuna
import pytest
import torch
from click.testing import CliRunner
from comparisons import Fake, record
from tensorboardX.proto.event_pb2 import Event
from trained import compare_small

from pfltune.audit import retrain
from pfltune.audit.checks import checked
from pfltune.audit.conditions import conditions_of
from pfltune.audit.consistency import contradictions
from pfltune.audit.issue import certificate_of
from pfltune.audit.redeal import redealt
from pfltune.budget import Budget
from pfltune.cli.app import root
from pfltune.cli.trials import _best
from pfltune.errors import UserError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.evaluation import Counts, Evaluation, Measured, Selection
from pfltune.federation.fingerprint import fingerprint
from pfltune.federation.pooling import Answers, Pooled
from pfltune.federation.trial import FederatedTrial
from pfltune.figures import Measure
from pfltune.goal import ACCURACY, LOWEST, Goal, goal_of, mean_score
from pfltune.jobs import _why_none
from pfltune.methods.fedper import FedPer
from pfltune.metrics import BUILT_IN, measures
from pfltune.registry import make_method
from pfltune.report.analysis import analyse
from pfltune.report.client_confusion import (
    client_cells,
    client_confusion,
    client_rows,
    ends_of,
)
from pfltune.report.columns import cells, result_columns
from pfltune.report.confusion import confusion_matrices, matrix_of
from pfltune.report.fairness import gini, jain
from pfltune.report.fronts_shown import sentence
from pfltune.report.leaderboard import read_leaderboard, write_leaderboard
from pfltune.report.notebook import SensitivityResults
from pfltune.report.optuna_studies import export_studies
from pfltune.report.results import read_results
from pfltune.report.sensitivity import Cell, figure
from pfltune.report.side_by_side import scenario_columns, side_by_side, write_scenarios
from pfltune.report.tensorboard import export_events
from pfltune.report.words import accuracy_note
from pfltune.report.writer import read_found, write_report
from pfltune.scenario import load_scenario
from pfltune.storage import Folder
from pfltune.studies.method_progress import MethodProgress
from pfltune.studies.options import with_rules
from pfltune.tracking.best_so_far import BestSoFar
from pfltune.tracking.events import RoundDone, TrialEnded, TrialStarted
from pfltune.tracking.store import Store
from pfltune.tracking.views import Views
from pfltune.trials.stored import StoredRound, StoredTrial

LOSS = Goal(BUILT_IN["loss"]().measure())


def asked(name, logits, labels):
    found = BUILT_IN[name]().of(torch.tensor(logits), torch.tensor(labels))
    return float(found)


def by_hand(logits, labels):
    """Each figure from its definition, sample by sample."""
    classes = logits.shape[1]
    shares = torch.tensor(logits).softmax(1).numpy()  # so that ties are the same ones
    said, had = logits.argmax(1), sorted(set(labels))
    f1 = []
    for c in had:
        hits = sum(s == c == r for s, r in zip(said, labels, strict=True))
        f1.append(2 * hits / (sum(said == c) + sum(labels == c)))
    areas = []
    for c in had if classes > 2 else had[1:]:
        pairs = [
            1.0 if one > other else 0.5 if one == other else 0.0
            for one in shares[labels == c, c]
            for other in shares[labels != c, c]
        ]
        areas.append(np.mean(pairs) if pairs else nan)
    ece = 0.0
    for lower in range(15):
        sure = shares.max(1)
        held = (sure > lower / 15) & (sure <= (lower + 1) / 15)
        if held.any():
            ece += held.mean() * abs((said == labels)[held].mean() - sure[held].mean())
    return {
        "loss": -np.mean([log(row[r]) for row, r in zip(shares, labels, strict=True)]),
        "balanced_accuracy": np.mean([np.mean(said[labels == c] == c) for c in had]),
        "macro_f1": np.mean(f1),
        "auroc": np.mean(areas) if len(had) > 1 else nan,
        "ece": ece,
    }


def test_every_metric_is_what_its_definition_says():
    rng = np.random.default_rng(0)
    for _ in range(25):
        classes, samples = int(rng.integers(2, 6)), int(rng.integers(1, 30))
        labels = rng.integers(0, rng.integers(1, classes + 1), samples)  # some are not there
        logits = np.round(rng.normal(size=(samples, classes)), 1)  # ties, too
        expected = by_hand(logits, labels)
        for name in BUILT_IN:
            assert asked(name, logits, labels) == pytest.approx(expected[name], nan_ok=True)


def test_a_client_with_one_class_has_no_auroc_and_all_else():
    logits, labels = np.array([[2.0, 1.0], [0.0, 3.0]]), np.array([1, 1])
    assert isnan(asked("auroc", logits, labels))
    assert asked("macro_f1", logits, labels) == pytest.approx(2 / 3)


def test_a_sure_mistake_is_a_large_loss_and_no_infinite_one():
    assert asked("loss", np.array([[300.0, -300.0]], np.float32), np.array([1])) == 600


def test_gini_and_jain_are_what_their_definitions_say():
    values = np.random.default_rng(0).uniform(size=9)
    apart = np.abs(values[:, None] - values).sum()
    assert gini(values) == pytest.approx(apart / (2 * 9**2 * values.mean()))
    assert jain(values) == pytest.approx(values.sum() ** 2 / (9 * (values**2).sum()))
    one = np.array([0.0, 0.0, 0.0, 1.0])
    assert (gini(one), jain(one)) == (0.75, 0.25), "one has all"
    assert (gini(np.ones(5)), jain(np.ones(5))) == (0.0, 1.0)
    assert isnan(gini(np.zeros(3)))
    assert isnan(jain(np.empty(0)))


def test_all_clients_together_are_one_client_with_all_samples():
    rng = torch.Generator().manual_seed(0)
    both = [
        Answers(torch.randn(n, 4, generator=rng), torch.randint(0, 4, (n,), generator=rng))
        for n in (7, 5)
    ]
    metrics = [(found := BUILT_IN[name](), found.measure()) for name in ("loss", "auroc")]
    pooled = Pooled.of(both, metrics)
    logits, labels = (torch.cat(each) for each in zip(*both, strict=True))
    for metric, measure in metrics:
        assert pooled.figures[measure.name] == float(metric.of(logits, labels))
    assert pooled.samples == 12 == sum(n for *_, n in pooled.confusion)
    for right, said, samples in pooled.confusion:
        assert samples == int(((labels == right) & (logits.argmax(1) == said)).sum())
    assert pooled.by_client == ()
    nothing = Answers(both[0].logits[:0], both[0].labels[:0])
    apart = Pooled.of([both[0], nothing, both[1]], metrics, apart=True)
    assert [sum(n for *_, n in cells) for cells in apart.by_client] == [7, 0, 5]
    assert replace(apart, by_client=()) == pooled
    for each in (pooled, apart):
        assert Pooled.from_plain(json.loads(json.dumps(each.plain()))) == each


def test_a_score_is_higher_the_better_the_figure():
    assert LOSS.score(0.5) > LOSS.score(0.7)
    assert LOSS.score(LOSS.score(0.5)) == 0.5
    assert (LOSS.text(-0.5), LOSS.signed(-0.25), LOSS.signed(0.0)) == ("0.500", "+0.250", "0.000")
    assert LOSS.span(-0.7, -0.5) == (0.5, 0.7)
    assert LOSS.written_as(LOSS.span(0.0, 0.0)[0]) == "0.000"
    assert (ACCURACY.text(0.5), ACCURACY.signed(-0.25)) == ("50.00", "−25.00")
    assert LOSS.nothing == LOWEST < LOSS.score(1e6)
    assert ACCURACY.nothing == 0
    assert ACCURACY.axis("test") == "test accuracy, %"
    assert LOSS.axis("test") == "test loss"


def evaluated(*losses):
    of_each = Measured("loss", "low", losses, None)
    return Evaluation((0, 1), Counts((1, 1), (2, 2)), None, (of_each,))


def test_the_round_of_the_lowest_loss_is_chosen_and_one_without_a_figure_never_over_it():
    chosen = Selection(goal=LOSS)
    for number, losses in enumerate([(nan, nan), (2, 2), (1, nan), (1, 1), (1.5, 1)], start=1):
        chosen = chosen.better(number, evaluated(*losses))
    assert (chosen.round, chosen.score) == (3, -1.0), "the earliest among equals"
    assert Selection(goal=LOSS).better(1, evaluated(nan, nan)).round == 1


def test_the_best_so_far_of_a_search_falls_where_the_lowest_is_the_best():
    assert BestSoFar(goal=LOSS)._goal.search_best.name == "search/best_loss"
    first = next(layout for _, layout in Views(goal=LOSS).layouts())
    assert (first["orderByKey"], first["orderByAsc"]) == ("metrics.`test/loss`", True)


def test_what_is_gone_by_must_be_there_and_have_a_direction():
    with pytest.raises(UserError, match=r"protocol.metric.*'top5'.*accuracy, auroc"):
        load_scenario("digits", ["protocol.metric=top5"])
    with pytest.raises(UserError, match="unknown metric 'flat'"):
        goal_of("flat", [Measure("flat", "")])
    assert with_rules({"metric": "loss", "budget": "1MB"}) == {
        "overrides": ["protocol.budget=1MB", "protocol.metric=loss"]
    }


def test_a_trial_is_another_where_another_metric_chooses_its_round(federation):
    other = federation.protocol.model_copy(update={"metric": "loss"})
    moved = fingerprint(replace(federation, protocol=other))
    assert moved["rules"] != fingerprint(federation)["rules"]


def test_a_claim_goes_by_accuracy(tmp_path):
    args = ["claim", "fedperfix", "-o", "protocol.metric=loss", "--results", str(tmp_path)]
    found = CliRunner().invoke(root, args)
    assert "a claim is of test accuracies" in str(found.exception or found.output)


@pytest.fixture
def told(federation):
    protocol = federation.protocol.model_copy(update={"metric": "loss"})
    return replace(federation, protocol=protocol, metrics=(BUILT_IN["loss"](),))


def test_a_global_model_is_asked_where_every_client_is_handed_the_same(told, tmp_path):
    trials = {name: FederatedTrial(make_method(name, {}), told, 0) for name in ("fedavg", "fedper")}
    for trial in trials.values():
        list(trial.run())
    whole = trials["fedavg"].selection.evaluation.pooled
    of_nobody = trials["fedavg"].of_nobody()
    assert of_nobody.confusion == whole.confusion, "each client's model is that one"
    assert of_nobody.figures == pytest.approx(whole.figures), "in other batches"
    assert trials["fedper"].of_nobody() is None
    Checkpoints(Folder(tmp_path)).save(trials["fedavg"], [])
    again = FederatedTrial(make_method("fedavg", {}), told, 0)
    Checkpoints(Folder(tmp_path)).load(again)
    assert again.of_nobody() == of_nobody
    assert again.selection == trials["fedavg"].selection


BUDGET = Budget(trials=4, generation=2, eta=2, seeds=2, finalists=0)


@pytest.fixture(scope="module")
def by_loss(tmp_path_factory):
    """A comparison that is really trained and goes by the loss."""
    results = tmp_path_factory.mktemp("by-loss")
    compare_small(results, "one", ["fedavg", "local"], BUDGET, overrides=["protocol.metric=loss"])
    return results


def test_the_lowest_loss_is_first_everywhere(by_loss):
    """Chosen round, halving, search, table, marks, target, leaderboard and Optuna's studies."""
    result = read_results(by_loss, "one")
    assert result.goal.name == "loss"
    assert len(result.record.classes) == 10
    tests = [np.mean(method.mean("selected/test_loss")) for method in result.methods]
    assert tests == sorted(tests)
    for method in result.methods:
        full = [run for run in method.searched if run.outcome == "finished"]
        best = min(full, key=lambda run: run.metrics["val/best_loss"])
        assert method.best == best.knobs
        for stopped in (run for run in method.searched if run.outcome == "stopped early"):
            rivals = [run for run in full if run.generation == stopped.generation]
            seen = dict(stopped.curve)
            assert all(dict(r.curve)[max(seen)] >= seen[max(seen)] for r in rivals)
        for trial in (each for each in method.trials if each.ended.selected):
            losses = dict(trial.curve("val/loss"))
            assert losses[trial.ended.selected["round"]] == min(losses.values())
            assert dict(trial.curve("val/best_loss"))[4] == min(losses.values())
    analysis = analyse(result)
    first, second = (cells(m, result_columns(analysis)) for m in result.methods)
    assert first[0].startswith(f"{tests[0]:.3f}")
    assert float(first[0][:5]) <= float(second[0][:5])
    best_val = min(min(dict(m.runs[0].curves["val/loss"]).values()) for m in result.methods)
    assert result.goal.score(analysis.target) == pytest.approx(best_val / 0.95, rel=0.02)
    board = read_leaderboard(by_loss)
    assert [e.method.name for e in board.grounds[0].entries] == [m.name for m in result.methods]
    storage = f"sqlite:///{by_loss}/studies.db"
    for content in export_studies(result, storage):
        study = optuna.load_study(study_name=content.name, storage=storage)
        assert study.direction.name == "MINIMIZE"
        complete = [trial.value for trial in study.trials if trial.state.name == "COMPLETE"]
        assert study.best_value == min(complete) > 0


def test_its_certificate_follows_from_its_scores(by_loss, monkeypatch):
    certificate = certificate_of(read_results(by_loss, "one"))
    assert contradictions(certificate) == []
    conditions = conditions_of(certificate.record, (), accept_new_code=False)
    assert redealt(certificate, conditions) == []
    best = min(certificate.table, key=lambda row: row.figures["selected/test_loss"])
    trial = next(t for t in certificate.trials if t.method == best.method and t.stage == "confirm")
    assert trial.score == -trial.figures["selected/val_loss"]
    assert checked(trial, conditions).answer == "matches", "trained again, bit for bit"
    monkeypatch.setattr(retrain, "FederatedTrial", partial(int, "no number"))
    failed = retrain.retrained(trial, conditions)
    assert failed.failure
    assert failed.goal.name == "loss", "its scores are no accuracies"


def test_its_report_speaks_of_the_loss_and_has_confusion_matrices(by_loss):
    write_report(by_loss, "one")
    folder = by_loss / "one" / "report"
    page = (folder / "report.html").read_text()
    assert "test loss" in page
    assert "global model" in page
    assert "validation accuracy" not in page
    assert (folder / "confusion-matrices.png").exists()
    result = read_results(by_loss, "one")
    run = result.methods[0].runs[0]
    counted = matrix_of(run, 10)
    assert counted.sum() == sum(run.selected["samples"]["test"])
    assert counted.trace() / counted.sum() == pytest.approx(
        run.metrics["selected/test_accuracy_pooled"]
    )
    assert (folder / "client-confusion.png").exists()
    each = client_cells(replace(result.methods[0], runs=(run,)))
    assert [sum(of.values()) for of in each.values()] == run.selected["samples"]["test"]
    for client, of in each.items():
        right = sum(n for (one, other), n in of.items() if one == other)
        assert right / sum(of.values()) == pytest.approx(run.selected["test"][client])
    heads, *rows = (folder / "client-confusion.csv").read_text().splitlines()
    assert heads == "method,client,right,predicted,samples"
    of_all = sum(sum(r.selected["samples"]["test"]) for m in result.methods for r in m.runs)
    assert sum(int(row.rpartition(",")[2]) for row in rows) == of_all


@pytest.mark.parametrize(("clients", "drawn"), [(1, [0]), (7, [0, 1, 2, 4, 5, 6]), (1000, None)])
def test_the_worst_and_the_best_clients_are_drawn_however_many_there_are(
    by_loss, monkeypatch, clients, drawn
):
    """Of 100 classes: a picture of the same size, and a table that does not grow for ever."""
    result = read_results(by_loss, "one")
    record = result.record.model_copy(update={"classes": tuple(f"class {n}" for n in range(100))})
    # Client n has n + 1 of its 1,001 samples right, and the last one none at all to be tested on.
    cells = [
        [[n % 100, n % 100, n + 1], [n % 100, (n + 1) % 100, 1000 - n]] for n in range(clients)
    ]
    selected = {"clients": list(range(clients + 1)), "pooled": {"by_client": [*cells, []]}}
    selected["pooled"]["confusion"] = [[0, 1, 1]]
    methods = tuple(
        replace(m, runs=tuple(replace(r, selected=selected) for r in m.runs))
        for m in result.methods
    )
    many = replace(result, methods=methods, record=record)
    assert ends_of(client_cells(many.methods[0])) == (drawn or [0, 1, 2, 997, 998, 999])
    drawing = client_confusion(analyse(many))
    panels = [axes.get_title() for axes in drawing.figure.axes if axes.get_title()]
    assert len(panels) == 2 * min(clients, 6)
    assert max(drawing.figure.get_size_inches()) < 13
    whole = len(client_rows(many))
    monkeypatch.setattr("pfltune.report.client_confusion.MOST_ROWS", 20)
    assert len(client_rows(many)) <= 2 * 2 * 6
    assert whole == 2 * 2 * clients


def test_a_comparison_of_before_has_no_matrices_of_single_clients(by_loss):
    result = read_results(by_loss, "one")
    old = tuple(
        replace(m, runs=tuple(replace(r, selected={**r.selected, "pooled": {
            "samples": 1, "figures": {}, "confusion": [[0, 0, 1]]}}) for r in m.runs))
        for m in result.methods
    )  # fmt: skip
    assert client_confusion(analyse(replace(result, methods=old))) is None
    assert client_rows(replace(result, methods=old)) == []


def test_tensorboard_is_given_every_round_of_every_trial(by_loss, tmp_path):
    trials = read_results(by_loss, "one").trials
    assert export_events(by_loss, "one", tmp_path / "tb") == len(trials)
    files = sorted((tmp_path / "tb").rglob("*tfevents*"))
    assert len(files) == len(trials)
    trial = trials[0]
    (file,) = (tmp_path / "tb" / trial.started.method / trial.started.trial).glob("*tfevents*")
    told = [(v.tag, e.step, v.simple_value) for e in events(file) for v in e.summary.value]
    for step, value in trial.curve("val/loss"):
        assert ("val/loss", step, pytest.approx(value, rel=1e-6)) in told
    export_events(by_loss, "one", tmp_path / "tb")
    assert sorted((tmp_path / "tb").rglob("*tfevents*")) == files, "written again, not beside"
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / "mine.txt").write_text("mine")
    with pytest.raises(UserError, match="nothing is touched: name another folder"):
        export_events(by_loss, "one", tmp_path / "else")
    asked_twice = ["export", "one", "--tensorboard", "x", "--optuna", "y"]
    assert CliRunner().invoke(root, asked_twice).exit_code


def events(path):
    """The records of an event file, read by its format: length, its check, data, its check."""
    data, place = path.read_bytes(), 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 8], "little")
        yield Event.FromString(data[place + 12 : place + 12 + size])
        place += 16 + size


def measured_by(name, store, values):
    """A comparison by an AUROC that each client has or has not."""
    ground = load_scenario("digits", ["protocol.metric=auroc"])
    fakes = {
        short: Fake(short.title(), np.array(each), searched=(), measured={"auroc": 1.0})
        for short, each in values.items()
    }
    record(store, name, fakes, mirrored=False, measures=measures(ground.measured))
    written = json.loads((store.results / name / "comparison.json").read_text())
    written["scenario"]["protocol"]["metric"] = "auroc"
    (store.results / name / "comparison.json").write_text(json.dumps(written))


def test_clients_without_a_figure_are_left_out_for_all_and_named(tmp_path):
    store = Store(tmp_path)
    one = [[0.9, nan, 0.8, 0.7, 0.6], [0.8, nan, 0.8, 0.7, 0.5]]
    other = [[0.7, nan, 0.6, 0.5, 0.5], [0.6, nan, 0.7, 0.5, 0.4]]
    measured_by("nan", store, {"fedavg": one, "fedper": other})
    result = read_results(tmp_path, "nan")
    assert result.methods[0].runs[0].indices == (0, 2, 3, 4)
    assert result.methods[0].test == pytest.approx(np.nanmean(one))
    told = accuracy_note([result])
    assert "Of 1 client (1) there is no test AUROC" in told
    assert "lacks classes" in told
    assert not isnan(analyse(result).differences["fedper"].mean)


def test_clients_without_a_figure_that_is_not_gone_by_are_named_too(tmp_path):
    ground = load_scenario("digits", ["metrics=[auroc]"])
    many = np.full((1, 30), 0.5)
    fakes = {"fedavg": Fake("FedAvg", many, searched=(), measured={"auroc": 1.0})}
    record(Store(tmp_path), "one", fakes, mirrored=False, measures=measures(ground.measured))
    result = read_results(tmp_path, "one")
    assert "there is no test" not in accuracy_note([result])
    selected = result.trials[0].ended.selected
    selected["metrics"][0]["test"][:] = [nan, 0.5, nan, *[0.5] * 27]
    told = accuracy_note([result])
    assert "Of 2 clients (0 and 2) there is no test AUROC: its mean is over the others." in told
    selected["metrics"][0]["test"][:] = [nan] * 29 + [0.5]
    assert "Of 29 clients (0, 1, 2, 3, 4," in (told := accuracy_note([result]))
    assert "18, 19 and 9 more) there is no" in told


@pytest.mark.parametrize("goal", ["auroc", "own"])
def test_what_no_client_has_is_told_to_nobody_as_a_number(goal, federation, tmp_path):
    """Neither the 0 nor the 1e9 by which such a trial is ranked behind all others."""
    (tmp_path / "own.py").write_text(NOTHING_LOW)
    ground = load_scenario("digits", [f"metrics=[auroc,{tmp_path}/own.py:Own]"])
    by = goal_of(goal, measures(ground.measured))
    protocol = federation.protocol.model_copy(update={"metric": goal})
    nobody = replace(federation, metrics=ground.metrics, protocol=protocol)
    one_class = [replace(c, val=c.val[:1], test=c.test[:1]) for c in federation.clients]
    trial = FederatedTrial(FedPer(), replace(nobody, clients=one_class), seed=0)
    reports = list(trial.run())
    assert all(by.best.name not in report.metrics for report in reports)
    assert trial.selection.score == by.nothing
    last = RoundDone("m-0", 4, trial.selection.score, reports[-1].metrics)
    started = TrialStarted("m-0", "m", "search", 0, 0, 7, {}, 0)
    assert BestSoFar(goal=by).ended(started, last, TrialEnded("m-0", "finished", 4)) == []
    old = replace(last, score=LOWEST, metrics={by.best.name: -LOWEST})
    assert BestSoFar(goal=by).ended(started, old, TrialEnded("m-0", "finished", 4)) == []
    assert MethodProgress({}, goal=by).best_text == "–"
    stored = StoredTrial((StoredRound(1, last.score, last.metrics),), "finished")
    assert _best(stored) == {"score": None}


NOTHING_LOW = """
from pfltune import Metric


class Own(Metric):
    \"\"\"Says nothing of anybody.\"\"\"

    better = "low"

    def of(self, logits, labels):
        return float("nan")
"""


def test_where_no_client_has_a_figure_a_method_has_none_and_nothing_breaks(tmp_path):
    store = Store(tmp_path)
    measured_by("none", store, {"fedavg": [[nan, nan]], "fedper": [[0.5, 0.6]]})
    result = read_results(tmp_path, "none")
    assert [method.name for method in result.confirmed] == ["fedper"]
    write_leaderboard(tmp_path)
    assert isnan(mean_score({"round": 1, "val": [], "test": []}, "test"))


def test_where_no_client_has_any_figure_it_is_not_said_that_trials_failed(tmp_path):
    measured_by("none", Store(tmp_path), {"fedavg": [[nan, nan]]})
    assert _why_none(read_found(tmp_path, "none")) == "no client has a test AUROC"
    told = accuracy_note([read_results(tmp_path, "none")])
    assert told == "Confirmation trials have ended, and no client has a test AUROC in any."


def test_comparisons_by_several_figures_are_told_of_under_no_name_of_one(tmp_path):
    store = Store(tmp_path)
    values = {"fedavg": [[0.9, 0.8]], "fedper": [[0.5, 0.6]]}
    record(store, "one", {n: Fake(n, np.array(v)) for n, v in values.items()}, mirrored=False)
    measured_by("other", store, values)
    found = side_by_side([analyse(read_results(tmp_path, name)) for name in ("one", "other")])
    assert [column.title for column in scenario_columns(found)][:2] == [
        "one accuracy %",
        "other AUROC %",
    ]
    write_scenarios(found, tmp_path / "out")
    assert not (tmp_path / "out" / "accuracies.png").exists(), "they have no axis in common"
    told = (tmp_path / "out" / "table.tex").read_text()
    assert "Test figure by scenario." in told
    assert "Test accuracy is" not in told
    assert "the best test accuracy" not in told


@pytest.mark.parametrize(
    ("goal", "best"), [(LOSS, "e to the minus lowest loss"), (ACCURACY, "the best accuracy")]
)
def test_a_hypervolume_is_told_of_what_it_is_of(goal, best):
    front = SimpleNamespace(method=SimpleNamespace(goal=goal, title="A"), test=0.5)
    told = sentence(SimpleNamespace(methods=[front], most=2.0))
    assert told == f"Hypervolume %, the mean of {best} within 0 to 2 MB: A 50.00"


def test_a_sensitivity_study_is_shown_under_the_name_of_its_figure():
    cells = {"head": Cell((-0.5,), 1.0, (1,), LOSS)}
    study = SimpleNamespace(name="a", cells=cells, figure=lambda: figure(cells))
    assert "Test loss by personal part." in SensitivityResults._repr_html_(study)


def test_a_metric_called_the_best_of_something_is_not_taken_for_that():
    rounds = (StoredRound(1, -0.5, {"val/loss": 0.5, "val/best_loss": 0.5, "val/best_class": 0.1}),)
    assert _best(StoredTrial(rounds, "finished")) == {"score": 0.5, "metric": "loss"}
    named = [
        SimpleNamespace(measure=partial(Measure, n, ""), called=n) for n in ("loss", "best_loss")
    ]
    with pytest.raises(UserError, match="best_loss has the name of another figure"):
        measures(named)


def test_four_methods_have_four_panels(by_loss):
    """Of three in a row, so that a row is not full."""
    result = read_results(by_loss, "one")
    more = tuple(replace(method, name=f"{method.name}-again") for method in result.methods)
    drawing = confusion_matrices(analyse(replace(result, methods=(*result.methods, *more))))
    titles = [axes.get_title() for axes in drawing.figure.axes if axes.get_title()]
    assert titles == [method.title for method in (*result.methods, *more)]
