"""Personal states: what was written last is what is read, wherever it is kept."""

import gc
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pfltune.errors import UserError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.compute import Compute
from pfltune.federation.states import PersonalStates
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedperfix import FedPerfix
from pfltune.storage import Folder
from pfltune.testing import Broken, check_method

CLIENTS = 5
CPU = torch.device("cpu")


def first(client):
    return {"w": torch.full((3,), float(client))}


def states(room_mb, clients=CLIENTS, make=first):
    return PersonalStates(make, clients, CPU, room_mb)


writes = st.lists(st.tuples(st.integers(0, CLIENTS - 1), st.integers(0, 40)), max_size=20)


@given(writes, st.sampled_from([0.0, 0.0002, 0.0005, 1.0]))
def test_what_was_written_last_is_read_and_the_others_are_as_at_first(writes, room_mb):
    kept, expected = states(room_mb), {c: first(c) for c in range(CLIENTS)}
    for number, (client, size) in enumerate(writes):
        state = {"w": torch.full((size,), float(number)), "n": torch.tensor(number)}
        kept[client] = expected[client] = state
    assert len(kept) == CLIENTS
    for client, state in enumerate(kept):
        assert state.keys() == expected[client].keys()
        assert all(torch.equal(state[n], expected[client][n]) for n in state)
    anew = kept.as_at_first()
    assert len(anew) == CLIENTS
    assert all(torch.equal(state["w"], first(c)["w"]) for c, state in enumerate(anew))


def keeping(name, at):
    """A method that keeps a tensor under this name, from the start on or once it has trained."""

    class Keeping(FedPer):
        def init_client(self, start, client):
            held = {name: torch.ones(2)} if at == "start" else {}
            return {**super().init_client(start, client), **held}

        def train(self, work, down, personal):
            update = super().train(work, down, personal)
            return replace(update, personal={**update.personal, name: torch.ones(2)})

    return dataclass(frozen=True, kw_only=True)(Keeping)


@pytest.mark.parametrize("at", ["start", "training"])
def test_a_state_that_would_be_taken_for_the_channels_is_refused(at, federation):
    """Else it would vanish from the method's sight."""
    told = "a personal state has the name 'channel/mine'; names that begin with 'channel/' are"
    with pytest.raises(UserError, match=told):
        FederatedTrial(keeping("channel/mine", at)(), federation, seed=0).step()
    with pytest.raises((Broken, UserError), match=told):
        check_method(keeping("channel/mine", at))
    FederatedTrial(keeping("my.channel/mine", at)(), federation, seed=0).step()


@given(writes)
def test_memory_holds_no_more_than_there_is_room_for(writes):
    kept = states(0.0003)
    for client, size in writes:
        kept[client] = {"w": torch.zeros(size)}
        held = sum(t.nbytes for _, state in kept._held.values() for t in state.values())
        assert held <= 300


def test_of_a_client_that_keeps_what_it_began_with_nothing_is_kept():
    """The very same tensors, that is; equal ones are not compared, and others are kept."""
    common = torch.ones(1000)
    kept = states(1.0, make=lambda client: {"w": common})
    for state in ({"w": common}, {"w": common.clone()}, {"w": common}):
        kept[2] = state
        assert torch.equal(kept[2]["w"], common)
    assert not kept.is_as_at_first(2), "what was kept once is kept on"
    kept[3] = kept[3]
    assert kept.is_as_at_first(3)
    assert kept.as_at_first().is_as_at_first(2)


@pytest.mark.parametrize("client", [-1, CLIENTS])
def test_there_is_no_client_outside_the_range(client):
    with pytest.raises(IndexError):
        states(1.0)[client]


def test_tensors_in_use_outlive_the_file_that_they_were_read_from():
    kept = states(0.0)
    kept[0] = {"w": torch.arange(5000.0)}
    used = kept[0]["w"]
    kept[0] = {"w": torch.zeros(2)}
    assert torch.equal(used, torch.arange(5000.0))
    assert kept[0]["w"].shape == (2,)


def test_the_files_vanish_with_their_owner():
    kept = states(0.0)
    kept[0] = {"w": torch.ones(2)}
    folder = Path(kept._folder.name)
    assert list(folder.iterdir())
    del kept
    gc.collect()
    assert not folder.exists()


def test_a_trial_on_files_equals_one_in_memory(federation, state_of, differing):
    trials = [FederatedTrial(FedPerfix(), federation, 0, Compute(state_mb=mb)) for mb in (0, 99)]
    for trial in trials:
        list(trial.run())
    assert trials[0].personal._filed
    assert not trials[1].personal._filed
    assert not differing(*map(state_of, trials))


def test_clients_that_never_trained_cost_nothing(make_federation, tmp_path):
    asked = []

    class Noting(FedPer):
        def init_client(self, start, client):
            asked.append(client)
            return super().init_client(start, client)

    many = make_federation([(2, 1, 1)] * 2000, sampled_clients=3, rounds=9, evaluate_every=9)
    trial = FederatedTrial(Noting(), many, seed=0)
    assert len(asked) <= 1
    trial.step()
    assert sorted({*asked} - {0}) == [c for c in trial.sampled_clients(1) if c]
    assert sorted(trial.trained) == trial.sampled_clients(1)
    Checkpoints(Folder(tmp_path)).save(trial, [])
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 100_000


def test_what_a_client_draws_at_first_is_its_own_and_the_same_each_time(federation):
    class Drawing(FedPer):
        def init_client(self, start, client):
            drawn = {
                n: torch.randn(t.shape, generator=start.rng) for n, t in start.personal.items()
            }
            return {**start.personal, **drawn}

    trial = FederatedTrial(Drawing(), federation, seed=0)
    one, again, other = trial.personal[1], trial.personal[1], trial.personal[2]
    assert all(torch.equal(one[n], again[n]) for n in one)
    assert not torch.equal(one["head.weight"], other["head.weight"])
