"""A study of Optuna's as start points: its best trials, as far as they are searched here."""

import optuna
import pytest

from pfltune.errors import UserError
from pfltune.record import Record
from pfltune.search.space import load_space
from pfltune.studies import begin
from pfltune.studies.optuna_start import best_trials, points_of, start_points

SEARCHED = {knob.name: knob for knob in load_space("fedperfix").dimensions}
SCORES = {0: 0.5, 1: 0.9, 2: 0.7, 3: 0.9, 4: 0.1}
"""Value by number of the trial; the learning rate grows with the number."""


def wide(value, low=-100.0, high=1000.0):
    """A distribution in which a value of any kind is."""
    if isinstance(value, str | bool):
        return optuna.distributions.CategoricalDistribution((value, "another"))
    if isinstance(value, int):
        return optuna.distributions.IntDistribution(-100, 1000)
    return optuna.distributions.FloatDistribution(low, high)


def trial(params, value=0.5, **more):
    spaces = {name: wide(each) for name, each in params.items()}
    return optuna.trial.create_trial(params=params, distributions=spaces, value=value, **more)


@pytest.fixture
def storage(tmp_path):
    """The address of a file with the study ``one``: five complete trials, one pruned and better."""
    address = f"sqlite:///{tmp_path / 'studies.db'}"
    study = optuna.create_study(study_name="one", storage=address, direction="maximize")
    for number, value in SCORES.items():
        study.add_trial(trial({"lr": 0.01 * (number + 1), "prefix": "tokens"}, value))
    pruned = optuna.trial.TrialState.PRUNED
    study.add_trial(trial({"lr": 0.25, "prefix": "tokens"}, 0.99, state=pruned))
    return address


def refused(*arguments) -> str:
    with pytest.raises(UserError) as caught:
        start_points(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_best_complete_trials_come_first_the_earlier_among_equals(storage):
    found = start_points(storage, SEARCHED)
    assert [point["lr"] for point in found.points] == [0.02, 0.04, 0.03]
    assert not found.left_out
    assert start_points(f"{storage}#one", SEARCHED) == found


def test_where_less_is_better_the_least_is_the_best():
    study = optuna.create_study(direction="minimize")
    for number, value in SCORES.items():
        study.add_trial(trial({"lr": 0.01 * (number + 1)}, value))
    assert [each.number for each in best_trials(study, 3)] == [4, 0, 2]


def test_each_point_is_taken_once():
    same = trial({"lr": 0.01, "prefix": "tokens"})
    assert points_of([same, same], SEARCHED).points == ({"lr": 0.01, "prefix": "tokens"},)


@pytest.mark.parametrize(
    ("params", "point", "told"),
    [
        ({"lr": 0.01, "momentum": 0.9}, {"lr": 0.01}, "momentum is not searched"),
        ({"lr": 0.5, "scale": 1.0}, {"scale": 1.0}, "lr=0.5 of trial -1 is not in 0.003 to 0.3"),
        ({"prefix": "zero"}, {}, "prefix=zero of trial -1 is not in adapter, tokens"),
        (
            {"prefix": "adapter", "prefix_length": 8},
            {"prefix": "adapter"},
            "prefix_length=8 of trial -1 has no effect without prefix=tokens",
        ),
        ({"prefix": "tokens", "prefix_length": 8.0}, {"prefix": "tokens", "prefix_length": 8}, ""),
    ],
)
def test_what_is_not_searched_here_is_left_out_with_a_line(params, point, told):
    found = points_of([trial(params)], SEARCHED)
    assert found.points == ((point,) if point else ())
    assert found.left_out == ((told,) if told else ())


def test_of_several_studies_one_must_be_named(storage):
    optuna.create_study(study_name="empty", storage=storage)
    assert "has several studies; name one at its end: #empty, #one" in refused(storage, SEARCHED)
    assert "(did you mean 'one'?)" in refused(f"{storage}#ones", SEARCHED)
    told = refused(f"{storage}#empty", SEARCHED)
    assert told == "the study 'empty' has no start point, no trial of it is complete"
    optuna.create_study(study_name="two", storage=storage, directions=["maximize", "minimize"])
    assert "has 2 objectives" in refused(f"{storage}#two", SEARCHED)


def test_a_study_of_other_knobs_says_what_is_left_out(storage):
    study = optuna.create_study(study_name="other", storage=storage)
    study.add_trial(trial({"momentum": 0.9}))
    told = refused(f"{storage}#other", SEARCHED)
    assert told == "the study 'other' has no start point: momentum is not searched"


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    assert refused(f"sqlite:///{tmp_path / 'no.db'}", SEARCHED).startswith("there is no file")
    assert not list(tmp_path.iterdir())
    (tmp_path / "empty.db").touch()
    told = refused(f"sqlite:///{tmp_path / 'empty.db'}", SEARCHED)
    assert "is no storage of Optuna's" in told
    assert (tmp_path / "empty.db").read_bytes() == b""


def test_a_search_begins_with_them_and_goes_on_without_the_study(storage, tmp_path):
    given = {"methods": ["fedperfix"], "results": tmp_path / "results", "name": "mine"}
    common = {"device": "cpu", "precision": "float32"}
    asked = {"start_from": storage, "fixed": {"": {"prefix": "tokens"}}, "start": [{"lr": 0.1}]}
    first = begin.comparison("tune", {**given, **common, **asked})
    starts = [point["lr"] for point in first.spaces["fedperfix"].start]
    assert starts[:4] == [0.1, 0.02, 0.04, 0.03], "a value that is held is no matter"
    assert not first.spaces["fedperfix"].published
    assert first.dealer().deal().knobs["lr"] == 0.1
    digests = {"source": {}, "files": {}, "versions": {}, "processor": "abacus"}
    record = Record.model_validate({**first.recorded(), "program": digests, "data": {}})
    record.write(first.folder)
    (tmp_path / "studies.db").unlink()
    again = begin.comparison("tune", {"resume": "mine", "results": tmp_path / "results"})
    assert again.recorded()["spaces"] == first.recorded()["spaces"]
