"""Methods of forward passes alone: seeds and slopes by hand, and what they do without."""

import weakref
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from byhand import assert_same, flat, well_conditioned, with_a_head
from replay import ALL, SEED, ByHand
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.payload import payload_bytes
from pfltune.federation.trial import FederatedTrial
from pfltune.figures import DOWN, LOSS, UP
from pfltune.method import Start
from pfltune.methods import _seeds
from pfltune.methods._seeds import along, shift, step
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedkseed import FedKSeed
from pfltune.optimizers import Schedule
from pfltune.randomness import torch_rng
from pfltune.storage import Folder

POINT = {"b": torch.tensor([[1.0, -2.0]]), "a": torch.tensor([0.5, 0.0, 3.0])}


def draws(seed, like):
    """z by name: one vector of N(0, I) from the seed, dealt out in the order of the names."""
    names = sorted(like)
    rng = torch.Generator().manual_seed(seed)
    z = torch.randn(sum(like[name].numel() for name in names), generator=rng)
    found, begin = {}, 0
    for name in names:
        end = begin + like[name].numel()
        found[name], begin = z[begin:end].reshape(like[name].shape), end
    return found


def copied(point):
    return {name: t.clone() for name, t in point.items()}


# Seeds


def test_a_step_goes_along_the_two_point_estimate_written_out():
    """L(θ) = Σ θ³: [L(θ + μz) - L(θ - μz)]/2μ = Σ 3θ²z + μ²z³ = g, and θ ends at θ - lr·g·z."""
    z, mu, at = draws(7, POINT), 0.5, copied(POINT)
    g = sum((3 * t**2 * z[n] + mu**2 * z[n] ** 3).sum() for n, t in POINT.items())
    found = step(lambda here: sum((t**3).sum() for t in here.values()), at, 7, mu, 0.1)
    torch.testing.assert_close(found, g, rtol=1e-5, atol=0)
    assert_same(at, {n: t - 0.1 * g * z[n] for n, t in POINT.items()}, atol=1e-5)


def test_a_step_costs_two_forward_passes():
    calls = []
    step(lambda here: calls.append(here) or here["a"].sum(), copied(POINT), 7, 0.5, 0.1)
    assert len(calls) == 2


def test_a_seed_makes_the_same_direction_whatever_the_order_of_names():
    there, back = copied(POINT), dict(reversed(copied(POINT).items()))
    shift(there, 7, 2.0), shift(back, 7, 2.0)
    z = draws(7, POINT)
    assert_same(there, {n: t + 2 * z[n] for n, t in POINT.items()}, atol=0)
    assert_same(back, there, atol=0)


def test_the_sum_of_many_is_that_of_one_after_the_other():
    scalars = {7: 0.5, 9: -2.0, 8: 0.25}
    at = {name: torch.zeros_like(t) for name, t in POINT.items()}
    for seed, a in scalars.items():
        shift(at, seed, a)
    assert_same(along(scalars, POINT), at)


def test_a_large_tensor_is_drawn_alone_and_small_ones_together(monkeypatch):
    monkeypatch.setattr(_seeds, "LARGE", 6)
    like = {name: torch.zeros(size) for name, size in zip("edcba", (2, 3, 9, 2, 4), strict=True)}
    assert _seeds.runs(like) == {("a", "b"): 6, ("c",): 9, ("d", "e"): 5}
    rng = torch.Generator().manual_seed(7)
    first, large, last = (torch.randn(size, generator=rng) for size in (6, 9, 5))
    expected = {"a": first[:4], "b": first[4:], "c": large, "d": last[:3], "e": last[3:]}
    assert_same(along({7: 1.0}, like), expected, atol=0)
    shift(like, 7, 1.0)
    assert_same(like, expected, atol=0)


def test_the_sum_that_is_kept_is_never_another_ones():
    """Another scalar, another seed, other shapes and other names all ask for a sum of their own."""
    first = copied(along({7: 0.5}, POINT))
    wide = {name: t.repeat(2, 1) for name, t in POINT.items()}
    other = {"c": POINT["a"], "b": POINT["b"]}
    for scalars, like in (({7: 0.25}, POINT), ({8: 0.5}, POINT), ({7: 0.5}, wide)):
        found = along(scalars, like)
        seed, a = next(iter(scalars.items()))
        assert_same(found, {n: a * z for n, z in draws(seed, like).items()})
    assert along({7: 0.5}, other).keys() == other.keys()
    assert_same(along({7: 0.5}, POINT), first, atol=0)


# FedKSeed, two rounds by hand


class Rebuilt(ByHand):
    """A client of FedKSeed in plain tensors."""

    def __init__(self, federation, method):
        super().__init__(federation)
        self.method = method
        self.key = int(torch.randint(2**31, (), generator=torch_rng(SEED, "server")))

    def loss(self, theta, batch):
        data = self.federation.dataset
        images, labels = data.images[batch].float() / 127.5 - 1, data.labels[batch]
        return F.cross_entropy(functional_call(self.model, theta, (images,)), labels)

    def shifted(self, theta, j, by):
        z = draws(self.key + j, theta)
        return {n: t + by * z[n] for n, t in theta.items()}

    def model_of(self, scalars, start):
        """w = w₀ - lr·Σ a_j·z_j."""
        change = {n: torch.zeros_like(t) for n, t in start.items()}
        for j, a in enumerate(scalars.tolist()):
            change = self.shifted(change, j, a) if a else change
        return {n: t - self.method.lr * change[n] for n, t in start.items()}

    @torch.no_grad()
    def local(self, number, c, server, own):
        """w ← w - lr·r·g·z_j with g the slope along z_j and r the schedule's factor."""
        w, mu = self.model_of(server["scalars"], own), self.method.mu
        rng, sums = torch_rng(SEED, "training/draws", number, c), {}
        rate = self.federation.protocol.schedule.in_round(number, 3)
        for batch in self.batches(number, c):
            j = int(torch.randint(self.method.candidates, (), generator=rng))
            plus = self.shifted(w, j, mu)
            minus = self.shifted(plus, j, -2 * mu)
            g = rate * (self.loss(plus, batch) - self.loss(minus, batch)) / (2 * mu)
            w = self.shifted(minus, j, mu - self.method.lr * g)
            sums[j] = sums.get(j, 0.0) + g
        self.ended = w
        return sums, own

    def combine(self, server, uploads, n):
        """a_j ← a_j + Σ_c n_c·(slopes of c along j) / Σ_c n_c."""
        scalars = server["scalars"].clone()
        for c, sums in uploads.items():
            for j, g in sums.items():
                scalars[j] += n[c] / sum(n.values()) * g
        return {**server, "scalars": scalars}


@pytest.mark.parametrize("candidates", [3, 512], ids=["often the same", "hardly ever"])
def test_fedkseed_two_rounds_by_hand(make_federation, candidates):
    """Two epochs, and a rate that falls by half; clients may draw a seed twice, or the same.

    A scalar is the difference of two losses over 2μ = 0.1: what float32 rounds of them, some
    2e-7, is ten times as much in it, and depends on the processor.
    """
    halved = Schedule(kind="step", every=1, factor=0.5)
    ground = make_federation(local_epochs=2, schedule=halved)
    method = FedKSeed(lr=0.01, candidates=candidates, mu=0.05)
    hand = Rebuilt(ground, method)
    trial = hand.check(
        method,
        hand.local,
        {"key": torch.tensor(hand.key), "scalars": torch.zeros(candidates)},
        {name: hand.start[name] for name in ALL},
        predict=lambda _, c, server, own: hand.model_of(server["scalars"], own),
        fixed=(*ALL, "key"),
        combine=hand.combine,
        tolerance=1e-5,
    )
    assert trial.server["scalars"].count_nonzero() > 2


def test_the_model_made_of_seeds_is_the_one_that_a_lone_client_trained(make_federation):
    """One client, one round: w₀ - lr·Σ a_j·z_j is where its steps, one after another, ended."""
    ground = well_conditioned(make_federation, ((40, 5, 5),), local_epochs=2)
    method = FedKSeed(lr=0.01, candidates=4, mu=0.05)
    trial, hand = FederatedTrial(method, ground, SEED), Rebuilt(ground, method)
    start = dict(trial.personal[0])
    trial.step()
    hand.local(1, 0, {"scalars": torch.zeros(4)}, start)
    made = method.assemble(method.download(trial.server, 0), trial.personal[0])
    assert_same(made, hand.ended, atol=1e-5)
    assert max((made[n] - start[n]).abs().max() for n in start) > 0.01, "hardly trained"


def test_with_one_candidate_the_model_moves_along_a_line(make_federation):
    trial = FederatedTrial(FedKSeed(candidates=1), well_conditioned(make_federation), SEED)
    list(trial.run())
    own = trial.personal[0]
    z = draws(int(trial.server["key"]), own)
    (a,) = trial.server["scalars"]
    expected = {n: t - trial.method.lr * a * z[n] for n, t in own.items()}
    assert_same(trial.method.assemble(trial.server, own), expected)


@pytest.mark.thorough
def test_steps_along_seeds_lower_the_training_loss(make_federation):
    """All clients in 15 rounds of 4 epochs; the loss is the mean over clients of a round."""
    ground = with_a_head(
        make_federation, sampled_clients=4, local_epochs=4, rounds=15, evaluate_every=15
    )
    trial = FederatedTrial(FedKSeed(lr=0.003, candidates=256), ground, seed=0)
    losses = [report.metrics[LOSS.name] for report in trial.run()]
    assert sum(losses[-3:]) / 3 < 0.9 * sum(losses[:3]) / 3, losses


# What travels


def test_the_bytes_of_a_round_are_those_of_the_paper():
    """K = 4096 scalars of 4 bytes down, 200 steps of a seed and a slope up: below 18 kB."""
    start = Start({}, POINT, clients=1, rng=torch_rng(SEED, "server"))
    server = FedKSeed(candidates=4096).init_server(start)
    down = sum(t.nbytes for n, t in server.items() if n != "key")
    up = 200 * (torch.int32.itemsize + torch.float32.itemsize)
    assert down + up == 17_984
    assert "below 18 kB" in FedKSeed.published_payload


def test_what_travels_grows_with_steps_and_candidates_and_not_with_the_model(make_federation):
    """Clients of 40 samples take 5 steps of 8, each along another of 65,536 seeds."""
    ground = make_federation(((40, 5, 5), (40, 5, 5)), sampled_clients=2, rounds=1)
    metrics = FederatedTrial(FedKSeed(candidates=65536), ground, SEED).step().metrics
    down = {"key": torch.tensor(1), "scalars": torch.zeros(65536)}
    up = {"seeds": torch.zeros(5, dtype=torch.int32), "slopes": torch.zeros(5)}
    assert metrics[DOWN.name] * 1e6 == pytest.approx(2 * payload_bytes(down))
    assert metrics[UP.name] * 1e6 == pytest.approx(2 * payload_bytes(up))
    assert payload_bytes(up) < 250


def test_the_start_weights_are_sent_once(federation):
    """They are personal: what a client needs beside K scalars, and no seed makes."""
    rng = torch.Generator().manual_seed(1)
    bare = federation.build_backbone(seed=3).state_dict()
    stored = replace(
        federation, weights={n: t + torch.rand(t.shape, generator=rng) for n, t in bare.items()}
    )
    footprints = [
        FederatedTrial(method, stored, SEED).footprint() for method in (FedKSeed(), FedAvg())
    ]
    assert footprints[0]["params/shared"] == 1024 + 1
    assert footprints[0]["params/personal"] == footprints[1]["params/shared"]
    assert footprints[0]["comm/setup_mb"] > 4e-6 * footprints[1]["params/shared"]


def test_a_checkpoint_does_not_hold_the_start_weights_of_every_client(federation, tmp_path):
    trial = FederatedTrial(FedKSeed(), federation, SEED)
    trial.step()
    Checkpoints(Folder(tmp_path)).save(trial, [])
    files = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert files.keys() == {"server-1.safetensors", "round-00000001.json"}
    again = FederatedTrial(FedKSeed(), federation, SEED)
    Checkpoints(Folder(tmp_path)).load(again)
    assert again.trained == trial.trained
    assert_same(flat(again.server, again.personal), flat(trial.server, trial.personal), atol=0)


# What they do without


def saved(trial):
    """How many tensors autograd keeps for a backward pass during a round."""
    kept = []
    hooks = torch.autograd.graph.saved_tensors_hooks
    with hooks(lambda t: kept.append(t.numel()) or t, lambda t: t):
        trial.step()
    return len(kept)


def test_fedkseed_has_no_graph_of_autograd(federation):
    assert saved(FederatedTrial(FedKSeed(), federation, SEED)) == 0
    assert saved(FederatedTrial(FedAvg(), federation, SEED)) > 0


class Alive(TorchDispatchMode):
    """Counts the bytes of all storages that were made inside and still live, and their peak."""

    def __init__(self):
        super().__init__()
        self.now = self.peak = 0
        self.known = weakref.WeakKeyDictionary()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        given = {id(s) for s in storages((args, kwargs))}
        for storage in storages(made):
            if id(storage) not in given and storage not in self.known:
                self.known[storage] = size = storage.nbytes()
                self.now += size
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self.freed, size)
        return made

    def freed(self, size):
        self.now -= size


def storages(tree):
    leaves = torch.utils._pytree.tree_leaves(tree)
    return [leaf.untyped_storage() for leaf in leaves if isinstance(leaf, torch.Tensor)]


def peak(method, federation):
    trial = FederatedTrial(method, federation, SEED)
    trial.step()
    with Alive() as alive:
        trial.step()
    return alive.peak


@pytest.mark.parametrize("batch", [8, 64])
def test_a_step_holds_less_than_one_of_back_propagation(make_federation, batch):
    ground = make_federation(((64, 2, 2),), batch_size=batch, evaluate_every=100)
    whole = peak(FedAvg(), ground)
    assert peak(FedKSeed(), ground) < whole
