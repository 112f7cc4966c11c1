"""What wraps do to payloads on their way, and what of it is counted, kept and seen by nobody."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from test_payload import BODY, HEAD, numbers

from pfltune.errors import Diverged, UserError
from pfltune.federation.channel import Channel
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.measuring import Measuring
from pfltune.federation.meter import Totals
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Update, Wrap
from pfltune.methods.fedavg import FedAvg
from pfltune.metrics import Metric
from pfltune.randomness import torch_rng
from pfltune.registry import available_methods, find_method, make_method
from pfltune.testing import contract_of
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import Memory, differing, repeatable, run, state_of, straight, tapped
from pfltune.wraps.float16 import Float16
from pfltune.wraps.topk import TopK

RNG = torch.Generator()
finite = st.floats(-6e4, 6e4, width=32)
several = st.lists(finite, min_size=1, max_size=30)


def tensor(values):
    return torch.tensor(values, dtype=torch.float32)


def trial_of(reference, ground=None, **values):
    return FederatedTrial(make_method(reference, values), ground or small_federation(), seed=0)


def there_and_back(wrap, payload, reference=None, state=None):
    wire, kept = wrap.send(payload, reference or {}, state or {}, RNG)
    return wrap.receive(wire, reference or {}), kept


def whole(sent, like, name):
    """What of a tensor travelled, at its places among zeros; by numpy."""
    found = np.zeros(like.numel(), np.float32)
    found[sent[f"{name}:index"].numpy()] = sent[name].numpy()
    return torch.from_numpy(found).view_as(like)


# float16


@given(several)
def test_float16_rounds_float32_to_half_and_back(values):
    found, kept = there_and_back(Float16(), {"w": tensor(values)})
    expected = np.array(values, np.float32).astype(np.float16).astype(np.float32)
    assert found["w"].dtype == torch.float32
    assert np.array_equal(found["w"].numpy(), expected)
    assert not kept
    assert torch.equal(there_and_back(Float16(), found)[0]["w"], found["w"])


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.uint8, torch.bool]
)
def test_float16_leaves_all_other_types_alone(dtype):
    payload = {"a": torch.arange(5).to(dtype), "w": torch.ones(2)}
    found, _ = there_and_back(Float16(), payload)
    assert found.keys() == payload.keys()
    assert not differing(found, payload)


@pytest.mark.parametrize("scale", [1e9, -1e9])
def test_what_float16_cannot_hold_is_one_clear_failure(scale):
    """On the way up as on the way down."""

    @dataclass(frozen=True, kw_only=True)
    class Large(Method):
        def train(self, work, down, personal):
            update = super().train(work, down, personal)
            return replace(update, upload={n: scale + t for n, t in update.upload.items()})

        def wraps(self):
            return (Float16(),)

    with pytest.raises(Diverged, match=r"round 1 did not survive the channel.*65504"):
        FederatedTrial(Large(), small_federation(), 0).step()


def test_too_large_a_download_is_told_where_it_is_only_evaluated():
    trial = trial_of("fedavg+float16")
    trial.server["head.bias"] += 1e6
    with pytest.raises(Diverged, match="did not survive the channel"):
        trial.evaluate()


@pytest.mark.parametrize("personalise_rounds", [1, 2])
def test_too_large_a_download_of_an_unseen_client_is_told_before_it_is_tested(personalise_rounds):
    """Not as a loss that is not finite, nor by what a metric makes of such answers."""

    class Fussy(Metric):
        name: str = "fussy"

        def of(self, logits, labels):
            raise RuntimeError("answers that are not finite")

    rules = small_federation(rounds=1, personalise_rounds=personalise_rounds)
    ground = replace(rules, unseen=frozenset({1, 3}))
    trial = FederatedTrial(find_method("fedavg+float16")(), ground, 0)
    trial.step()
    trial.selected_server["head.bias"] += 1e6
    object.__setattr__(trial._evaluator, "measuring", Measuring((Fussy(),)))
    with torch.no_grad(), pytest.raises(Diverged, match=r"unseen client 1 did not survive.*65504"):
        trial._meet_unseen()


def test_what_was_not_finite_before_is_no_fault_of_the_channel():
    channel = Channel(Totals(), wraps=(Float16(),))
    channel.to_train({"w": tensor([float("nan")])}, 0, 1)
    channel.see_intact("round 1")
    channel.to_train({"w": tensor([1e6])}, 0, 1)
    with pytest.raises(Diverged):
        channel.see_intact("round 1")


# top-k


@st.composite
def uploads(draw):
    size = draw(st.integers(1, 40))
    vector = st.lists(finite, min_size=size, max_size=size).map(tensor)
    return draw(vector), draw(vector), draw(vector), draw(st.floats(1e-4, 1.0))


@given(uploads())
def test_error_feedback_loses_nothing(drawn):
    """Sent + left = change + what was left before, to the last bit, in float32."""
    after, before, left, share = drawn
    payload, reference = {"w": after}, {"w": before}
    wire, kept = TopK(share=share).send(payload, reference, {"w": left}, RNG)
    count = max(1, round(share * len(after)))
    if count == len(after):
        assert torch.equal(wire["w"], after)
        assert not kept
        return
    sent, due = whole(wire, after, "w"), (after - before) + left
    assert len(wire["w"]) == count
    assert wire["w:index"].dtype == torch.int32
    assert torch.equal(sent + kept["w"], due)
    rest = np.sort(due.abs().numpy())[: len(after) - count]
    assert kept["w"].abs().max() <= rest.max()
    assert torch.equal(TopK(share=share).receive(wire, reference)["w"], before + sent)


def test_what_is_left_of_a_tensor_that_is_not_sent_waits_and_of_another_shape_is_given_up():
    left = {"away": torch.ones(3), "w": torch.ones(3, 4)}
    payload, reference = {"w": torch.arange(8.0).view(2, 4)}, {"w": torch.zeros(2, 4)}
    wire, kept = TopK(share=0.25).send(payload, reference, left, RNG)
    assert torch.equal(kept["away"], left["away"])
    assert wire["w"].tolist() == [6.0, 7.0]
    assert kept["w"].shape == (2, 4)


@given(st.lists(several, min_size=1, max_size=6), st.floats(0.05, 1.0))
def test_what_has_arrived_and_what_is_left_are_all_changes(rounds, share):
    """Over many rounds, whatever the server sends between them."""
    size = min(map(len, rounds))
    changes = [tensor(values[:size]).double() for values in rounds]
    arrived, kept = torch.zeros(size, dtype=torch.float64), {}
    for change in changes:
        received, kept = there_and_back(
            TopK(share=share), {"w": change}, {"w": torch.zeros_like(change)}, kept
        )
        arrived += received["w"]
    found = arrived + kept.get("w", torch.zeros(()))
    assert torch.allclose(found, sum(changes), rtol=1e-12, atol=1e-6)


@given(several, several)
def test_a_share_of_one_changes_no_bit(after, before):
    size = min(len(after), len(before))
    payload, reference = {"w": tensor(after[:size])}, {"w": tensor(before[:size])}
    found, kept = there_and_back(TopK(share=1.0), payload, reference)
    assert not differing(found, payload)
    assert not kept


@pytest.mark.parametrize(
    ("value", "before"),
    [
        (torch.arange(8), torch.arange(8)),
        (torch.ones(8), None),
        (torch.ones(8), torch.ones(2, 4)),
        (torch.ones(8), torch.arange(8)),
        (torch.ones(0), torch.ones(0)),
        (torch.ones(()), torch.zeros(())),
    ],
    ids=["whole numbers", "new", "another shape", "another type", "empty", "a number"],
)
def test_top_k_sends_what_is_no_change_as_it_is(value, before):
    reference = {} if before is None else {"w": before}
    wire, kept = TopK(share=0.1).send({"w": value}, reference, {}, RNG)
    assert not differing(wire, {"w": value})
    assert not kept
    assert not differing(TopK(share=0.1).receive(wire, reference), {"w": value})


def test_top_k_of_an_upload_that_is_a_change_takes_it_for_one():
    down = {"w": torch.full((4,), 100.0)}
    change = {"w": tensor([1.0, -3.0, 0.5, 2.0])}
    update = Update(change, {}, 1.0, change=True)
    channel = Channel(Totals(), wraps=(TopK(share=0.5),))
    received, kept = channel.to_server(update, down, {}, 0, 1)
    assert received["w"].tolist() == [0.0, -3.0, 0.0, 2.0]
    assert kept["0/w"].tolist() == [1.0, 0.0, 0.5, 0.0]
    received, _ = channel.to_server(replace(update, change=False), down, kept, 0, 2)
    # What is due is -99 + 1, -103, -99.5 + 0.5 and -98: the second and third are sent.
    assert received["w"].tolist() == [100.0, -3.0, 1.0, 100.0]


# whole trials


def test_wrapped_rounds_are_those_worked_out_by_hand():
    """Clients' own training is the method's; selection, memory and mean are numpy's."""
    share, ground = 0.2, small_federation()
    method, sent = tapped(make_method("fedavg+topk+float16", {"topk_share": share, "lr": 0.1}))
    trial, left = FederatedTrial(method, ground, 0), {}
    for number in range(1, ground.protocol.rounds + 1):
        server = {n: t.numpy().copy() for n, t in trial.server.items()}
        trial.step()
        clients = sorted(trial.sampled_clients(number))
        weights = [len(ground.clients[client].train) for client in clients]
        expected = {name: np.zeros_like(value) for name, value in server.items()}
        for client, weight, message in zip(clients, weights, sent, strict=True):
            for name, value in server.items():
                down = value.astype(np.float16).astype(np.float32)
                assert np.array_equal(message.down[name].numpy(), down)
                due = (message.upload[name].numpy() - down).ravel()
                due = due + left.get((client, name), 0.0)
                count = max(1, round(share * due.size))
                places = np.argsort(-np.abs(due), kind="stable")[:count]
                came = np.zeros_like(due)
                came[places] = due[places].astype(np.float16).astype(np.float32)
                left[client, name] = np.where(np.isin(np.arange(due.size), places), 0, due)
                arrived = down + came.reshape(down.shape)
                if count == due.size:
                    arrived = message.upload[name].numpy().astype(np.float16).astype(np.float32)
                expected[name] += weight / sum(weights) * arrived
        for name, value in expected.items():
            assert np.allclose(trial.server[name].numpy(), value, rtol=0, atol=1e-6), name
        sent.clear()


@pytest.mark.parametrize("name", ["fedavg", "fedper", "apfl", "pfedpg", "local"])
def test_top_k_of_everything_is_no_stage(name):
    plain, wrapped = trial_of(name), trial_of(f"{name}+topk", topk_share=1.0)
    assert run(wrapped) == run(plain)
    assert not differing(state_of(wrapped), state_of(plain))


def test_methods_that_send_nothing_stay_as_they_are():
    plain, wrapped = trial_of("local"), trial_of("local+topk+float16")
    assert run(wrapped) == run(plain)
    assert not differing(state_of(wrapped), state_of(plain))


WRAPPED = ["fedavg+topk", "hetlora+topk+float16", "apfl+float16", "pfedpg+topk", "fedbn+topk"]
PROMISES = {
    "resumes",
    "repeats_itself",
    "counts_what_travels",
    "counts_what_evaluation_needs",
    "uploads_nothing_personal",
    "trains_at_once_as_one_by_one",
    "meets_unseen_clients",
    "evaluates_without_trace",
    "leaves_its_arguments_alone",
    "keeps_to_the_device",
}
OF_EACH_METHOD = PROMISES - {
    "keeps_to_the_device",
    "repeats_itself",
    "trains_at_once_as_one_by_one",
    "meets_unseen_clients",
}
"""What a method's own payloads and tensors decide; the engine wraps all of them alike."""


def cases():
    for name in WRAPPED:
        for case in contract_of(find_method(name), name):
            if case.function.__name__ in PROMISES and str(case.subject) == name:
                yield pytest.param(case, id=str(case))


@pytest.mark.parametrize("case", list(cases()))
def test_a_wrapped_method_keeps_the_contract(case):
    case.check()


@pytest.mark.thorough
@pytest.mark.parametrize("name", available_methods())
def test_every_method_can_be_wrapped(name):
    reference = f"{name}+topk+float16"
    for case in contract_of(find_method(reference), reference):
        if case.function.__name__ in OF_EACH_METHOD and str(case.subject) == reference:
            case.check()
    straight.cache_clear()  # recordings of all methods would be much to hold


@pytest.mark.thorough
def test_a_wrapped_method_keeps_all_of_the_contract():
    for case in contract_of(find_method("fedper+topk+float16"), "fedper+topk+float16"):
        case.check()


@pytest.mark.parametrize("state_mb", [1000, 0])
def test_error_feedback_is_in_checkpoints_and_in_files(state_mb):
    trial = trial_of("fedper+topk")
    compute = replace(trial.compute, state_mb=state_mb)
    trial = FederatedTrial(trial.method, trial.federation, 0, compute)
    trial.step()
    kept = Memory()
    Checkpoints(kept).save(trial, [])
    again = FederatedTrial(trial.method, trial.federation, 0, compute)
    Checkpoints(kept).load(again)
    client = trial.sampled_clients(1)[0]
    assert trial.personal.of_channel(client)
    assert not differing(again.personal.of_channel(client), trial.personal.of_channel(client))
    assert not differing(again.personal[client], trial.personal[client])
    assert [repeatable(again.step().metrics)] == run(trial, 1)


def test_no_hook_and_no_count_sees_error_feedback():
    seen = []

    class Spy(type(make_method("fedper+topk", {}))):
        def train(self, work, down, personal):
            seen.append(personal.keys())
            return super().train(work, down, personal)

        def assemble(self, down, personal):
            seen.append(personal.keys())
            return super().assemble(down, personal)

    trial = FederatedTrial(Spy(), small_federation(sampled_clients=4), 0)
    run(trial, 2)
    assert all(trial.personal.of_channel(client) for client in range(4))
    assert all(names == set(HEAD) for names in seen)
    assert trial.footprint()["params/personal"] == numbers(HEAD)
    assert not any(name in trial.personal[0] for name in trial.personal.of_channel(0))


def on_the_wire(share, half):
    """FedAvg's upload as a file, worked out from shapes."""
    found = {}
    for name, shape in (BODY | HEAD).items():
        size = numbers({name: shape})
        count = max(1, round(share * size))
        kind = torch.float16 if half else torch.float32
        if count < size:
            found[f"{name}:index"] = torch.zeros(count, dtype=torch.int32)
        found[name] = torch.zeros(count if count < size else shape, dtype=kind)
    return len(save(found))


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 1.0])
@pytest.mark.parametrize("wraps", ["topk", "topk+float16"])
def test_bytes_are_those_of_the_wire_as_a_file(share, wraps):
    ground, half = small_federation(), wraps.endswith("float16")
    metrics = trial_of(f"fedavg+{wraps}", topk_share=share).step().metrics
    up, down = on_the_wire(share, half), on_the_wire(1.0, half)
    sampled, clients = ground.protocol.sampled_clients, len(ground.clients)
    assert round(metrics["comm/up_mb_per_round"] * 1e6) == sampled * up
    assert round(metrics["comm/down_mb_per_round"] * 1e6) == sampled * down
    assert round(metrics["comm/total_evaluation_mb"] * 1e6) == clients * down


def test_evaluation_sees_what_a_client_would_receive():
    trial = trial_of("fedavg+float16")
    trial.step()
    rounded = trial_of("fedavg")
    rounded.server = {name: t.half().float() for name, t in trial.server.items()}
    assert trial.evaluate().metrics() == rounded.evaluate().metrics()


def test_whole_numbers_in_a_payload_arrive_as_they_were_sent():
    """As the count of batches that a normalisation has seen."""
    received = []

    @dataclass(frozen=True, kw_only=True)
    class Counts(FedAvg):
        def download(self, server, client):
            return {**server, "seen": torch.tensor([100_001])}

        def train(self, work, down, personal):
            seen = down.pop("seen")
            return_ = super().train(work, down, personal)
            return replace(return_, upload={**return_.upload, "seen": seen + work.samples})

        def wraps(self):
            return (TopK(share=0.1), Float16())

        def aggregate(self, server, uploads, work):
            bare = []
            for update in uploads:
                received.append(update.upload.pop("seen"))
                bare.append(update)
            return super().aggregate(server, bare, work)

    trial = FederatedTrial(Counts(), small_federation(), 0)
    trial.step()
    samples = [len(small_federation().clients[c].train) for c in sorted(trial.sampled_clients(1))]
    assert [t.item() for t in received] == [100_001 + n for n in samples]
    assert all(t.dtype == torch.int64 for t in received)


@pytest.mark.parametrize(
    ("wrap", "name", "told"),
    [
        (Float16(), "half:w", "Float16 cannot send 'half:w': it names what it adds like this"),
        (TopK(), "w:index", "TopK cannot send 'w:index': it names what it adds like this"),
    ],
)
def test_names_that_a_wrap_gives_itself_are_refused(wrap, name, told):
    """Else the receiver would take the payload for something else."""
    payload = {name: torch.ones(2), "w": torch.ones(2)}
    with pytest.raises(UserError, match=told):
        wrap.send(payload, {}, {}, torch_rng(0, "wrap"))
    wrap.send({f"a.{name}.b": torch.ones(2)}, {}, {}, torch_rng(0, "wrap"))


def test_payloads_come_back_through_the_wraps_in_the_other_order():
    @dataclass(frozen=True, kw_only=True)
    class Adds(Wrap):
        def send(self, payload, reference, state, rng):
            return {name: tensor + 1 for name, tensor in payload.items()}, {}

        def receive(self, wire, reference):
            return {name: tensor - 1 for name, tensor in wire.items()}

    @dataclass(frozen=True, kw_only=True)
    class Doubles(Wrap):
        def send(self, payload, reference, state, rng):
            return {name: tensor * 2 for name, tensor in payload.items()}, {}

        def receive(self, wire, reference):
            return {name: tensor / 2 for name, tensor in wire.items()}

    channel = Channel(Totals(), wraps=(Adds(), Doubles()))
    assert channel.to_train({"w": tensor([3.0])}, 0, 1)["w"].item() == 3.0
    received, _ = channel.to_server(Update({"w": tensor([5.0])}, {}, 1.0), {}, {}, 0, 1)
    assert received["w"].item() == 5.0


def test_a_wrap_draws_for_each_message_and_repeats_itself():
    draws = []

    @dataclass(frozen=True, kw_only=True)
    class Noise(Wrap):
        def send(self, payload, reference, state, rng):
            draws.append(torch.rand(1, generator=rng).item())
            return payload, {}

        def receive(self, wire, reference):
            return wire

    @dataclass(frozen=True, kw_only=True)
    class Noisy(FedAvg):
        def wraps(self):
            return (Noise(),)

    trial = FederatedTrial(Noisy(), small_federation(), 0)
    run(trial, 2)
    assert len(set(draws)) == len(draws)
    known = draws.copy()
    draws.clear()
    run(FederatedTrial(Noisy(), small_federation(), 0), 2)
    assert draws == known
