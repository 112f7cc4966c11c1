"""Bytes, targets and the Pareto front against values worked out by hand."""

import numpy as np
import pytest

from pfltune.errors import UserError
from pfltune.federation.federation import Rounds
from pfltune.goal import ACCURACY
from pfltune.report.communication import (
    Reached,
    checked_target,
    default_target,
    mean_curve,
    pareto_front,
    per_client,
    reach,
    score_by_mb,
)
from pfltune.report.results import ConfirmedRun, MethodResult


def method(name, *accuracies, mb=1.0, test=0.5):
    """A method of one run per list of validation accuracies, at rounds 2, 4, …"""
    runs = []
    for seed, values in enumerate(accuracies):
        val = [(2 * place + 2, value) for place, value in enumerate(values)]
        spent = [(step, mb * step) for step in range(1, 2 * len(values) + 1)]
        metrics = {"comm/total_mb": spent[-1][1], "selected/test_accuracy": test}
        curves = {"val/accuracy": val, "comm/total_mb": spent}
        runs.append(ConfirmedRun(seed, metrics, curves))
    return MethodResult(name, name, {}, tuple(runs), 0, 0, 0.0, ())


def test_a_curve_is_the_mean_over_seeds_at_rounds_that_all_have():
    uneven = method("a", [0.25, 0.5, 0.75], [0.5, 0.75])
    assert mean_curve(uneven, "val/accuracy") == [(2, 0.375), (4, 0.625)]
    assert score_by_mb(uneven) == [(2.0, 0.375), (4.0, 0.625)]
    assert mean_curve(method("none"), "val/accuracy") == []


def test_the_target_is_reached_when_the_mean_over_seeds_first_is_there():
    one = method("a", [0.25, 0.75, 0.5], [0.25, 0.5, 1.0], mb=2.5)
    assert reach(one, 0.6) == Reached(4, 10.0)
    assert reach(one, 0.25) == Reached(2, 5.0)
    assert reach(one, 0.7) == Reached(6, 15.0)
    assert reach(one, 0.8) is None
    assert reach(one, float("nan")) is None


def test_the_default_target_is_95_percent_of_the_best_round_of_any_method():
    assert default_target([method("a", [0.25, 0.8, 0.5]), method("b", [0.4])]) == 0.95 * 0.8
    assert np.isnan(default_target([]))


@pytest.mark.parametrize("target", [0.0, -1.0, 1.01, 70.0, float("nan"), float("inf")])
def test_a_target_that_is_no_accuracy_is_refused(target):
    with pytest.raises(UserError, match="is no accuracy"):
        checked_target(target, ACCURACY)


def test_the_front_is_who_nobody_beats():
    cheap = method("cheap", [0.1], mb=0.0, test=0.5)
    middle = method("middle", [0.1], mb=1.0, test=0.4)
    dear = method("dear", [0.1], mb=2.0, test=0.9)
    twin = method("twin", [0.1], mb=2.0, test=0.9)
    worse = method("worse", [0.1], mb=2.0, test=0.8)
    front = pareto_front([dear, worse, middle, twin, cheap])
    assert [each.name for each in front] == ["cheap", "dear", "twin"]


def test_the_front_agrees_with_a_sweep_over_sorted_points():
    rng = np.random.default_rng(2)
    methods = [
        method(f"m{k}", [0.1], mb=float(mb), test=float(accuracy))
        for k, (mb, accuracy) in enumerate(rng.uniform(0, 1, (40, 2)))
    ]
    expected, best = [], -1.0
    for each in sorted(methods, key=lambda m: m.mean("comm/total_mb")):
        if each.mean("selected/test_accuracy") > best:
            best = each.mean("selected/test_accuracy")
            expected.append(each.name)
    assert [each.name for each in pareto_front(methods)] == expected


def test_a_client_has_its_share_of_a_round():
    """12 MB in 4 rounds of 3 sampled clients: 1 MB each."""
    run = ConfirmedRun(0, {"comm/total_mb": 12.0, "rounds": 4.0}, {})
    one = MethodResult("a", "A", {}, (run,), 0, 0, 0.0, ())
    assert per_client(one, Rounds(rounds=4, sampled_clients=3, local_epochs=1, batch_size=8)) == 1.0
