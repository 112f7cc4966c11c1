"""Figures are defined once: every name, what repeats, and what no search may show."""

import ast
from dataclasses import replace
from pathlib import Path

import pytest

from pfltune import figures
from pfltune.errors import UserError
from pfltune.federation.trial import FederatedTrial
from pfltune.figures import FIGURES, Measure, may_be_shown, of_method, tells_of_test
from pfltune.goal import ACCURACY
from pfltune.interface import check_interface
from pfltune.method import Method
from pfltune.methods.apfl import ALPHA, APFL
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedper import FedPer
from pfltune.metrics import BalancedAccuracy
from pfltune.report import columns
from pfltune.trials.training import told_of

PACKAGE = Path(figures.__file__).parent
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "figures.py")
PREFIXES = (figures.OF_METHOD, figures.SELECTED, figures.UNSEEN)


def literals(path):
    """The string literals of a file without its docstrings and f-strings' pieces of plain text."""
    tree = ast.parse(path.read_text())
    said = {
        id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)
    }  # docstrings, of attributes too
    nodes = ast.walk(tree)
    return [
        n.value
        for n in nodes
        if isinstance(n, ast.Constant) and isinstance(n.value, str) and id(n) not in said
    ]


def test_no_name_of_a_figure_stands_anywhere_else():
    names = [name for name in FIGURES if "/" in name]
    found = [
        (str(path.relative_to(PACKAGE)), text)
        for path in SOURCES
        for text in literals(path)
        if any(name in text for name in names) or text.startswith(PREFIXES)
    ]
    assert not found, "take the names from pfltune.figures"


def test_what_a_trial_tells_is_defined(federation):
    ground = replace(federation, unseen=frozenset({1}))
    trial = FederatedTrial(FedPer(), ground, seed=0)
    told = {name for report in trial.run() for name in report.metrics} | trial.footprint().keys()
    assert told <= FIGURES.keys()
    assert "unseen/test/accuracy" in told


def test_a_search_tells_nothing_of_test_samples(federation):
    """Neither does a trial have it, nor would the journal take it."""
    ground = replace(federation.without_test(), metrics=(BalancedAccuracy(),))
    told = {
        name for report in FederatedTrial(FedPer(), ground, seed=0).run() for name in report.metrics
    }
    assert "val/balanced_accuracy" in told
    assert all(may_be_shown(name, "search") for name in told)
    of_test = {name for name in FIGURES if tells_of_test(name)}
    assert {"test/accuracy", "selected/test_accuracy_std", "unseen/test/accuracy"} <= of_test
    assert not any(may_be_shown(name, "search") for name in of_test)
    assert all(may_be_shown(name, "confirm") for name in FIGURES)
    assert not may_be_shown("test/somebodys", "search")


def test_seconds_and_memory_do_not_repeat_and_all_else_does():
    clocked = {name for name, figure in FIGURES.items() if not figure.repeats}
    assert clocked == {name for name in FIGURES if name.startswith(("time/", "memory/"))}
    assert figures.repeats("val/somebodys")


def test_a_figure_has_words_and_one_that_a_table_shows_a_heading():
    for figure in FIGURES.values():
        assert figure.words
        assert figure.text(0.5)
    shown = [columns.TOTAL_MB, columns.PEAK, columns.worst_decile(ACCURACY)]
    assert [column.title for column in shown] == ["total MB", "peak MB", "worst decile %"]
    assert (columns.worst_decile(ACCURACY).best, columns.client_std(ACCURACY).best) == (
        "high",
        "low",
    )


def test_a_measure_without_a_direction_has_no_worst_clients():
    names = {figure.name for figure in Measure("size", "a number").figures()}
    assert "val/size_std" in names
    assert "val/size_worst_decile" not in names


def test_apfl_tells_where_its_mixing_weights_have_gone(federation):
    trial = FederatedTrial(APFL(alpha=0.25, learn_alpha=True, lr=0.5), federation, seed=0)
    for report in trial.run():
        weights = [trial.personal[c][ALPHA].item() for c in trial.sampled_clients(report.round)]
        assert report.metrics["method/alpha"] == pytest.approx(sum(weights) / len(weights))
    assert report.metrics["method/alpha"] != 0.25


def test_figures_of_its_own_change_nothing_else(run_trial, state_of, differing):
    class Silent(APFL):
        own_figures = ()
        figures = Method.figures

    loud, silent = run_trial(APFL(learn_alpha=True)), run_trial(Silent(learn_alpha=True))
    assert not differing(state_of(loud.trial), state_of(silent.trial))
    added = {name for metrics in loud.metrics for name in metrics} - silent.metrics[0].keys()
    assert added == {"method/alpha"}


class Undeclared(FedAvg):
    """Returns what it has not declared."""

    own_figures = (of_method("size", "a number"),)

    def figures(self, upload, personal):
        return {"weight": upload["head.bias"].sum()}


def test_a_method_that_tells_what_it_has_not_declared_is_told_so(run_trial):
    with pytest.raises(ValueError, match=r"returns \['weight'\], own_figures declares \['size'\]"):
        run_trial(Undeclared())


class Unnamed(FedAvg):
    own_figures = (of_method("Size of it", "a number"),)

    def figures(self, upload, personal):
        return {}


class Alone(FedAvg):
    own_figures = (of_method("size", "a number"),)


class Twice(Undeclared):
    own_figures = (of_method("size", "a number"), of_method("size", "another"))


@pytest.mark.parametrize(
    ("cls", "words"),
    [(Unnamed, "name_in_lower_case"), (Alone, "give both or neither"), (Twice, "a name twice")],
)
def test_figures_that_could_not_be_told_are_refused(cls, words):
    with pytest.raises(UserError, match=words):
        check_interface(cls)


def test_what_stays_is_told_in_the_first_round_too_for_trials_that_are_stopped(federation):
    trial = FederatedTrial(FedPer(), federation, 0)
    told = [told_of(trial, report) for report in trial.run()]
    assert ["params/personal" in figures for figures in told] == [True, False, True]
    assert told[0]["params/personal"] == told[-1]["params/personal"] > 0
