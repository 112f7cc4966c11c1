"""The views that are kept with a comparison's experiment: which there are, and what they show."""

import json
import zlib
from base64 import b64decode
from dataclasses import replace

import pytest
from browsed import LENGTH, LR, METHOD, PREFIX, RUNG, SEARCH, SPACE, write

from pfltune.knobs import Knob
from pfltune.search.space import load_space
from pfltune.tracking.layouts import tuning
from pfltune.tracking.runs import Runs, own_runs
from pfltune.tracking.views import METHODS, SHARED, Views, fitting, kept_views, page

pytestmark = pytest.mark.usefixtures("png_alone")

SCALE = Knob("scale", float, 1.0, "size", low=0.0, high=2.0)


def opened(saved: str) -> dict:
    """A view as MLflow reads it."""
    told = json.loads(saved)
    return json.loads(zlib.decompress(b64decode(told["state"].removeprefix("deflate;"))))


def charts(layout: dict, kind: str) -> list[dict]:
    return [chart for chart in layout["compareRunCharts"] if chart["type"] == kind]


def planes(layout: dict) -> list[tuple[str, str, str]]:
    return [
        tuple(chart[axis]["key"] for axis in ("xaxis", "yaxis", "zaxis"))
        for chart in charts(layout, "CONTOUR")
    ]


def test_mlflow_draws_knobs_that_exclude_each_other_in_charts_of_their_own():
    """It leaves out a run that lacks one of the axes."""
    drawn = [chart["selectedParams"] for chart in charts(tuning("x", SPACE, (3,)), "PARALLEL")]
    assert drawn == [["lr", "prefix"], ["prefix_length", "lr"], ["bottleneck", "lr"]]


def test_accuracies_are_compared_at_equal_rounds():
    """At the first rung, which all reach; of trials of all rounds; or beside the rounds."""
    layout = tuning("x", SPACE, (3, 6))
    assert planes(layout)[0] == ("prefix_length", "lr", "val/best_at_round_3")
    for chart in charts(layout, "PARALLEL"):
        assert chart["selectedMetrics"] == ["rounds", "val/best_accuracy"]
    of_knobs = [c for c in charts(layout, "SCATTER") if c["xaxis"]["type"] == "PARAM"]
    at = {chart["yaxis"]["key"] for chart in of_knobs}
    assert at == {"val/best_at_round_3", "selected/val_accuracy"}


def test_without_early_stops_there_is_one_round_to_compare_at():
    layout = tuning("x", SPACE, ())
    assert planes(layout)[0][2] == "selected/val_accuracy"
    assert charts(layout, "PARALLEL")[0]["selectedMetrics"] == ["val/best_accuracy"]


@pytest.mark.parametrize(
    ("space", "plane"),
    [
        ((LR, SCALE), ("lr", "scale")),
        ((LR, replace(LENGTH, when={})), ("prefix_length", "lr")),
        ((LR,), None),
        ((LR, PREFIX), None),
    ],
    ids=["two numbers", "prefix length and rate", "one knob", "a word"],
)
def test_a_contour_needs_two_numbers(space, plane):
    drawn = [found[:2] for found in planes(tuning("x", space, ()))]
    assert drawn == ([plane] if plane else [])


def test_full_trials_come_first():
    """By what only those have that ran all rounds: MLflow puts the others behind them."""
    layout = tuning("x", SPACE, (3,))
    assert layout["orderByKey"] == "metrics.`selected/val_accuracy`"
    assert not layout["orderByAsc"]
    assert "metrics.`rounds`" in layout["selectedColumns"]


def test_each_searched_method_has_a_view_and_a_single_one_needs_no_name():
    one = kept_views(Views("tune", {"alpha": (LR,)}).tags())
    two = kept_views(Views("compare", {"alpha": (LR,), "b[x=1]": (LR,), "still": ()}).tags())
    assert set(one) == {"methods", "curves", "tuning", "trials"}
    assert set(two) == {"methods", "curves", "tuning-alpha", "tuning-b[x=1]", "trials"}
    assert two["tuning-b[x=1]"] == "tuning-b-x-1", "as a tag and an address can have it"


@pytest.mark.parametrize(
    ("command", "view"),
    [("compare", "methods"), ("tune", "tuning"), ("grid", "grid"), ("sensitivity", "parts")],
)
def test_what_fits_the_command_is_opened(command, view):
    searched = {"alpha": (LR,)}
    assert fitting(command, kept_views(Views(command, searched).tags())) == view
    assert fitting(command, kept_views(Views(command).tags())) == METHODS, "nothing was varied"


def test_charts_open_as_charts_and_tables_as_tables():
    assert "compareRunsMode=CHART&viewStateShareKey=tuning" in page("1", "tuning")
    assert "compareRunsMode=TABLE&viewStateShareKey=methods" in page("1")


def test_a_view_of_many_knobs_fits_into_a_tag():
    many = (replace(SCALE, name=f"a_knob_of_long_name_{n}", when={"prefix": n}) for n in range(40))
    assert max(map(len, Views("tune", {"x": (PREFIX, *many)}).tags().values())) < 20_000


def test_what_is_held_is_no_axis_and_its_conditions_are_met():
    space = load_space("fedperfix").hold({"prefix": "tokens"})
    found = {knob.name: dict(knob.when) for knob in space.varied()}
    assert found == {"lr": {}, "scale": {}, "prefix_length": {}}
    free = {knob.name: dict(knob.when) for knob in load_space("fedperfix").varied()}
    assert free["prefix_length"] == {"prefix": "tokens"}


def test_an_extended_comparison_gets_the_views_of_its_new_methods(cold_store, tmp_path):
    store = cold_store(tmp_path / "results")
    record = write(store, "grown", "tune", Views("tune", {METHOD: SPACE}), "search", SEARCH[:1])

    def again(views):
        runs = Runs(store, "grown", record.id, {"scenario": "digits"}, {}, {}, (), views=views)
        list(runs.open())
        return store.client.get_experiment(runs.experiment).tags

    tags = again(Views("compare", {METHOD: SPACE, "beta": (LR,)}))
    assert {"tuning-alpha", "tuning-beta"} <= kept_views(tags).keys()
    assert opened(tags[f"{SHARED}tuning-beta"])["searchFilter"].endswith("tags.method = 'beta'")


def test_a_trial_can_be_filtered_grouped_and_drawn_by_all_that_it_was_given(cold_store, tmp_path):
    store = cold_store(tmp_path / "results")
    views = Views("tune", {METHOD: SPACE}, (RUNG,))
    record = write(store, "one", "tune", views, "search", SEARCH[:3])
    experiment = store.client.get_experiment_by_name("one").experiment_id
    which = "params.stage = 'search' and params.seed = '7' and params.method = 'alpha'"
    found = list(own_runs(store, experiment, record.id, which))
    assert len(found) == 3
    first = next(run.data.params for run in found if run.data.params["trial"] == "0")
    wanted = {"lr": "0.03", "prefix": "tokens", "generation": "0"}
    assert first.items() >= wanted.items()
    at_rung = sorted(run.data.metrics["val/best_at_round_3"] for run in found)
    assert at_rung == pytest.approx([0.6 / 3, 0.7 / 3, 0.9])


def test_a_view_that_is_not_there_is_refused_with_the_choices(cold_store, tmp_path, called):
    results = tmp_path / "results"
    views = Views("tune", {METHOD: SPACE})
    write(cold_store(results), "one", "tune", views, "search", SEARCH[:1])
    code, _, told = called("ui", "one", "--view", "curve", "--results", str(results))
    assert code == 2
    assert "'curve'" in told
    assert "did you mean 'curves'" in told
    assert "curves, methods, trials, tuning" in told
    code, _, told = called("ui", "--view", "curves", "--results", str(results))
    assert code == 2
    assert "--view curves needs the name" in told
