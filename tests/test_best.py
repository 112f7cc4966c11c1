"""``pfltune best``: the chosen values as they are pasted, to the last digit."""

import json
import shlex
from types import SimpleNamespace

import numpy as np
import pytest
import yaml
from comparisons import Fake, record

from pfltune.method_list import method_list
from pfltune.registry import make_method
from pfltune.search.space import SpaceFile
from pfltune.settings import validated

LR = 0.08712345678901234
BEST = {"lr": LR, "prefix": "tokens", "prefix_length": 4, "scale": 1e-05 + 1}
APFL = {"lr": 1e-4, "alpha": 0.30000000000000004, "learn_alpha": True}
SPACES = {
    "fedperfix": {"search": {"lr": [0.003, 0.3, True], "prefix_length": [1, 32, True]}},
    "apfl": {"search": {"lr": [0.003, 0.3, True], "learn_alpha": [True, False]}},
}


@pytest.fixture
def results(tmp_path):
    methods = {
        "fedperfix": Fake("FedPerfix", np.full((2, 3), 0.6), knobs=BEST),
        "apfl": Fake("APFL", np.full((2, 3), 0.5), knobs=APFL),
    }
    store = SimpleNamespace(results=tmp_path)
    record(store, "both", methods, mirrored=False, spaces=SPACES)
    one = {"fedperfix": methods["fedperfix"]}
    record(store, "one", one, mirrored=False, command="tune", spaces=SPACES)
    record(store, "held", one, mirrored=False, spaces={"fedperfix": {"search": {}}})
    none = {"fedperfix": Fake("FedPerfix", np.zeros((0, 3)), knobs=BEST)}
    record(store, "going", none, mirrored=False, over=False)
    record(store, "failed", none, mirrored=False)
    return tmp_path


@pytest.fixture
def best(results, called):
    """``best(*arguments)``: what is printed, of a call that succeeds and says nothing else."""

    def call(*arguments):
        code, out, err = called("best", *arguments, "--results", str(results))
        assert (code, err) == (0, "")
        return out

    return call


def set_of(options):
    words = shlex.split(options)
    assert set(words[::2]) == {"--set"}
    return dict(pair.split("=", 1) for pair in words[1::2])


@pytest.mark.parametrize(("method", "values"), [("fedperfix", BEST), ("apfl", APFL)])
def test_options_are_the_chosen_values_to_the_last_digit(best, method, values):
    made = make_method(method, set_of(best("both", method, "--as", "options")))
    assert {name: getattr(made, name) for name in values} == values


@pytest.mark.parametrize(("method", "values"), [("fedperfix", BEST), ("apfl", APFL)])
def test_yaml_is_a_file_of_methods(best, tmp_path, method, values):
    path = tmp_path / "tuned.yaml"
    path.write_text(best("both", method, "--as", "yaml"))
    (reference,) = method_list([str(path)]).references
    made = make_method(reference, {})
    assert {name: getattr(made, name) for name in values} == values


def test_start_is_the_searched_values_as_a_space_has_them(best):
    text = "search: {lr: {}, prefix_length: {}}\n" + best("both", "fedperfix", "--as", "start")
    space = validated(SpaceFile, yaml.safe_load(text), "space")
    assert space.start == ({"lr": LR, "prefix_length": 4},)


def test_all_of_them_stand_below_comments_and_may_be_pasted_with_them(best):
    lines = best("one").splitlines()
    assert [line for line in lines if line.startswith("#")] == [
        "# for pfltune run fedperfix, pfltune tune fedperfix",
        "# for a file of methods, pfltune compare --methods FILE.yaml",
        "# for a search space, tried first",
    ]
    assert set_of(lines[1])["lr"] == repr(LR)


def test_where_nothing_was_searched_there_is_no_start_point(best):
    assert "start" not in best("held")


def test_json_is_one_object(best):
    found = json.loads(best("both", "APFL", "--json"))
    assert (found["name"], found["method"], found["values"]) == ("both", "apfl", APFL)
    assert found["searched"] == ["lr", "learn_alpha"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["both"], "both has several methods; name one of: "),
        (["both", "fedavg"], "unknown method 'fedavg'"),
        (["ones"], "unknown comparison 'ones' (did you mean 'one'?)"),
        (["going"], "FedPerfix has no best configuration: its search has not ended"),
        (["failed"], "FedPerfix has no best configuration: every trial failed"),
        (["held", "--as", "start"], "nothing of fedperfix was searched"),
        (["one", "--as", "json"], "'json' is not one of 'options', 'yaml', 'start'"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_to_paste(results, called, arguments, told):
    code, out, err = called("best", *arguments, "--results", str(results))
    assert (code, out) == (2, "")
    assert told in err
    assert err.count("\n") == 1
