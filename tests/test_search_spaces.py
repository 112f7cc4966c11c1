"""What a search may vary: every YAML against the knobs of its method."""

from collections import Counter
from pathlib import Path

import optuna
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.federation.federation import Rounds
from pfltune.knobs import checked_values, knobs_of
from pfltune.ranking import Outcome
from pfltune.registry import find_method, make_method
from pfltune.scenario import load_scenario
from pfltune.search.plan import Plan
from pfltune.search.sampled import Sampled
from pfltune.search.searches import ComparisonDealer, MethodSearch
from pfltune.search.space import SearchSpace, check_space, load_space
from pfltune.space_file import SpaceFile
from pfltune.studies.comparison import plan_methods

FOLDER = Path(__file__).parents[1] / "search_spaces"
METHODS = sorted(p.stem for p in (FOLDER.parent / "methods").glob("[a-z]*.py"))
PREFIXES = {"bottleneck": "adapter", "prefix_length": "tokens"}

PROTOCOL = Rounds(rounds=4, sampled_clients=1, local_epochs=1, batch_size=8)

SOURCE = """
from dataclasses import dataclass
from pfltune.knobs import knob
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class Fresh(Method):
    kind: str = knob("deep", choices=("deep", "flat"), doc="kind")
    layers: int = knob(2, low=1, high=8, log=True, when={"kind": "deep"}, doc="layers")
    mu: float = knob(0.1, low=0.0, high=1.0, doc="strength")
    free: int = knob(7, doc="without a range, so not searched")
    at_most: int = knob(3, high=9, doc="with half a range")
    flag: bool = knob(False, doc="yes or no")
"""


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.fixture
def method_file(tmp_path):
    path = tmp_path / "mutual_distillation.py"
    path.write_text(SOURCE)
    return path


def yaml_of(method: str) -> dict:
    return yaml.safe_load((FOLDER / f"{method}.yaml").read_text())


def suggestions(space: SearchSpace, count: int = 50, seed: int = 0) -> list[dict]:
    """Configurations as a trial gets them: what is held, and what Optuna suggests."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    found = []
    for _ in range(count):
        trial = study.ask()
        space(trial)
        found.append({**space.fixed, **trial.params})
    return found


def assert_valid(method: str, configurations: list[dict]) -> None:
    """What ``make_method`` does, without looking for the method again each time."""
    cls = find_method(method)
    for values in configurations:
        cls(**checked_values(cls, method, values))


def check(method: str, search: dict, *start: dict) -> SearchSpace:
    content = SpaceFile.model_validate({"search": search, "start": start})
    return check_space(content, find_method(method), method)


def refusal(method: str, search: dict, *start: dict) -> str:
    """The one line that a user reads when a search space does not fit its method."""
    with pytest.raises(UserError) as caught:
        check(method, search, *start)
    message = str(caught.value)
    assert "\n" not in message
    assert method in message
    return message


@pytest.mark.parametrize("method", METHODS)
def test_a_built_in_method_says_what_is_searched_and_where_to_start(method):
    content = yaml_of(method)
    assert content["search"], f"search_spaces/{method}.yaml searches nothing"
    assert content.keys() & {"published", "start"}, f"search_spaces/{method}.yaml starts nowhere"
    assert {d.name for d in load_space(method).dimensions} == set(content["search"])


def test_no_search_space_is_left_without_its_method():
    assert sorted(path.stem for path in FOLDER.glob("*.yaml")) == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_each_dimension_is_a_knob_inside_its_range_with_its_condition(method):
    knobs = knobs_of(find_method(method))
    for name, dimension in yaml_of(method)["search"].items():
        assert name in knobs, f"{method} has no knob {name}; it has {list(knobs)}"
        knob = knobs[name]
        assert dimension.get("when", {}) == dict(knob.when)
        if knob.choices:
            assert set(dimension.get("choices", knob.choices)) <= set(knob.choices)
        elif "choices" in dimension:
            assert all(knob.check(choice, method) == choice for choice in dimension["choices"])
        else:
            low, high = dimension.get("low", knob.low), dimension.get("high", knob.high)
            assert knob.low <= low < high <= knob.high, f"{name} of {method} leaves its range"


@pytest.mark.parametrize("method", METHODS)
def test_start_points_are_valid_and_inside_the_searched_range(method):
    space = load_space(method)
    searched = {dimension.name: dimension for dimension in space.dimensions}
    for point in space.start:
        make_method(method, point)
        for name, value in point.items():
            dimension = searched[name]
            if dimension.choices:
                assert value in dimension.choices
            else:
                assert dimension.low <= value <= dimension.high


@pytest.mark.parametrize("method", METHODS)
def test_a_start_point_is_suggested_as_it_is_written(method):
    space = load_space(method)
    study = optuna.create_study()
    for point in space.start:
        study.enqueue_trial(point)
    for point in space.start:
        trial = study.ask()
        space(trial)
        assert trial.params == point, "a point must set every knob that applies, or chance does"


@pytest.mark.parametrize("method", METHODS)
def test_every_suggestion_is_a_valid_method(method):
    space = load_space(method)
    found = suggestions(space)
    assert_valid(method, found)
    for values in found:
        for dimension in space.dimensions:
            assert (dimension.name in values) == dimension.applies(values)


def test_a_conditional_knob_is_suggested_only_where_it_applies():
    values = suggestions(load_space("fedperfix"))
    assert {v["prefix"] for v in values} == {"adapter", "tokens"}
    for each in values:
        applying = {name for name, kind in PREFIXES.items() if each["prefix"] == kind}
        assert applying == set(PREFIXES) & set(each)


def test_a_held_knob_is_not_suggested():
    space = load_space("fedrep").hold({"lr": 0.02})
    study = optuna.create_study()
    trial = study.ask()
    space(trial)
    assert set(trial.params) == {"head_epochs", "momentum"}
    assert space.start == tuple({"head_epochs": 10, "momentum": m} for m in (0.0, 0.5))


def test_holding_every_knob_leaves_nothing_to_search():
    space = load_space("fedavg").hold({"lr": 0.02})
    assert space.start == ()
    assert suggestions(space, 2) == [{"lr": 0.02}, {"lr": 0.02}]


def test_start_points_lose_what_no_longer_applies_beside_a_held_knob():
    """The published point has prefix=adapter and its bottleneck; with tokens only two stay.

    What applies now and is not in it has its default; and it is nobody's published point any more.
    """
    space = load_space("fedperfix").hold({"prefix": "tokens"})
    assert space.start == ({"lr": 0.01, "scale": 1.5, "prefix_length": 8},)
    assert space.published == ()
    found = suggestions(space, 10)
    assert_valid("fedperfix", found)
    for values in found:
        assert "prefix_length" in values
        assert "bottleneck" not in values


def test_start_points_that_become_equal_are_kept_once():
    space = check(
        "fedrep", {"lr": {}, "head_epochs": {}}, *({"lr": r, "head_epochs": 3} for r in (0.1, 0.2))
    )
    assert space.hold({"lr": 0.5}).start == ({"head_epochs": 3},)
    assert len(space.hold({"head_epochs": 5}).start) == 2


KNOBS = [(method, knob) for method in METHODS for knob in knobs_of(find_method(method)).values()]


@pytest.mark.thorough
@pytest.mark.parametrize(("method", "knob"), KNOBS, ids=[f"{m}-{k.name}" for m, k in KNOBS])
def test_whatever_knob_is_held_no_trial_fails_because_of_it(method, knob):
    """``--set bottleneck=64`` is either refused at once or leaves only valid trials."""
    protocol = Rounds(rounds=1, sampled_clients=1, local_epochs=1, batch_size=1)
    plan = Plan((method,), Budget(trials=12, generation=12), protocol)
    try:
        held = checked_values(find_method(method), method, {knob.name: knob.default})
        space = load_space(method).hold(held)
    except UserError:
        return
    search = MethodSearch(method, plan, space, Sampled(method, plan, space))
    assert_valid(method, [dict(search.next().knobs) for _ in range(plan.budget.trials)])


def test_an_unknown_knob_is_refused_with_the_knobs_of_the_method():
    message = refusal("fedrep", {"head_epoch": {}})
    assert "'head_epoch'" in message
    assert "did you mean 'head_epochs'" in message


@pytest.mark.parametrize(
    ("method", "search", "words"),
    [
        ("fedavg", {"lr": {"low": 1e-9}}, ["lr=1e-09", "0.0001 to 1"]),
        ("fedavg", {"lr": {"high": 3}}, ["lr=3", "0.0001 to 1"]),
        ("fedavg", {"lr": {"low": 0.5, "high": 0.1}}, ["lr", "0.5", "0.1", "low < high"]),
        ("fedavg", {"lr": {"low": 0.5, "high": 0.5}}, ["lr", "0.5", "low < high"]),
        ("fedrep", {"head_epochs": {"low": 1.5}}, ["head_epochs=1.5", "whole number"]),
        ("fedperfix", {"prefix": {"choices": ["adapter", "mlp"]}}, ["prefix='mlp'", "tokens"]),
        ("fedperfix", {"prefix": {"low": 1}}, ["prefix=1"]),
        ("fedperfix", {"bottleneck": {}}, ["bottleneck", "when", "adapter"]),
        ("fedperfix", {"bottleneck": {"when": {"prefix": "tokens"}}}, ["bottleneck", "adapter"]),
        ("fedavg", {"lr": {"when": {"prefix": "tokens"}}}, ["lr", "prefix"]),
        ("pfedpg", {"weight_decay": {"low": 0, "high": 0.1, "log": True}}, ["weight_decay", "log"]),
    ],
)
def test_a_dimension_that_does_not_fit_its_knob_is_refused(method, search, words):
    message = refusal(method, search)
    for word in words:
        assert word in message


@pytest.mark.parametrize(
    ("method", "search", "start", "words"),
    [
        ("fedavg", {"lr": {"high": 0.1}}, {"lr": 0.5}, ["lr=0.5", "0.0001 to 0.1"]),
        ("fedavg", {"lr": {}}, {"lr": "fast"}, ["lr='fast'"]),
        ("fedrep", {"lr": {}}, {"lr": 0.1, "head_epochs": 2}, ["head_epochs", "not searched"]),
        ("fedrep", {"lr": {}}, {"mu": 2}, ["'mu'"]),
        (
            "fedperfix",
            {"prefix": {"choices": ["adapter", "tokens"]}},
            {"prefix": "zero"},
            ["prefix='zero'", "adapter, tokens"],
        ),
        (
            "fedperfix",
            {"prefix": {}, "bottleneck": {"when": {"prefix": "adapter"}}},
            {"prefix": "tokens", "bottleneck": 8},
            ["bottleneck=8", "prefix=adapter"],
        ),
    ],
)
def test_a_start_point_outside_the_search_is_refused(method, search, start, words):
    message = refusal(method, search, start)
    for word in words:
        assert word in message


def test_a_start_point_written_as_text_becomes_a_number():
    """YAML reads 1e-2, without a point, as text; the knob's type decides."""
    content = yaml.safe_load("search: {lr: {}}\nstart: [{lr: 1e-2}]")
    (point,) = check("fedavg", content["search"], *content["start"]).start
    assert point == {"lr": 0.01}


@pytest.mark.parametrize(
    "search",
    [
        {"bottleneck": {"when": {"prefix": "adapter"}}, "prefix": {"choices": ["adapter"]}},
        {"lr": {}, "bottleneck": {"when": {"prefix": "adapter"}}},
    ],
    ids=["before what it depends on", "what it depends on has its default"],
)
def test_a_conditional_knob_is_never_silently_left_out_of_the_search(search):
    """Both spaces ask for the bottleneck, and the prefix can only be an adapter."""
    try:
        space = check("fedperfix", search)
    except UserError:
        return
    assert all("bottleneck" in values for values in suggestions(space, 5))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("search: {lr: {lowest: 1}}", ["lr.lowest"]),
        ("search: {lr: {low: slow}}", ["lr.low='slow'"]),
        ("start: [{lr: 0.1}]", ["'search' is missing"]),
        ("- lr", ["mapping"]),
    ],
)
def test_a_malformed_file_is_named(method_file, content, words):
    method_file.with_suffix(".yaml").write_text(content)
    with pytest.raises(UserError) as caught:
        load_space(f"{method_file}:Fresh")
    for word in ("mutual_distillation.yaml", *words):
        assert word in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_method_without_a_yaml_is_searched_over_its_knobs(method_file):
    method_file.write_text(SOURCE.replace("at_most: int = knob(3, high=9", "at_most: int = knob(3"))
    reference = f"{method_file}:Fresh"
    space = load_space(reference)
    ranges = {d.name: (d.low, d.high, d.log) for d in space.dimensions if not d.choices}
    assert ranges["mu"] == (0.0, 1.0, False)
    assert ranges["layers"] == (1, 8, True)
    assert {"lr", "kind"} <= {d.name for d in space.dimensions}
    assert "free" not in ranges, "a knob without a range cannot be searched"
    assert space.start[0] == {"lr": 0.01, "kind": "deep", "layers": 2, "mu": 0.1}
    values = suggestions(space, 20)
    assert {v["kind"] for v in values} == {"deep", "flat"}
    for each in values:
        make_method(reference, each)
        assert ("layers" in each) == (each["kind"] == "deep")


def test_a_knob_with_half_a_range_does_not_break_the_search(method_file):
    reference = f"{method_file}:Fresh"
    for values in suggestions(load_space(reference), 3):
        make_method(reference, values)


def test_the_yaml_beside_the_file_of_a_method_is_used(method_file):
    method_file.with_suffix(".yaml").write_text("search: {mu: {high: 0.5}}\nstart: [{mu: 0.3}]")
    space = load_space(f"{method_file}:Fresh")
    assert [(d.name, d.low, d.high) for d in space.dimensions] == [("mu", 0.0, 0.5)]
    assert space.start == ({"mu": 0.3},)


def test_the_yaml_is_found_beside_a_file_named_like_an_installed_module(method_file):
    """A method called mutual.py or statistics.py must not be confused with a library's module."""
    path = method_file.rename(method_file.with_name("statistics.py"))
    path.with_suffix(".yaml").write_text("search: {mu: {high: 0.5}}\nstart: [{mu: 0.3}]")
    assert load_space(f"{path}:Fresh").start == ({"mu": 0.3},)


@settings(max_examples=25)
@given(low=st.floats(1e-4, 0.4), high=st.floats(0.41, 1.0), log=st.booleans())
def test_suggestions_stay_inside_the_searched_range(low, high, log):
    space = check("fedavg", {"lr": {"low": low, "high": high, "log": log}})
    for values in suggestions(space, 5):
        assert low <= values["lr"] <= high


# Subclasses


FIXED = """
from dataclasses import dataclass
from pfltune.knobs import knob
from pfltune.methods.fedperfix import FedPerfix


@dataclass(frozen=True, kw_only=True)
class Fixed(FedPerfix):
    prefix: str = "tokens"
    lr: float = knob(0.02, low=0.01, high=0.1, log=True, doc="its own range")
    mu: float = knob(0.1, low=0.0, high=1.0, doc="a new one")
    depth: int = {depth}
"""


def inheriting(
    tmp_path,
    depth='knob(0, low=0, high=100, doc="how many of the last blocks get prefixes; 0: all")',
):
    path = tmp_path / "fixed.py"
    path.write_text(FIXED.format(depth=depth))
    return f"{path}:Fixed"


def test_a_subclass_without_a_yaml_is_searched_as_its_parent_where_it_is_the_same(tmp_path):
    space = load_space(inheriting(tmp_path))
    ranges = {d.name: (d.low, d.high, dict(d.when)) for d in space.dimensions}
    assert ranges == {
        "lr": (0.01, 0.1, {}),
        "mu": (0.0, 1.0, {}),
        "prefix_length": (1.0, 32.0, {}),
        "scale": (0.25, 3.0, {}),
    }, "no depth, which its parent does not search; no bottleneck, which tokens have not"
    assert space.start == ({"lr": 0.02, "prefix_length": 8, "scale": 1.5, "mu": 0.1},)
    for values in suggestions(space, 10):
        make_method(inheriting(tmp_path), values)


def test_a_class_of_a_file_has_no_yaml_of_a_built_in_method_of_its_name(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(SOURCE.replace("class Fresh", "class FedAvg"))
    assert "mu" in {d.name for d in load_space(f"{path}:FedAvg").dimensions}


def test_what_a_backbone_cannot_hold_is_refused_before_any_trial(tmp_path):
    reference = inheriting(tmp_path, depth='knob(0, low=0, high=99, doc="blocks with prefixes")')
    _, spaces = plan_methods([reference], Budget(), PROTOCOL, {})
    points = [point for space in spaces.values() for point in space.extremes()]
    assert {"depth": 0} in points
    assert {"depth": 99} in points
    scenario = load_scenario("digits", ["backbone.weights=random"])
    with pytest.raises(
        UserError, match="depth=99 is more than the model's blocks; possible: 0 to 4"
    ):
        scenario.check(make_method(reference, point) for point in points)


@pytest.mark.parametrize("method", METHODS)
def test_the_ends_of_a_search_are_valid_methods(method):
    space = load_space(method)
    points = list(space.extremes())
    shaping = [d for d in space.dimensions if d.type is not float]
    assert {name for point in points for name in point} >= {d.name for d in shaping}
    assert_valid(method, points)


BOOLEAN = """
from dataclasses import dataclass
from pfltune.knobs import knob
from pfltune.method import Method


@dataclass(frozen=True, kw_only=True)
class Fresh(Method):
    flag: bool = knob(False, choices=(False, True), doc="yes or no")
    plain: bool = knob(False, doc="yes or no")
    size: int = knob(2, choices=(1, 2, 4), doc="how large")
    mu: float = knob(0.1, low=0.0, high=1.0, when={"flag": "true"}, doc="strength")
"""
YAML = """
search:
  flag: {choices: [true, false]}
  plain: {choices: [true, false]}
  size: {choices: [2, 4]}
  mu: {when: {flag: true}}
start:
  - {flag: true, plain: false, size: 4, mu: 0.5}
"""


@pytest.mark.parametrize("with_yaml", [False, True])
def test_truth_values_and_whole_numbers_can_be_chosen_from(with_yaml, tmp_path):
    path = tmp_path / "fresh.py"
    path.write_text(BOOLEAN)
    if with_yaml:
        path.with_suffix(".yaml").write_text(YAML)
    space = load_space(f"{path}:Fresh")
    assert ("plain" in {d.name for d in space.dimensions}) == with_yaml
    found = suggestions(space, 30)
    assert {type(values["flag"]) for values in found} == {bool}
    assert {values["size"] for values in found} == ({2, 4} if with_yaml else {1, 2, 4})
    assert {("mu" in values) == values["flag"] for values in found} == {True}
    for values in [*found, *space.start]:
        make_method(f"{path}:Fresh", values)


def test_a_method_without_a_free_knob_is_dealt_one_search_trial():
    held = {"fedavg": {"lr": 0.1}}
    plan, spaces = plan_methods(["fedavg", "fedper"], Budget(trials=8, seeds=2), PROTOCOL, held)
    dealer = ComparisonDealer(plan, spaces)
    dealt = []
    while not dealer.exhausted:
        batch = []
        while (candidate := dealer.deal()) is not None:
            batch.append(candidate)
        for candidate in batch:
            dealer.complete(candidate, Outcome(4, 0.5))
        dealt += batch
    counts = Counter((candidate.method, candidate.stage) for candidate in dealt)
    assert counts == {
        ("fedavg", "search"): 1,
        ("fedavg", "confirm"): 2,
        ("fedper", "search"): 8,
        ("fedper", "confirm"): 2,
    }
    assert len(dealt) == plan.total_trials()
    assert [g.size for g in plan.generations("fedavg")] == [1]
    assert plan.search_rounds("fedavg") == PROTOCOL.rounds


def test_suggestions_do_not_depend_on_where_a_file_is(tmp_path):
    found = []
    for folder in ("one", "another"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "fresh.py"
        path.write_text(SOURCE)
        plan, spaces = plan_methods([f"{path}:Fresh"], Budget(trials=4), PROTOCOL, {})
        dealer = ComparisonDealer(plan, spaces)
        found.append([dict(dealer.deal().knobs) for _ in range(4)])
    assert found[0] == found[1]
