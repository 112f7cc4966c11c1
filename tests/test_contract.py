"""What every method must keep, whoever wrote it. The registry is asked; no name stands here.

A method that is added to methods/, or installed with an entry point of the group
``pfltune.methods``, is tested without any change to this file: once with its defaults, once for
each choice of its categorical knobs, and once for each knob.
"""

import dataclasses
from collections import Counter
from typing import NamedTuple

import pytest
import torch
from safetensors.torch import save

from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.knobs import knobs_of
from pfltune.registry import available_methods, make_method
from pfltune.storage import Folder

ROUNDS = 3


class Variant(NamedTuple):
    """A method with the values of its knobs that are not the defaults."""

    name: str
    values: tuple = ()

    def __str__(self):
        return "-".join([self.name, *(f"{knob}={value}" for knob, value in self.values)])

    def make(self, **changes):
        return make_method(self.name, {**dict(self.values), **changes})


def variants():
    """Every method, and every choice of its categorical knobs."""
    for name, cls in available_methods().items():
        yield Variant(name)
        for knob in knobs_of(cls).values():
            for choice in knob.choices or ():
                if choice != knob.default:
                    yield Variant(name, (*knob.when.items(), (knob.name, choice)))


def knob_changes():
    """(variant in which the knob has an effect, knob, another value of it)."""
    for name, cls in available_methods().items():
        for knob in knobs_of(cls).values():
            yield from ((Variant(name, (*knob.when.items(),)), knob.name, v) for v in others(knob))


def idle_knob_changes():
    """(variant beside which the knob is declared to have no effect, knob, another value of it)."""
    for name, cls in available_methods().items():
        defaults = {knob.name: knob.default for knob in knobs_of(cls).values()}
        for knob in knobs_of(cls).values():
            if not knob.applies(defaults):
                yield Variant(name), knob.name, others(knob)[0]
            for needed, value in knob.when.items():
                if defaults[needed] == value:
                    other = others(knobs_of(cls)[needed])[0]
                    yield Variant(name, ((needed, other),)), knob.name, others(knob)[0]


def others(knob):
    """Valid values that are not the default: all choices, or one number close by."""
    if knob.choices or knob.examples:
        return [word for word in knob.choices or knob.examples if word != knob.default]
    return numbers(knob)[:1]


def numbers(knob):
    """Valid values of a knob that is no text and that are not the default, near ones first."""
    if knob.type is bool:
        return [not knob.default]
    near = [knob.default * 2, knob.default / 2, knob.default + 1, knob.low, knob.high]
    return [v for v in near if v is not None and v != knob.default and is_valid(knob, v)]


def is_valid(knob, value):
    whole = knob.type is not int or value == int(value)
    return whole and (knob.low is None or value >= knob.low) and value <= (knob.high or value)


every_method = pytest.mark.parametrize("variant", list(variants()), ids=str)


class Sent(NamedTuple):
    """What one client received and returned in one round."""

    down: dict
    upload: dict
    personal: dict


def tapped(method):
    """The same method, and the list in which it will note what goes into and out of training."""
    sent = []

    class Tapped(type(method)):
        def train(self, work, down, personal):
            update = super().train(work, down, personal)
            sent.append(Sent(down, update.upload, update.personal))
            return update

    values = {f.name: getattr(method, f.name) for f in dataclasses.fields(method)}
    return Tapped(**values), sent


class Recording(NamedTuple):
    """A straight run: everything that another run of the same arguments must repeat."""

    metrics: list  # of each round
    sent: list  # of each round, one Sent per client
    states: list  # server and clients after each round
    folders: list  # checkpoint after each round


@pytest.fixture(scope="module")
def straight(federation, tmp_path_factory, reproducible, state_of):
    """``straight(variant)`` is the recording of its straight run, made once."""
    made = {}

    def record(variant):
        method, sent = tapped(variant.make())
        trial = FederatedTrial(method, federation, seed=0)
        recording = Recording([], [], [], [])
        for report in trial.run():
            folder = tmp_path_factory.mktemp("round")
            Checkpoints(Folder(folder)).save(trial, [])
            recording.metrics.append(reproducible(report.metrics))
            recording.sent.append(sent.copy())
            recording.states.append(state_of(trial))
            recording.folders.append(folder)
            sent.clear()
        return recording

    return lambda variant: (
        made[variant] if variant in made else made.setdefault(variant, record(variant))
    )


@pytest.mark.thorough
@every_method
def test_a_resumed_run_equals_the_straight_run(
    variant, straight, federation, reproducible, state_of, differing
):
    recording, after = straight(variant), ROUNDS - 1
    resumed = FederatedTrial(variant.make(), federation, seed=0)
    Checkpoints(Folder(recording.folders[after - 1])).load(resumed)
    metrics = [reproducible(report.metrics) for report in resumed.run()]
    assert metrics == recording.metrics[after:], (
        f"{variant} resumed after round {after} reports other figures than the run that was not "
        "interrupted: keep every state in the server's and clients' tensors, nothing on self"
    )
    changed = differing(state_of(resumed), recording.states[-1])
    assert not changed, (
        f"{variant} resumed after round {after} ends with other tensors: {changed[:5]}; draw "
        "random numbers from start.rng or inside work.fit, not from a generator of your own"
    )


@every_method
def test_a_trial_started_twice_repeats_itself(variant, straight, run_trial, state_of, differing):
    again = run_trial(variant.make())
    assert again.metrics == straight(variant).metrics, (
        f"{variant} reports other figures when it is run again with the same seed: something in it "
        "depends on the process, on a global generator or on the order of a set"
    )
    changed = differing(state_of(again.trial), straight(variant).states[-1])
    assert not changed, f"{variant} ends with other tensors when it is run again: {changed[:5]}"


@every_method
def test_counted_bytes_are_those_of_the_tensors_that_travelled(variant, straight, federation):
    recording = straight(variant)
    total = 0
    for number, (metrics, sent) in enumerate(
        zip(recording.metrics, recording.sent, strict=True), start=1
    ):
        assert len(sent) == federation.protocol.sampled_clients
        down, up = sum(serialised(s.down) for s in sent), sum(serialised(s.upload) for s in sent)
        total += down + up
        counted = tuple(round(metrics[f"comm/{name}_mb"] * 1e6) for name in ("down", "up", "total"))
        assert counted == (down, up, total), (
            f"round {number} of {variant} counts {counted} bytes down, up and so far in total, but "
            f"train() was handed {down} bytes and returned {up}, so far {total}: let all that a "
            "client gets come out of download(), and all that it returns be in Update.upload"
        )


@every_method
def test_evaluation_counts_what_all_clients_would_download(variant, federation):
    trial = FederatedTrial(variant.make(), federation, seed=0)
    metrics = trial.step().metrics
    clients = range(len(federation.clients))
    needed = sum(serialised(trial.method.download(trial.server, c)) for c in clients)
    assert round(metrics["comm/evaluation_mb"] * 1e6) == needed


@every_method
def test_no_personal_tensor_is_ever_uploaded(variant, federation):
    """Every client holds something of its own before the first round, so that leaks show."""
    method, sent = tapped(variant.make())
    trial = FederatedTrial(method, federation, seed=0)
    for number, personal in enumerate(trial.personal):
        rng = torch.Generator().manual_seed(number)
        for name in (n for n, t in personal.items() if t.is_floating_point()):
            noise = torch.rand(personal[name].shape, generator=rng)
            personal[name] = personal[name] + 0.01 * noise
        trial.personal[number] = personal
    trial.step()
    for one in sent:
        by_name = set(trial.roles.personal) & one.upload.keys()
        assert not by_name, f"{variant} uploads the personal tensors {sorted(by_name)}"
        for name, tensor in one.upload.items():
            same = [p for p, value in one.personal.items() if discloses(tensor, value)]
            assert not same, f"{variant} uploads the personal {same[0]} under the name {name}"


@every_method
def test_evaluating_twice_changes_nothing(
    variant, straight, federation, reproducible, state_of, differing
):
    recording = straight(variant)
    trial = FederatedTrial(variant.make(), federation, seed=0)
    Checkpoints(Folder(recording.folders[-2])).load(trial)
    first, second = trial.evaluate(), trial.evaluate()
    assert first == second, f"{variant} is evaluated differently the second time"
    changed = differing(state_of(trial), recording.states[-2])
    assert not changed, f"evaluating {variant} changed {changed[:5]}: adapt() must work on copies"
    assert reproducible(trial.step().metrics) == recording.metrics[-1], (
        f"evaluating {variant} changed what its next round does"
    )


@pytest.mark.thorough
@every_method
def test_clients_that_train_at_once_end_as_they_do_one_after_the_other(
    variant, make_federation, state_of, reproducible
):
    ground = make_federation(sampled_clients=3, rounds=2)
    one_by_one, at_once = (
        FederatedTrial(variant.make(), ground, 0, Compute(cohort=size)) for size in (1, 3)
    )
    for expected, found in zip(one_by_one.run(), at_once.run(), strict=True):
        ours, theirs = (reproducible(report.metrics) for report in (found, expected))
        assert abs(ours.pop("train/loss") - theirs.pop("train/loss")) < 1e-5
        assert ours == theirs, f"{variant} reports other figures when clients train at once"
    assert at_once._cohort.size == 3, f"{variant} cannot be mapped over clients, see the warning"
    expected, found = state_of(one_by_one), state_of(at_once)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        far = (found[name].double() - tensor.double()).abs().max() if tensor.numel() else 0.0
        assert far < 1e-5, (
            f"{variant} ends {far:.1e} away in {name} when clients train at once: let objective() "
            "be a pure function of its tensors, and draw only from work.generator()"
        )


@every_method
def test_the_model_itself_and_all_that_is_frozen_never_move(variant, federation, differing):
    trial = FederatedTrial(variant.make(), federation, seed=0)
    model = trial._trainer.model
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    list(trial.run())
    moved = differing(before, model.state_dict())
    assert not moved, (
        f"training {variant} wrote into {moved[:5]} of the model that all clients share: train "
        "only through work.fit, which hands back new tensors"
    )


@every_method
def test_frozen_tensors_are_those_of_the_backbone_and_never_travel(
    variant, straight, federation, differing
):
    trial = FederatedTrial(variant.make(), federation, seed=0)
    frozen = set(trial.roles.frozen)
    bare = federation.build_backbone(seed=0).state_dict()
    grafted = trial._trainer.model.state_dict()
    kept = frozen & bare.keys()
    assert not differing({n: bare[n] for n in kept}, {n: grafted[n] for n in kept}), (
        f"graft() of {variant} changed the weights that it freezes"
    )
    for sent in (s for of_round in straight(variant).sent for s in of_round):
        named = frozen & (sent.down.keys() | sent.upload.keys() | sent.personal.keys())
        assert not named, f"{variant} moves the frozen tensors {sorted(named)}"


@every_method
def test_nothing_travels_up_and_down_that_never_moves(variant, straight, federation):
    trained = FederatedTrial(variant.make(), federation, seed=0).roles.trainable
    sent = [s for of_round in straight(variant).sent for s in of_round]
    idle = [
        name
        for name in trained & sent[0].down.keys() & sent[0].upload.keys()
        if all(torch.equal(s.down[name], s.upload[name]) for s in sent)
    ]
    assert not idle, (
        f"{variant} sends {idle} back as they came: freeze them in graft(), so that they cost no "
        "bytes, or let phases() train them"
    )


@pytest.mark.thorough
@every_method
def test_the_order_of_the_cohort_does_not_matter(
    variant, run_trial, make_federation, monkeypatch, state_of, differing
):
    everybody = make_federation(sampled_clients=4)
    forwards = run_trial(variant.make(), everybody, rounds=2)
    sampled = FederatedTrial.sampled_clients
    monkeypatch.setattr(
        FederatedTrial, "sampled_clients", lambda self, number: sampled(self, number)[::-1]
    )
    backwards = run_trial(variant.make(), everybody, rounds=2)
    assert backwards.metrics == forwards.metrics, (
        f"{variant} depends on the order in which the sampled clients are named"
    )
    assert not differing(state_of(backwards.trial), state_of(forwards.trial))


RUNNING = {"val/best_accuracy", "comm/evaluation_mb", "train/adaptation_steps"}
"""Figures about the evaluations made so far: fewer evaluations, other figures."""


@every_method
def test_evaluating_less_often_does_not_change_the_figures(
    variant, straight, run_trial, make_federation
):
    rarely = run_trial(variant.make(), make_federation(evaluate_every=ROUNDS)).metrics
    often = straight(variant).metrics
    assert without(rarely[-1], RUNNING) == without(often[-1], RUNNING), (
        f"{variant} ends differently when it is evaluated only in round {ROUNDS}"
    )
    for number, (few, all_) in enumerate(zip(rarely[:-1], often, strict=False), start=1):
        assert not any(name.startswith(("val/", "test/")) for name in few), (
            f"round {number} of {variant} was evaluated although the protocol says otherwise"
        )
        assert few == {name: all_[name] for name in few}


@every_method
def test_without_test_indices_nothing_is_said_about_test(variant, straight, run_trial, federation):
    blind = run_trial(variant.make(), federation.without_test(), rounds=2)
    for seen, full in zip(blind.metrics, straight(variant).metrics, strict=False):
        leaked = [name for name in seen if name.startswith("test/")]
        assert not leaked, f"{variant} reports {leaked} without having been given test data"
        assert any(name.startswith("test/") for name in full), "this test compares nothing"
        assert seen == {name: v for name, v in full.items() if not name.startswith("test/")}, (
            f"{variant} trains or selects otherwise when it is not given test data"
        )
    assert blind.trial.evaluate().test is None


def test_knobs_of_every_method_are_covered():
    covered = Counter((variant.name, knob) for variant, knob, _ in knob_changes())
    declared = {(n, knob) for n, cls in available_methods().items() for knob in knobs_of(cls)}
    assert set(covered) == declared


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("variant", "knob", "value"),
    [pytest.param(*change, id="-".join(map(str, change))) for change in knob_changes()],
)
def test_changing_a_knob_changes_the_result(variant, knob, value, observed, differing):
    assert differing(observed(variant.make()), observed(variant.make(**{knob: value}))) or (
        matters_somewhere(variant, knob, observed, differing)
    ), (
        f"{knob}={value} of {variant} trains the same tensors, predicts with the same tensors and "
        f"costs the same as the default: nothing reads it. Use it, remove it, or say with "
        "knob(..., when={...}) beside which values it has an effect"
    )


def matters_somewhere(variant, name, observed, differing):
    """Whether another number of the knob matters beside the lowest value of another knob.

    For what shows only in a long run, such as a window that two rounds do not fill.
    """
    knobs = knobs_of(available_methods()[variant.name])
    beside = [k for k in knobs.values() if k.type is int and k.low is not None and k.name != name]
    return any(
        differing(observed(variant.make(**base)), observed(variant.make(**base, **{name: value})))
        for base in ({k.name: k.low} for k in beside)
        for value in (numbers(knobs[name]) if knobs[name].type is not str else ())
    )


@pytest.mark.parametrize(
    ("variant", "knob", "value"),
    [pytest.param(*change, id="-".join(map(str, change))) for change in idle_knob_changes()],
)
def test_a_knob_that_does_not_apply_changes_nothing(variant, knob, value, observed, differing):
    default = variant.make()
    other = dataclasses.replace(default, **{knob: value})
    assert not differing(observed(default), observed(other)), (
        f"{knob} is declared to have no effect in {variant}, but {value} changes the result: "
        "correct the when= of the knob"
    )


@pytest.fixture(scope="module")
def observed(federation, state_of, reproducible):
    """``observed(method)``: all that two rounds of it leave behind, as named tensors.

    The state, the tensors with which each client predicts (which shows what only adapt() does),
    and the figures that are reported.
    """
    made = {}

    def observe(method):
        trial = FederatedTrial(method, federation, seed=0)
        seen = {}
        correct = trial._trainer.answers

        def spy(tensors, indices):
            seen.update({f"{len(seen)}/{name}": t.clone() for name, t in tensors.items()})
            return correct(tensors, indices)

        trial._trainer.answers = spy
        figures = [reproducible(trial.step().metrics) for _ in range(2)]
        numbers = {f"{r}/{n}": torch.tensor(v) for r, f in enumerate(figures) for n, v in f.items()}
        return {**seen, **state_of(trial), **numbers}

    return lambda method: (
        made[method] if method in made else made.setdefault(method, observe(method))
    )


def serialised(tensors):
    """Bytes of a payload as a file; nothing to send is no file."""
    return len(save(tensors)) if tensors else 0


def discloses(tensor, personal):
    """Whether both hold the same values, and these are not just a constant."""
    return torch.equal(tensor, personal) and len(personal.unique()) > 1


def without(metrics, names):
    return {name: value for name, value in metrics.items() if name not in names}
