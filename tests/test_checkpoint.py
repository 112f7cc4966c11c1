"""Checkpoints: exact to the last bit, whole or not at all, and no larger than what has changed."""

import errno
import json
import math
from dataclasses import asdict, dataclass, field

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pfltune.federation.checkpoint import DAMAGE, Checkpoints
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.ditto import Ditto
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedperfix import FedPerfix
from pfltune.seal import sealed, unsealed
from pfltune.storage import Folder

pytestmark = pytest.mark.thorough

ROUNDS = 5
METHODS = (FedAvg, FedPerfix, Ditto)


@dataclass
class Memory:
    """A storage in memory, which notes its operations and may fail at one of them.

    Attributes:
        files: what is stored.
        fails_at: the number of the write or removal that raises, counted from 1.
        afterwards: whether it raises when it has done its work.
        done: operations so far.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    fails_at: int = 0
    afterwards: bool = False
    done: list[tuple[str, str]] = field(default_factory=list)

    def write(self, name, data):
        self._act("write", name, lambda: self.files.update({name: data}))

    def read(self, name):
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name]

    def names(self):
        return sorted(self.files)

    def remove(self, name):
        self._act("remove", name, lambda: self.files.pop(name, None))

    def is_empty(self):
        return not self.files

    def remove_if_empty(self):
        pass

    def _act(self, what, name, act):
        self.done.append((what, name))
        fails = len(self.done) == self.fails_at
        if not fails or self.afterwards:
            act()
        if fails:
            raise OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture(scope="module")
def ground(make_federation):
    return make_federation(rounds=ROUNDS)


@pytest.fixture(scope="module")
def start(ground):
    """``start(method)`` is a trial before its first round."""
    return lambda method=FedPer: FederatedTrial(method(), ground, seed=0)


@pytest.fixture(scope="module")
def advance(reproducible):
    """``advance(trial, history, rounds)`` runs so many rounds and notes their metrics."""

    def run(trial, history, rounds):
        history += [reproducible(trial.step().metrics) for _ in range(rounds)]

    return run


@pytest.fixture(scope="module")
def facts(state_of):
    """``facts(trial)``: all that a resumed trial must have, tensors apart and as one."""

    def of(trial):
        totals = {n: v for n, v in asdict(trial.totals).items() if "seconds" not in n}
        return (trial.round, totals, trial.selection, {**trial.trained}), state_of(trial)

    return of


@pytest.fixture(scope="module")
def equal(facts, differing):
    """``equal(trial, recorded)``: whether a trial has the recorded facts, to the last bit."""

    def check(trial, recorded):
        numbers, tensors = facts(trial)
        assert numbers == recorded[0]
        assert not differing(tensors, recorded[1])

    return check


@pytest.fixture(scope="module")
def straight(start, advance, facts):
    """``straight(method)``: metrics of all rounds, and the facts after each from 0 on."""
    made = {}

    def record(method):
        trial, history = start(method), []
        after = [facts(trial)]
        for _ in range(ROUNDS):
            advance(trial, history, 1)
            after.append(facts(trial))
        return history, after

    return lambda method=FedPer: made.get(method) or made.setdefault(method, record(method))


@pytest.fixture(scope="module")
def saved(start, advance):
    """The files of a storage with checkpoints of the rounds 2 and 3, as they were after 2 and 3."""
    storage, trial, history = Memory(), start(), []
    checkpoints, files = Checkpoints(storage), []
    advance(trial, history, 1)
    for _ in range(2):
        advance(trial, history, 1)
        checkpoints.save(trial, history)
        files.append(dict(storage.files))
    return files


# Exact


@settings(max_examples=15)
@given(
    method=st.sampled_from(METHODS),
    every=st.integers(1, 3),
    interrupted=st.lists(st.integers(1, ROUNDS), max_size=3),
)
def test_an_interrupted_trial_ends_like_the_straight_one(
    method, every, interrupted, start, advance, straight, equal
):
    """Each entry of ``interrupted`` is the number of rounds after which a process dies."""
    storage = Memory()
    for rounds in [*interrupted, ROUNDS]:
        trial, checkpoints = start(method), Checkpoints(storage)
        history = checkpoints.load(trial)
        assert trial.round == checkpoints.round == len(history)
        while rounds and not trial.finished:
            advance(trial, history, 1)
            rounds -= 1
            if trial.round % every == 0:
                checkpoints.save(trial, history)
    metrics, after = straight(method)
    assert history == metrics
    equal(trial, after[-1])


@pytest.mark.parametrize("state_mb", [0, 99])
def test_states_come_back_wherever_they_are_kept(state_mb, saved, ground, advance, straight, equal):
    trial = FederatedTrial(FedPer(), ground, 0, Compute(state_mb=state_mb))
    history = Checkpoints(Memory(dict(saved[-1]))).load(trial)
    assert bool(trial.personal._filed) == (state_mb == 0)
    equal(trial, straight()[1][3])
    advance(trial, history, 2)
    assert history == straight()[0]
    equal(trial, straight()[1][-1])


def test_a_checkpoint_in_a_folder_comes_back(start, advance, straight, equal, tmp_path):
    trial, history = start(), []
    advance(trial, history, 3)
    Checkpoints(Folder(tmp_path / "trial")).save(trial, history)
    again = start()
    assert Checkpoints(Folder(tmp_path / "trial")).load(again) == history
    equal(again, straight()[1][3])


numbers = st.floats() | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 5e-324, 0.1 + 0.2])


@given(st.lists(st.dictionaries(st.text(), numbers | st.integers(), max_size=4), max_size=4))
def test_the_history_comes_back_to_the_last_bit(start_once, history):
    storage = Memory()
    Checkpoints(storage).save(start_once, history)
    assert repr(Checkpoints(storage).load(start_once)) == repr(history)


@pytest.fixture(scope="module")
def start_once(start):
    return start()


def test_seconds_come_back_too(start, advance):
    trial, storage = start(), Memory()
    advance(trial, [], 2)
    Checkpoints(storage).save(trial, [])
    again = start()
    Checkpoints(storage).load(again)
    assert again.totals == trial.totals
    assert again.totals.seconds > 0


def test_tensors_of_any_form_come_back_even_where_they_share_memory(start, facts, equal):
    trial, again, storage = start(), start(), Memory()
    base = torch.arange(6.0).reshape(2, 3)
    trial.server = {"whole": base, "same": base, "row": base[0], "turned": base.T}
    trial.personal[1] = {
        "spread": torch.ones(1).expand(4),
        "none": torch.empty(0, 3),
        "one": torch.tensor(7),
        "yes": torch.tensor([True, False]),
        "half": torch.tensor([1.5, math.nan]).bfloat16(),
    }
    trial.trained[1] = 0
    Checkpoints(storage).save(trial, [])
    Checkpoints(storage).load(again)
    assert again.server.keys() == trial.server.keys()
    assert all(torch.equal(again.server[n], t) for n, t in trial.server.items())
    own, expected = again.personal[1], trial.personal[1]
    assert {n: t.dtype for n, t in own.items()} == {n: t.dtype for n, t in expected.items()}
    assert all(torch.equal(own[n].nan_to_num(3), t.nan_to_num(3)) for n, t in expected.items())
    assert all(t.data_ptr() % 64 == 0 for t in [*again.server.values(), *own.values()])


def test_what_a_loaded_trial_does_is_not_seen_by_others(saved, start, advance, straight, equal):
    storage = Memory(dict(saved[-1]))
    one, other = start(), start()
    Checkpoints(storage).load(one)
    advance(one, [], 2)
    Checkpoints(storage).load(other)
    equal(other, straight()[1][3])


# Interrupted saves


@pytest.mark.parametrize("afterwards", [False, True])
def test_a_save_that_fails_anywhere_leaves_a_checkpoint(
    afterwards, saved, start, advance, straight, equal
):
    """Every write and every removal of the save of round 4 fails once, before or after its work."""
    metrics, after = straight()
    outcomes = []
    for number in range(1, 99):
        storage = Memory(dict(saved[-1]))
        trial, checkpoints = start(), Checkpoints(storage)
        history = checkpoints.load(trial)
        advance(trial, history, 1)
        storage.fails_at, storage.afterwards = number, afterwards
        try:
            checkpoints.save(trial, history)
        except OSError:
            pass
        else:
            break
        storage.fails_at = 0

        found = start()
        assert Checkpoints(storage).load(found) == metrics[: found.round]
        equal(found, after[found.round])
        outcomes.append(found.round)

        left = dict(storage.files)
        checkpoints.save(trial, history)  # the same process tries again
        advance(trial, history, 1)
        checkpoints.save(trial, history)
        tidy(storage, 4, 5)

        storage.files = left  # or another process goes on
        resumed = Checkpoints(storage)
        trial = start()
        history = resumed.load(trial)
        while not trial.finished:
            advance(trial, history, 1)
            resumed.save(trial, history)
        tidy(storage, 4, 5)
        assert history == metrics
        equal(trial, after[-1])
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {3, 4}
    assert len(outcomes) >= 4


def tidy(storage, *rounds):
    """The storage holds the checkpoints of these rounds, and nothing that none of them names."""
    manifests = [f"round-{number:08d}.json" for number in rounds]
    named = {name for manifest in manifests for name in json.loads(storage.read(manifest))["files"]}
    assert storage.names() == sorted({*manifests, *named})


def test_a_full_disk_is_told_and_keeps_the_checkpoint(start, advance, straight, equal):
    storage, trial, history = Memory(), start(), []
    checkpoints = Checkpoints(storage)
    advance(trial, history, 1)
    checkpoints.save(trial, history)
    advance(trial, history, 1)
    storage.fails_at = len(storage.done) + 2
    with pytest.raises(OSError, match="No space left") as error:
        checkpoints.save(trial, history)
    assert error.value.errno == errno.ENOSPC
    assert checkpoints.round == 1
    again = start()
    assert Checkpoints(storage).load(again) == history[:1]
    equal(again, straight()[1][1])


# Damage

damages = st.one_of(
    st.just(lambda data: None),
    st.integers(0, 10**6).map(lambda at: lambda data: data[: at % len(data)]),
    st.tuples(st.integers(0, 10**6), st.integers(1, 255)).map(
        lambda flip: lambda data: flipped(data, *flip)
    ),
    st.binary(max_size=40).map(lambda other: lambda data: other),
    st.binary(min_size=1, max_size=40).map(lambda more: lambda data: data + more),
)


def flipped(data, at, bits):
    at %= len(data)
    return data[:at] + bytes([data[at] ^ bits]) + data[at + 1 :]


def damage(files, name, how):
    data = how(files.pop(name))
    return files if data is None else {**files, name: data}


def of_newest(files):
    """The manifest of the newest checkpoint, and the files that no older one names."""
    *older, newest = (name for name in sorted(files) if name.startswith("round-"))
    before = {name for manifest in older for name in json.loads(files[manifest])["files"]}
    return [newest, *sorted(json.loads(files[newest])["files"].keys() - before)]


@settings(max_examples=60)
@given(which=st.integers(0, 99), how=damages)
def test_damage_to_the_newest_checkpoint_leads_to_the_one_before(
    which, how, saved, start, straight, equal
):
    metrics, after = straight()
    names = of_newest(saved[-1])
    files = damage(dict(saved[-1]), names[which % len(names)], how)
    trial, checkpoints = start(), Checkpoints(Memory(files))
    assert checkpoints.load(trial) == metrics[:2]
    assert checkpoints.round == 2
    equal(trial, after[2])


@settings(max_examples=30)
@given(which=st.tuples(st.integers(0, 99), st.integers(0, 99)), how=st.tuples(damages, damages))
def test_damage_to_both_leads_back_to_the_start(which, how, saved, start, straight, equal):
    files = dict(saved[-1])
    newest, older = of_newest(files), of_newest(saved[0])
    for names, number, change in zip((newest, older), which, how, strict=True):
        files = damage(files, names[number % len(names)], change)
    trial, checkpoints = start(), Checkpoints(Memory(files))
    before = dict(vars(trial))
    assert checkpoints.load(trial) == []
    assert checkpoints.round == 0
    assert all(vars(trial)[name] is value for name, value in before.items())
    equal(trial, straight()[1][0])


@pytest.mark.parametrize("bit", range(8))
def test_no_bit_of_a_manifest_can_change_unnoticed(bit, saved):
    data = saved[-1]["round-00000003.json"]
    assert unsealed(data)["round"] == 3
    for at in range(len(data)):
        with pytest.raises(DAMAGE):
            unsealed(flipped(data, at, 1 << bit))


MISFITS = [
    b"",
    b"null",
    b"[]",
    b"3",
    b"{}",
    b'{"round": 9',
    b"\xff\xfe",
    b'{"digest": ""}',
    b'{"round": 9, "files": {}, "clients": {}}',
]


@pytest.mark.parametrize("text", MISFITS)
def test_a_manifest_that_is_none_is_passed_over(text, saved, start):
    files = {**saved[-1], "round-00000009.json": text}
    assert len(Checkpoints(Memory(files)).load(start())) == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("totals", []),
        ("totals", {"miles": 1}),
        ("selection", None),
        ("history", "none"),
        ("history", [1]),
        ("files", []),
        ("files", {}),
        ("clients", [1]),
        ("clients", {"x": 1}),
        ("round", None),
    ],
)
def test_a_whole_manifest_of_another_kind_is_passed_over(key, value, saved, start):
    content = json.loads(saved[-1]["round-00000003.json"])
    del content["digest"]
    files = {**saved[-1], "round-00000009.json": sealed({**content, key: value})}
    trial = start()
    assert len(Checkpoints(Memory(files)).load(trial)) == 3
    assert trial.round == 3


def test_after_damage_the_trial_goes_on_and_what_is_broken_goes(
    saved, start, advance, straight, equal
):
    """The checkpoint of round 3 is broken; those of the rounds 2 and 4 are then the two newest."""
    storage = Memory(damage(dict(saved[-1]), "server-3.safetensors", lambda data: data[:9]))
    trial, checkpoints = start(), Checkpoints(storage)
    history = checkpoints.load(trial)
    advance(trial, history, 2)
    checkpoints.save(trial, history)
    tidy(storage, 2, 4)
    storage.remove("server-4.safetensors")
    again = start()
    assert Checkpoints(storage).load(again) == straight()[0][:2]
    equal(again, straight()[1][2])


def test_a_storage_that_cannot_be_read_is_not_taken_for_an_empty_one(saved, start):
    class Unreachable(Memory):
        def read(self, name):
            raise ConnectionError("no network")

    with pytest.raises(OSError, match="no network"):
        Checkpoints(Unreachable(dict(saved[-1]))).load(start())


# Small


def test_only_clients_that_have_trained_since_are_written(make_federation):
    ground = make_federation([(2, 1, 1)] * 64, rounds=30, sampled_clients=4, evaluate_every=30)
    storage, trial, met = Memory(), FederatedTrial(FedPer(), ground, 0), set()
    checkpoints = Checkpoints(storage)
    for number in range(1, 12):
        trial.step()
        met |= set(trial.sampled_clients(number))
        storage.done.clear()
        checkpoints.save(trial, [])
        clients = [f"client-{c}-{number}.safetensors" for c in trial.sampled_clients(number)]
        written = [name for what, name in storage.done if what == "write"]
        manifest = f"round-{number:08d}.json"
        assert written == [f"server-{number}.safetensors", *clients, manifest]
        assert json.loads(storage.read(manifest))["files"].keys() >= {*clients}
    assert set(trial.trained) == met
    assert len(met) > 20
    tidy(storage, 10, 11)


def test_a_resumed_trial_writes_no_more_than_one_that_was_not_interrupted(saved, start, advance):
    storage = Memory(dict(saved[-1]))
    trial, checkpoints = start(), Checkpoints(storage)
    history = checkpoints.load(trial)
    advance(trial, history, 1)
    checkpoints.save(trial, history)
    written = [name for what, name in storage.done if what == "write"]
    assert len(written) == len(trial.sampled_clients(4)) + 2


def test_the_two_newest_are_kept_and_nothing_else(saved, start, advance):
    storage, trial, history = Memory({"client-9-1.safetensors": b"stray"}), start(), []
    checkpoints = Checkpoints(storage)
    for number in range(1, ROUNDS + 1):
        advance(trial, history, 1)
        checkpoints.save(trial, history)
        tidy(storage, *range(max(1, number - 1), number + 1))


def test_saving_the_same_round_again_writes_nothing(saved, start):
    storage, trial = Memory(dict(saved[-1])), start()
    checkpoints = Checkpoints(storage)
    history = checkpoints.load(trial)
    checkpoints.save(trial, history)
    checkpoints.save(trial, history)
    assert storage.done == []
    tidy(storage, 2, 3)


def test_a_trial_of_which_there_is_nothing_stays_as_it_is(start):
    trial, checkpoints = start(), Checkpoints(Memory())
    before = dict(vars(trial))
    assert checkpoints.load(trial) == []
    assert checkpoints.round == 0
    assert all(vars(trial)[name] is value for name, value in before.items())
