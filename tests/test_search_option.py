"""The search space as it is asked for: --search, --space, --start, and the same from Python."""

import json

import optuna
import pytest
import yaml
from trained import SMALL, compare_small

import pfltune
from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.federation.searched_settings import setting_knobs, under
from pfltune.record import Record
from pfltune.registry import short_name
from pfltune.scenario import load_scenario
from pfltune.search.space import load_space
from pfltune.search.space_text import dimension_of
from pfltune.space_file import Dimension
from pfltune.studies.comparison import plan_methods, plan_on
from pfltune.studies.spaces import space_options
from pfltune.trials.spec import TrialSpec

pytestmark = pytest.mark.usefixtures("png_alone")

SCENARIO = load_scenario("digits", SMALL)
BUDGET = Budget(trials=4)


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def asked(methods, search=(), space=None, start=(), fixed=None):
    """The spaces of methods by short name, and what is said of them."""
    given = {"search": search, "space": space, "start": start}
    options = space_options(given, [short_name(method) for method in methods])
    _, spaces, notes = plan_on(list(methods), BUDGET, SCENARIO, fixed or {}, options)
    return {short_name(method): found for method, found in spaces.items()}, notes


def tuned(method, *search, start=(), space=None, **fixed):
    spaces, notes = asked([method], search, space, start, {method: fixed})
    return spaces[method], notes


def drawn(space, count=20):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(count):
        trial = study.ask()
        space(trial)
        found.append(trial.params)
    return found


# ------------------------------------------------------------------ as it is written


@pytest.mark.parametrize(
    ("text", "name", "dimension"),
    [
        ("lr=1e-3:0.3:log", "lr", {"low": 0.001, "high": 0.3, "log": True}),
        ("lr = 1e-3 : 0.3 : linear", "lr", {"low": 0.001, "high": 0.3, "log": False}),
        ("prefix_length=1:32", "prefix_length", {"low": 1, "high": 32}),
        ("prefix_length=1,2,4", "prefix_length", {"choices": ["1", "2", "4"]}),
        ('personal=head,"head,attn"', "personal", {"choices": ["head", "head,attn"]}),
        ("fedperfix[prefix=zero].scale=1:2", "fedperfix[prefix=zero].scale", {"low": 1, "high": 2}),
        ("protocol.local_epochs=1,2", "protocol.local_epochs", {"choices": ["1", "2"]}),
    ],
)  # fmt: skip
def test_a_dimension_as_it_is_written(text, name, dimension):
    assert dimension_of(text) == (name, Dimension(**dimension))


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("lr", "must look like"),
        ("lr=", "must look like"),
        ("lr=0.1", "one value; hold it with --set lr=0.1"),
        ("protocol.local_epochs=2", "hold it with -o protocol.local_epochs=2"),
        ("lr=0.1:0.5:cubic", "log or linear, not 'cubic'"),
        ("lr=a:b", "low='a'"),
        ("lr=0.5:0.1", "lr needs low < high"),
        ("lr=1e-9:0.1", "lr=1e-09 is not valid"),
        ("scale=0.1,0.1", "two different choices"),
        ("prefix_length=1.5:8", "prefix_length=1.5 is not valid"),
        ("prefix_length=1,999", "prefix_length='999' is not valid"),
        ("prefix=1:3", "prefix=1.0 is not valid"),
        ("prefix=adapter,mlp", "prefix='mlp' is not valid"),
        ("prefix_lengt=1:3", "did you mean 'prefix_length'"),
        ("fedper.lr=0.1:0.2", "unknown method in --search fedper.lr 'fedper'"),
        ("protocol.rounds=1,2", "protocol.sampled_clients, protocol.local_epochs, protocol.batch"),
        ("partition.alpha=1,2", "-o changes the others"),
        ("protocol.sampled_clients=1,99", "protocol.sampled_clients='99' is not valid"),
        ("protocol.local_epochs=0,1", "protocol.local_epochs='0' is not valid"),
    ],
)
def test_what_cannot_be_searched_is_one_line(search, words):
    with pytest.raises(UserError) as caught:
        tuned("fedperfix", search)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_several_values_for_one_say_how_they_are_searched():
    for value in ("1..32", "1:32", "1-32", "1 to 32"):
        with pytest.raises(UserError, match="to search: --search prefix_length=1:32"):
            tuned("fedperfix", prefix="tokens", prefix_length=value)
    with pytest.raises(UserError, match="to search: --search prefix_length=1,2,4"):
        tuned("fedperfix", prefix="tokens", prefix_length="1,2,4")


# ------------------------------------------------------------------ knobs, conditions, methods


def test_a_dimension_is_replaced_by_range_or_choices_in_the_knobs_type():
    space, _ = tuned("fedperfix", "lr=1e-3:0.3", "prefix_length=1,2,4", prefix="tokens")
    assert (space.searched["lr"].low, space.searched["lr"].log) == (0.001, True), "its own scale"
    assert space.searched["prefix_length"].choices == (1, 2, 4)
    assert {type(point["prefix_length"]) for point in drawn(space)} == {int}
    linear, _ = tuned("fedperfix", "lr=1e-3:0.3:linear")
    assert not linear.searched["lr"].log


def test_a_knob_that_was_not_searched_joins():
    space, _ = tuned("fedperfix", "depth=1:2" if SCENARIO.backbone.depth > 1 else "depth=0,1")
    assert {point["depth"] for point in drawn(space)} <= {0, 1, 2}
    assert "depth" in space.start[0]


def test_a_truth_value_is_searched(tmp_path):
    path = tmp_path / "fresh.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom pfltune import Method, knob\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Fresh(Method):\n"
        '    learn_alpha: bool = knob(False, doc="yes or no")\n'
        '    rate: float = knob(0.1, low=0.0, high=1.0, when={"learn_alpha": True}, doc="rate")\n'
    )
    spaces, _ = asked([f"{path}:Fresh"], ["learn_alpha=true,false"])
    found = drawn(spaces["fresh"])
    assert {type(point["learn_alpha"]) for point in found} == {bool}
    assert all(("rate" in point) == point["learn_alpha"] for point in found)
    assert spaces["fresh"].start == ({"lr": 0.01, "learn_alpha": False},)


@pytest.mark.parametrize(
    ("search", "fixed"),
    [
        (["prefix_length=1:32"], {"prefix": "adapter"}),
        (["prefix_length=1:32", "prefix=adapter,zero"], {}),
    ],
)
def test_a_knob_without_effect_is_refused_with_what_it_needs(search, fixed):
    with pytest.raises(UserError, match="it needs prefix=tokens: give --set prefix=tokens"):
        tuned("fedperfix", *search, **fixed)


def test_what_is_held_cannot_be_searched():
    with pytest.raises(UserError, match=r"lr=0\.1 is held"):
        tuned("fedavg", "lr=0.1:0.5", lr="0.1")


def test_a_comparison_searches_it_in_every_method_that_can_and_in_one_that_is_named():
    methods = ["fedperfix", "fedperfix[prefix=zero]", "fedavg"]
    search = ["prefix_length=1,2", "lr=0.01:0.1", "fedavg.lr=0.02:0.2"]
    spaces, _ = asked(methods, search)
    assert {name for name, s in spaces.items() if "prefix_length" in s.searched} == {"fedperfix"}
    assert {name: s.searched["lr"].high for name, s in spaces.items()} == {
        "fedperfix": 0.1,
        "fedperfix[prefix=zero]": 0.1,
        "fedavg": 0.2,
    }
    with pytest.raises(UserError, match="unknown knob of fedavg, local in --search 'prefix"):
        asked(["fedavg", "local"], ["prefix_length=1,2"])


def test_python_takes_texts_values_and_mappings():
    search = {"lr": "1e-3:0.3", "scale": [1, 2.0], "prefix": {"choices": ["adapter", "zero"]}}
    space = asked(["fedperfix"], search)[0]["fedperfix"]
    assert space.searched["scale"].choices == (1.0, 2.0)
    assert space.searched["prefix"].choices == ("adapter", "zero")
    assert "prefix_length" not in space.searched, "it can have no effect"
    with pytest.raises(UserError, match="--search lr: 3 is neither"):
        asked(["fedperfix"], {"lr": 3})


# ------------------------------------------------------------------ files


def test_a_file_replaces_the_space_and_what_is_searched_comes_on_top(tmp_path):
    one = {"search": {"lr": {"low": 0.01}}, "published": [{"lr": 0.02}], "start": [{"lr": 0.5}]}
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(one))
    space, _ = tuned("fedperfix", "scale=1,2", space=path)
    assert set(space.searched) == {"lr", "scale"}
    assert space.start == ({"lr": 0.02, "scale": 1.0}, {"lr": 0.5, "scale": 1.0})
    path.write_text(yaml.safe_dump({"fedavg": one}))
    spaces, _ = asked(["fedavg", "fedper"], space=path)
    assert spaces["fedavg"].searched["lr"].low == 0.01
    assert spaces["fedper"] == load_space("fedper")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"search": {"lr": {}}}, "holds one search space, and there are 2 methods"),
        ({"fedper": {"search": {"lr": {}}}}, "unknown method of"),
        ({"fedavg": {"search": {"lr": {"lowest": 1}}}}, "lr.lowest"),
        ({"fedavg": {"search": {"lrr": {}}}}, "'lrr'"),
        ({"fedavg": {"start": [{"lr": 0.1}]}}, "'search' is missing"),
        ({"fedavg": 3}, "fedavg"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(content, words, tmp_path):
    path = tmp_path / "space.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(UserError) as caught:
        asked(["fedavg", "local"], space=path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------ where it starts


def test_start_points_come_first_then_published_ones():
    space, _ = tuned("fedavg", start=[{"lr": "0.2"}, {"lr": 0.1}])
    assert space.start == ({"lr": 0.2}, {"lr": 0.1}, {"lr": 0.01})
    assert space.published == ({"lr": 0.01},)


@pytest.mark.parametrize(
    ("start", "words"),
    [
        ({"lr": 7}, "lr=7 is not valid"),
        ({"lrr": 0.1}, "'lrr'"),
        ({"lr": 0.1, "prefix_length": 3}, "it needs prefix=tokens"),
        ({"depth": 1}, "depth, not searched"),
    ],
)
def test_a_start_point_is_checked_as_one_of_a_yaml(start, words):
    with pytest.raises(UserError) as caught:
        tuned("fedperfix", start=[start])
    assert words in str(caught.value)


def test_only_a_papers_own_values_are_published():
    whole = {"lr": 0.01, "prefix": "adapter", "bottleneck": 256, "scale": 1.5}
    assert load_space("fedperfix").published == (whole,)
    held, _ = tuned("fedperfix", prefix="adapter")
    assert held.published == ({name: v for name, v in whole.items() if name != "prefix"},)
    assert tuned("fedperfix", lr=0.02)[0].published == ()
    assert tuned("fedperfix", personal_blocks=1)[0].published == ()
    assert load_space("ditto").published == (), "two papers' values together are nobody's"
    default = tuned("fedavg", "protocol.local_epochs=1,2,5")[0]
    assert default.published == (
        {"lr": 0.01, "protocol.local_epochs": SCENARIO.protocol.local_epochs},
    )


def test_a_start_point_outside_is_dropped_and_the_last_one_moved_and_both_are_said():
    space, notes = tuned("fedperfix", "lr=0.05:0.3")
    assert space.start[0] == {"lr": 0.05, "prefix": "adapter", "bottleneck": 256, "scale": 1.5}
    assert space.published == ()
    assert notes == (
        "fedperfix: the start point with lr=0.01 is not searched: it is moved to lr=0.05",
    )
    own = {"search": {"lr": {}}, "published": [{"lr": 0.01}], "start": [{"lr": 0.1}]}
    space, notes = tuned("fedavg", "lr=0.05:0.3", space=own)
    assert space.start == ({"lr": 0.1},)
    assert notes == ("fedavg: the start point with lr=0.01 is not searched: it is left out",)


def test_what_a_start_point_leaves_out_is_its_default_or_what_is_nearest():
    assert tuned("fedperfix", prefix="tokens")[0].start[0]["prefix_length"] == 8
    near = tuned("fedperfix", "prefix_length=1,2,16", prefix="tokens")[0]
    assert near.start[0]["prefix_length"] == 2
    near = tuned("fedperfix", "prefix_length=16:64", prefix="tokens")[0]
    assert near.start[0]["prefix_length"] == 16


# ------------------------------------------------------------------ the backbone


def deep(tmp_path):
    path = tmp_path / "deep.py"
    path.write_text(
        "from dataclasses import dataclass\nfrom pfltune import knob\n"
        "from pfltune.methods.fedperfix import FedPerfix\n\n\n"
        "@dataclass(frozen=True, kw_only=True)\nclass Deep(FedPerfix):\n"
        '    depth: int = knob(1, low=1, high=100, doc="blocks with prefixes")\n'
    )
    return f"{path}:Deep"


def test_a_range_that_nobody_chose_ends_where_the_backbone_does(tmp_path):
    scenario = load_scenario("digits", [*SMALL, "backbone.depth=4", "backbone.weights=random"])
    options = space_options({"search": (), "space": None, "start": ()}, ["deep"])
    _, spaces, notes = plan_on([deep(tmp_path)], BUDGET, scenario, {}, options)
    (space,) = spaces.values()
    assert (space.searched["depth"].low, space.searched["depth"].high) == (1, 4)
    assert notes == ("deep: depth is searched from 1 to 4, since the backbone cannot hold 100",)


def test_a_range_that_somebody_chose_is_refused_before_anything_starts(
    called, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    words = ["tune", "fedperfix", "-o", "backbone.weights=random", "--search", "depth=0:88"]
    code, _, told = called(*words)
    assert code == 2
    assert told.count("\n") == 1
    assert "depth=88 is more than the model's blocks; possible: 0 to 4" in told
    assert not list(tmp_path.glob("results/*/comparison.json"))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--start", "lr"], "--start must look like lr=0.1,prefix_length=8, not 'lr'"),
        (["--start", "lr=1,lr=2"], "names a knob twice"),
        (["--search", "lr"], "--search must look like"),
        (["--search", "lr=1:2", "--search", "lr=1:3"], "--search names lr twice"),
        (["--space", "nowhere.yaml"], "cannot read nowhere.yaml"),
    ],
)
def test_the_command_line_says_a_mistake_in_one_line(called, monkeypatch, tmp_path, words, told):
    monkeypatch.chdir(tmp_path)
    code, _, said = called("tune", "fedavg", *words)
    assert code == 2
    assert told in said
    assert said.count("\n") == 1


# ------------------------------------------------------------------ settings of the scenario


def test_settings_of_the_scenario_are_knobs_with_its_values_as_defaults():
    protocol = SCENARIO.protocol
    knobs = setting_knobs(protocol, clients=3)
    assert [knob.default for knob in list(knobs.values())[:3]] == [
        protocol.sampled_clients, protocol.local_epochs, protocol.batch_size,
    ]  # fmt: skip
    space, _ = tuned("fedavg", "protocol.local_epochs=1:4", "protocol.sampled_clients=1:3")
    found = drawn(space)
    assert {point["protocol.local_epochs"] for point in found} == {1, 2, 3, 4}
    assert all(set(point) == set(space.searched) for point in found)
    assert list(space.extremes()) == [], "they change no model"


def test_a_trials_federation_has_its_settings(federation):
    changed = under(federation, {"lr": 0.1, "protocol.local_epochs": 5})
    assert changed.protocol == federation.protocol.model_copy(update={"local_epochs": 5})
    assert under(federation, {"lr": 0.1}) is federation


@pytest.fixture(scope="module")
def trained(made_once):
    def make(folder):
        given = {"search": ["protocol.local_epochs=1,3"], "space": None, "start": ()}
        options = space_options(given, ["fedavg"])
        budget = Budget(trials=4, generation=4, seeds=1)
        record = compare_small(folder, "one", ["fedavg"], budget, options)
        return record, folder

    return made_once("searched settings", make)


def test_what_was_searched_is_trained_so_and_recorded(trained):
    record, folder = trained
    journal = (folder / "one" / "journal.jsonl").read_text()
    events = [json.loads(line) for line in journal.splitlines()]
    steps, epochs = {}, {}
    for event in events:
        if "knobs" in event:
            epochs[event["trial"]] = event["knobs"]["protocol.local_epochs"]
        elif event.get("round") == 1 and "metrics" in event:
            steps[event["trial"]] = event["metrics"]["train/total_steps"]
    assert set(epochs.values()) == {1, 3}
    assert len({steps[trial] / epochs[trial] for trial in epochs if "search" in trial}) == 1
    again = Record.model_validate_json(record.text())
    assert again.space_options == record.space_options
    assert again.spaces["fedavg"]["search"]["protocol.local_epochs"] == [1, 3]


def test_a_trial_of_a_searched_setting_is_that_of_a_scenario_that_says_so(trained):
    record, _ = trained
    protocol = record.scenario.protocol.model_copy(update={"local_epochs": 3})
    said = record.model_copy(
        update={"scenario": record.scenario.model_copy(update={"protocol": protocol})}
    )
    one = TrialSpec.of(record, "search", "fedavg", {"lr": 0.1, "protocol.local_epochs": 3}, 5)
    assert one.key == TrialSpec.of(said, "search", "fedavg", {"lr": 0.1}, 5).key


def test_a_certificate_deals_and_trains_what_was_searched(trained, tmp_path):
    _, folder = trained
    path = pfltune.certify("one", results=folder, out=tmp_path / "certificate.json")
    verdict = pfltune.verify(path, trials=["fedavg-search-0", "fedavg-confirm-0"])
    assert verdict.holds, verdict


@pytest.mark.slow
@pytest.mark.usefixtures("inline")
def test_a_comparison_finds_the_trials_of_a_search_over_a_setting(
    tmp_path, monkeypatch, cold_store
):
    """What was searched with protocol.local_epochs=2 is a scenario's that says so."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cold_store(tmp_path)
    common = {
        "overrides": SMALL,
        "seeds": 1,
        "workers": 1,
        "results": tmp_path,
        "generation": 2,
        "finalists": 0,
    }
    point = {"lr": 0.05, "prefix_length": 2, "scale": 1.0}
    found = pfltune.tune(
        "fedperfix",
        name="searched",
        knobs={"prefix": "tokens"},
        search={"prefix_length": [1, 2, 4], "protocol.local_epochs": "1:3"},
        start=[{**point, "protocol.local_epochs": 2}],
        trials=2,
        **common,
    )
    assert found.result.reused == 0
    said = {**common, "overrides": [*SMALL, "protocol.local_epochs=2"]}
    again = pfltune.compare(
        ["fedperfix[prefix=tokens]"], name="said", start=[point], trials=2, **said
    )
    assert again.result.reused >= 1


def test_a_plan_without_anything_asked_is_as_it_was():
    _, spaces = plan_methods(["fedavg"], BUDGET, SCENARIO.protocol, {})
    assert spaces == {"fedavg": load_space("fedavg")}
