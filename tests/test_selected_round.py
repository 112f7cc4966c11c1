"""What is kept of a trial's selected round: that with which each client was evaluated in it."""

import json
from functools import partial

import pytest
import torch

from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.models.bundle import (
    FROZEN,
    client_file,
    read_bundle,
    resolved,
    state_file,
    write_bundle,
)
from pfltune.models.tensors import parsed
from pfltune.registry import make_method
from pfltune.storage import Folder
from pfltune.testing.runs import Memory, repeatable

METHODS = {
    "fedavg": {},
    "local": {},
    "fedper": {},
    "fedavg_ft": {},  # adapts before it is evaluated
    "ditto": {},  # two models on a client
    "fedsa_lora": {},  # most of it is frozen
    "fedperfix": {"prefix": "tokens"},
    "pfedhn": {},  # the server makes each client's model
    "fedper+float16": {},  # the channel changes what is downloaded
}
CASES = [(name, "after_aggregation") for name in METHODS]
CASES += [(name, "after_training") for name in ("fedavg", "fedavg_ft", "ditto")]
KILLED = [
    ("fedper", "after_aggregation", 4096.0),
    ("fedavg+topk", "after_aggregation", 0.0),  # what the channel keeps, in files
    ("ditto", "after_training", 0.0),
]


def trial_of(name, ground, *, keeps=True, room_mb=4096.0):
    method = make_method(name, {"lr": 0.1, **METHODS.get(name, {})})
    return FederatedTrial(method, ground, 0, Compute(state_mb=room_mb), keeps)


def ran(trial):
    return [repeatable(report.metrics) for report in trial.run()]


def written(trial):
    """All files of its bundle."""
    place = Memory()
    write_bundle(trial, place)
    return place


def contents(place):
    return {name: place.read(name) for name in place.names()}


def tensors_in(place, bundle, client):
    """What a client predicts with, by the files alone."""
    names = (client_file(client), state_file(bundle.heard[client]), FROZEN)
    return resolved(*(parsed(place.read(name), name) for name in names))


@pytest.mark.parametrize(("name", "evaluate"), CASES)
def test_files_have_what_each_client_was_evaluated_with(name, evaluate, make_federation):
    """Rounds of 2 of 4 clients, so that there are some who did not train in the selected one."""
    ground = make_federation(evaluate=evaluate)
    trial = trial_of(name, ground)
    ran(trial)
    place = written(trial)
    bundle = read_bundle(place)
    assert bundle.round == trial.selection.round
    assert bundle.class_names == ground.dataset.class_names
    again = trial_of(name, ground, keeps=False)
    found = again.tested(ground.seen, partial(tensors_in, place, bundle), bundle.round)
    assert found.on_val == trial.selection.evaluation.on_val
    assert found.on_test == trial.selection.evaluation.on_test


@pytest.mark.parametrize(("name", "evaluate", "room_mb"), KILLED)
def test_a_trial_that_is_killed_after_any_round_ends_with_the_same_files(
    name, evaluate, room_mb, make_federation
):
    ground = make_federation(evaluate=evaluate)
    straight = trial_of(name, ground, room_mb=room_mb)
    figures = ran(straight)
    assert figures == ran(trial_of(name, ground, keeps=False)), "it moves no figure"
    wanted, held = contents(written(straight)), Memory()
    while True:
        trial = trial_of(name, ground, room_mb=room_mb)
        checkpoints = Checkpoints(held)
        checkpoints.load(trial)
        if trial.finished:
            break
        trial.step()
        checkpoints.save(trial, [])
    assert contents(written(trial)) == wanted


def test_states_of_the_selected_round_are_not_those_of_the_last(make_federation):
    """A rate with which the first round is the best by far."""
    ground = make_federation(rounds=4)
    trial = FederatedTrial(make_method("fedper", {"lr": 0.1}), ground, 0, keeps=True)
    first = trial.step()
    server = {name: t.clone() for name, t in trial.server.items()}
    states = [{n: t.clone() for n, t in trial.personal[c].items()} for c in ground.seen]
    trial.selection = trial.selection.__class__(1, _perfect(trial.selection.evaluation))
    assert first.round == trial.selected.round == 1
    ran(trial)
    assert trial.selection.round == trial.selected.round == 1
    for name, tensor in server.items():
        assert torch.equal(trial.selected_server[name], tensor)
    for client, state in enumerate(states):
        for name, tensor in state.items():
            assert torch.equal(trial.selected.personal[client][name], tensor)
    assert any(
        not torch.equal(trial.personal[c][n], t) for c, s in enumerate(states) for n, t in s.items()
    )


def _perfect(evaluation):
    """An evaluation that no later one beats."""
    counts = evaluation.on_val.__class__(evaluation.on_val.samples, evaluation.on_val.samples)
    return evaluation.__class__(evaluation.clients, counts, evaluation.on_test)


def test_a_trial_that_keeps_nothing_holds_and_writes_nothing_of_it(federation):
    trial, place = trial_of("fedper", federation, keeps=False), Memory()
    ran(trial)
    Checkpoints(place).save(trial, [])
    assert trial.selected is None
    assert trial.selected_server == {}
    assert not any(name.startswith(("selected", "before", "model")) for name in place.names())
    manifest = next(name for name in place.names() if name.startswith("round-"))
    assert "selected clients" not in json.loads(place.read(manifest))
    with pytest.raises(RuntimeError, match="not kept"):
        trial.each_model(print)


def test_one_that_began_without_keeping_goes_on_and_has_what_it_still_sees(make_federation):
    """The selected round may be one that nobody kept: then there is no model, and figures stand."""
    ground, place = make_federation(rounds=4), Memory()
    begun = trial_of("fedavg", ground, keeps=False)
    begun.step()
    Checkpoints(place).save(begun, [])
    trial = trial_of("fedavg", ground)
    Checkpoints(place).load(trial)
    assert trial.selected is None
    metrics = ran(trial)
    assert metrics == ran(trial_of("fedavg", ground, keeps=False))[1:]
    is_kept = trial.selected is not None and trial.selected.round == trial.selection.round
    assert is_kept == (trial.selection.round > 1)


def test_a_checkpoint_with_kept_states_is_read_by_a_trial_that_keeps_none(federation):
    place, keeping = Memory(), trial_of("fedper", federation)
    keeping.step()
    Checkpoints(place).save(keeping, [])
    trial = trial_of("fedper", federation, keeps=False)
    Checkpoints(place).load(trial)
    assert trial.round == 1
    assert trial.selected is None
    assert ran(trial) == ran(keeping)


def test_states_in_files_are_kept_although_they_change(tmp_path):
    from pfltune.federation.states import PersonalStates

    states = PersonalStates(lambda client: {"x": torch.zeros(2)}, 2, torch.device("cpu"), 0.0)
    states[0] = {"x": torch.ones(2)}
    kept = states.as_now()
    states[0] = {"x": torch.full((2,), 5.0)}
    assert kept[0]["x"].tolist() == [1, 1]
    assert kept[1]["x"].tolist() == [0, 0]
    assert states[0]["x"].tolist() == [5, 5]
    assert kept.is_as_at_first(1)


def test_a_bundle_that_is_not_whole_is_none(federation, tmp_path):
    trial, place = trial_of("fedper", federation), Folder(tmp_path / "bundle")
    ran(trial)
    assert read_bundle(place) is None
    write_bundle(trial, place)
    assert read_bundle(place) is not None
    place.write("bundle.json", b'{"round": 1}')
    assert read_bundle(place) is None
