"""The key of a trial: it changes with all that its figures depend on, and with nothing else."""

from pathlib import Path

import pytest
from comparisons import Fake, record_of
from hypothesis import given
from hypothesis import strategies as st

from pfltune.federation.fingerprint import fingerprint, given_in
from pfltune.knobs import defaults_of
from pfltune.program import ENGINE, Program
from pfltune.record import Asked
from pfltune.registry import find_method
from pfltune.trials.spec import TrialSpec

DATA = ("images", "labels", "clients", "clients without test", "start weights", "rules")
PROGRAM = Program(
    source={ENGINE: "1", "fedavg": "2", "fedper": "3"}, files={},
    versions={"torch": "2", "optuna": "5", "pfltune": "0.1"}, processor="abacus",
)  # fmt: skip
DEFAULTS = {"lr": 0.01, "epochs": 2, "prefix": "adapter", "flag": False}
BEGUN = record_of(
    {"fedavg": Fake("A", [[0.5]]), "fedper": Fake("B", [[0.5]])}, "one",
    program=PROGRAM, data={name: name for name in DATA},
    defaults={"fedavg": DEFAULTS, "fedper": DEFAULTS},
)  # fmt: skip
TRIAL = ("search", "fedavg", {"lr": 0.1}, 3)


def key(record=BEGUN, trial=TRIAL):
    return TrialSpec.of(record, *trial).key


def with_program(**changed):
    return BEGUN.model_copy(update={"program": PROGRAM.model_copy(update=changed)})


def with_computing(**changed):
    return BEGUN.model_copy(update={"computing": BEGUN.computing.model_copy(update=changed)})


def with_protocol(**changed):
    ground = BEGUN.scenario
    protocol = ground.protocol.model_copy(update=changed)
    return BEGUN.model_copy(update={"scenario": ground.model_copy(update={"protocol": protocol})})


def with_data(*names, record=BEGUN):
    return record.model_copy(update={"data": {**record.data, **dict.fromkeys(names, "other")}})


DECIDING = {
    "engine": with_program(source={**PROGRAM.source, ENGINE: "9"}),
    "the method's code": with_program(source={**PROGRAM.source, "fedavg": "9"}),
    "a stranger's partition": with_program(plugins={"partition": "1"}),
    "version": with_program(versions={**PROGRAM.versions, "torch": "3"}),
    "processor": with_program(processor="another"),
    "a default": BEGUN.model_copy(update={"defaults": {"fedavg": {**DEFAULTS, "epochs": 3}}}),
    "local epochs": with_protocol(local_epochs=7),
    "batch size": with_protocol(batch_size=7),
    "clients of a round": with_protocol(sampled_clients=7),
    "held": BEGUN.model_copy(update={"fixed": {"fedavg": {"epochs": 3}}}),
    **{name: with_computing(**{name: value}) for name, value in {
        "threads": 2, "device": "cuda", "precision": "bfloat16", "cohort": 2, "deterministic": True,
    }.items()},
    **{name: with_data(name) for name in DATA if name != "clients"},
}  # fmt: skip


@pytest.mark.parametrize("what", DECIDING)
def test_all_that_figures_depend_on_is_in_the_key(what):
    assert key(DECIDING[what]) != key()


BESIDE = {
    "name": {"name": "two"},
    "id": {"id": "0" * 32},
    "titles": {"titles": {"fedavg": "Another"}},
    "order of methods": {"methods": BEGUN.methods[::-1]},
    "other methods": {"methods": ("fedavg",), "defaults": {"fedavg": DEFAULTS}},
    "asked": {"asked": Asked(workers=3, fresh=True)},
    "budget": {"budget": BEGUN.budget.model_copy(update={"trials": 40})},
    "spaces": {"spaces": {"fedavg": {}}},
    "scenario's name": {"scenario": BEGUN.scenario.model_copy(update={"name": "other"})},
    "another method's code": {"program": with_program(
        source={**PROGRAM.source, "fedper": "9"}).program},
    "what only suggests": {"program": with_program(
        versions={**PROGRAM.versions, "optuna": "6", "pfltune": "0.2"}).program},
    "test indices": {"data": with_data("clients").data},
}  # fmt: skip


@pytest.mark.parametrize("what", BESIDE)
def test_nothing_else_is(what):
    assert key(BEGUN.model_copy(update=BESIDE[what])) == key()


def test_a_confirmation_depends_on_the_test_indices():
    confirm = ("confirm", *TRIAL[1:])
    assert key(with_data("clients"), confirm) != key(BEGUN, confirm)
    assert key(with_data("clients without test"), confirm) == key(BEGUN, confirm)


TRIALS = st.tuples(
    st.sampled_from(["search", "confirm"]),
    st.sampled_from(["fedavg", "fedper"]),
    st.fixed_dictionaries(
        {},
        optional={
            "lr": st.floats(1e-4, 1.0),
            "epochs": st.integers(1, 5),
            "prefix": st.sampled_from(["adapter", "tokens"]),
            "flag": st.booleans(),
        },
    ),
    st.integers(0, 2**31),
)


@given(TRIALS, TRIALS)
def test_equal_keys_are_equal_trials(one, two):
    def complete(trial):
        stage, method, knobs, seed = trial
        return stage, method, {**DEFAULTS, **knobs}, seed

    assert (key(trial=one) == key(trial=two)) == (complete(one) == complete(two))


@given(TRIALS)
def test_a_default_given_explicitly_is_the_same_trial(trial):
    stage, method, knobs, seed = trial
    assert key(trial=trial) == key(trial=(stage, method, {**DEFAULTS, **knobs}, seed))


def test_a_number_is_the_same_however_it_is_written():
    assert key(trial=("search", "fedavg", {"lr": 1}, 3)) == key(
        trial=("search", "fedavg", {"lr": 1.0}, 3)
    )


def test_a_record_that_was_written_and_read_gives_the_same_keys():
    again = type(BEGUN).model_validate_json(BEGUN.text())
    assert key(again) == key()


@pytest.mark.parametrize("name", ["local_epochs", "batch_size", "sampled_clients"])
def test_a_setting_that_was_searched_is_as_one_of_the_scenario(name):
    searched = (*TRIAL[:2], {**TRIAL[2], f"protocol.{name}": 3}, TRIAL[3])
    assert key(trial=searched) == key(with_protocol(**{name: 3}), TRIAL)
    assert key(with_protocol(**{name: 5}), searched) == key(trial=searched)
    assert key(trial=searched) != key()


FILE = """
from dataclasses import dataclass
from pfltune import Method

@dataclass(frozen=True, kw_only=True)
class One(Method):
    pass

@dataclass(frozen=True, kw_only=True)
class Two(Method):
    pass
"""


def spec_of_file(reference, short):
    record = BEGUN.model_copy(
        update={
            "methods": (reference,),
            "program": Program.of([reference], "cpu"),
            "defaults": {short: defaults_of(find_method(reference))},
        }
    )
    return TrialSpec.of(record, "search", reference, {}, 0)


def test_two_classes_of_one_file_differ_and_one_file_in_two_places_does_not(tmp_path):
    for place in ("here", "there"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "mine.py").write_text(FILE)
    one = spec_of_file(f"{tmp_path}/here/mine.py:One", "one")
    assert one == spec_of_file(f"{tmp_path}/there/mine.py:One", "one")
    two = spec_of_file(f"{tmp_path}/here/mine.py:Two", "two")
    assert one.code != two.code
    Path(tmp_path, "here", "mine.py").write_text(FILE + "# changed\n")
    assert spec_of_file(f"{tmp_path}/here/mine.py:One", "one").code != one.code


def test_what_a_search_trial_is_given_is_the_federation_without_test(federation):
    data, blind = fingerprint(federation), fingerprint(federation.without_test())
    assert given_in(False, data)["clients"] == blind["clients"]
    assert given_in(True, data)["clients"] == data["clients"] != blind["clients"]


def test_common_is_what_trials_of_a_method_share():
    one = TrialSpec.of(BEGUN, *TRIAL)
    other = TrialSpec.of(BEGUN, "confirm", "fedavg", {"epochs": 4}, 9)
    assert one.common.key == other.common.key
    assert one.common.key != TrialSpec.of(BEGUN, "search", "fedper", {}, 0).common.key
    assert one.common.key != TrialSpec.of(with_data("images"), *TRIAL).common.key
