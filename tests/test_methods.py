"""Each method against its algorithm, written a second time without the engine."""

import math

import pytest
import timm
import torch
import torch.nn.functional as F

from pfltune.data.images import Images
from pfltune.errors import UserError
from pfltune.federation.local import ClientWork, LocalTrainer
from pfltune.federation.roles import roles_of, tensors_of
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Phase, Start, Update
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedrep import FedRep
from pfltune.methods.local import Local
from pfltune.methods.pfedpg import PFedPG, generate
from pfltune.randomness import isolated, torch_rng

HEAD = {"head.weight", "head.bias"}
PROMPTS = "blocks.0.prompts"


class Desk:
    """A method on the tiny backbone, and the work of one client in round 1."""

    def __init__(self, method, federation, client=3):
        model = federation.build_backbone(seed=0)
        with isolated(0, "graft"):
            method.graft(model)
        self.roles = roles_of(method, model)
        self.start = tensors_of(model, self.roles.part("all"))
        data = federation.dataset
        images = Images(data.images, data.labels, federation.backbone.image_size)
        trainer = LocalTrainer(model, self.roles, images, federation.protocol, seed=0)
        self.work = ClientWork(trainer, "training", 1, client, federation.clients[client].train)


def plain_sgd(federation, rounds, lr, seed=0, **options):
    """The one client's model after torch's own SGD, round after round, epoch after epoch.

    The order of an epoch has the key (seed, "training/order", round, client, epoch).
    """
    model = federation.build_backbone(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, **options)
    data, mine = federation.dataset, federation.clients[0].train
    for number in range(1, rounds + 1):
        for epoch in range(federation.protocol.local_epochs):
            rng = torch_rng(seed, "training/order", number, 0, epoch)
            order = mine[torch.randperm(len(mine), generator=rng)]
            for chosen in order.split(federation.protocol.batch_size):
                pixels = data.images[chosen].float() / 127.5 - 1
                optimizer.zero_grad()
                F.cross_entropy(model(pixels), data.labels[chosen]).backward()
                optimizer.step()
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def assert_same(found, expected, atol=1e-6):
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=atol, msg=name)


def test_fedavg_with_one_client_is_plain_sgd(make_federation, run_trial):
    alone = make_federation([(19, 3, 3)], rounds=3, local_epochs=2)
    trial = run_trial(FedAvg(lr=0.1), alone).trial
    expected = plain_sgd(alone, rounds=3, lr=0.1)
    start = alone.build_backbone(0).state_dict()
    assert max((expected[n] - start[n]).abs().max() for n in start) > 0.01, "hardly trained"
    assert_same(trial.server, expected)


def test_local_with_one_client_is_plain_sgd(make_federation, run_trial):
    alone = make_federation([(19, 3, 3)], rounds=2)
    trial = run_trial(Local(lr=0.1), alone).trial
    assert_same(trial.personal[0], plain_sgd(alone, rounds=2, lr=0.1))


def test_fedavg_takes_the_mean_weighted_by_samples():
    """(1·[0, 4, 8] + 3·[4, 0, -8]) / 4 = [12/4, 4/4, -16/4] = [3, 1, -4]."""
    uploads = [
        Update({"w": torch.tensor([0.0, 4.0, 8.0])}, {}, weight=1, client=0),
        Update({"w": torch.tensor([4.0, 0.0, -8.0])}, {}, weight=3, client=2),
    ]
    server = FedAvg().aggregate({"w": torch.full((3,), 100.0)}, iter(uploads))
    assert server["w"].tolist() == [3.0, 1.0, -4.0]
    assert server["w"].dtype == torch.float32


def test_fedavg_without_uploads_keeps_the_server():
    server = {"w": torch.tensor([1.0, 2.0, 3.0])}
    assert FedAvg().aggregate(server, iter(()))["w"].tolist() == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("client", [0, 3])
def test_a_client_weighs_as_many_as_it_has_training_samples(client, federation):
    desk = Desk(FedAvg(), federation, client)
    update = FedAvg().train(desk.work, desk.start, {})
    assert update.weight == len(federation.clients[client].train)


def test_the_servers_round_is_the_mean_of_what_its_clients_trained(federation, run_trial):
    method = FedAvg(lr=0.1)
    trial = run_trial(method, rounds=1).trial
    cohort = trial.sampled_clients(1)
    sizes = [len(federation.clients[c].train) for c in cohort]
    assert sizes[0] != sizes[1], "equal weights would not show in the mean"
    desks = [Desk(method, federation, c) for c in cohort]
    models = [desk.work.fit(desk.start, method.phases()) for desk in desks]
    for name, found in trial.server.items():
        mean = (models[0][name] * sizes[0] + models[1][name] * sizes[1]) / sum(sizes)
        torch.testing.assert_close(found, mean, rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("method", [FedPer(), FedRep()], ids=["fedper", "fedrep"])
def test_the_head_is_personal_and_the_body_shared(method, federation):
    roles = Desk(method, federation).roles
    assert set(roles.personal) == HEAD
    assert set(roles.shared) == federation.build_backbone(0).state_dict().keys() - HEAD
    assert roles.frozen == ()


def test_fedper_keeps_the_heads_apart_and_one_body(run_trial):
    trial = run_trial(FedPer(lr=0.1)).trial
    assert not HEAD & trial.server.keys()
    heads = {tuple(personal["head.bias"].tolist()) for personal in trial.personal}
    assert len(heads) > 1, "all clients ended with the same head"
    assert all(set(personal) == HEAD for personal in trial.personal)


def test_fedper_takes_its_local_steps_on_body_and_head_together(federation):
    desk, other = Desk(FedPer(lr=0.1), federation), Desk(FedAvg(lr=0.1), federation)
    down = {n: t for n, t in desk.start.items() if n not in HEAD}
    update = FedPer(lr=0.1).train(desk.work, down, {n: desk.start[n] for n in HEAD})
    everything = FedAvg(lr=0.1).train(other.work, other.start, {}).upload
    assert_same({**update.upload, **update.personal}, everything, atol=0)


def test_fedreps_first_phase_moves_the_head_and_nothing_else(federation, differing):
    desk = Desk(FedRep(lr=0.1), federation)
    first, _ = FedRep(lr=0.1).phases()
    assert set(differing(desk.work.fit(desk.start, [first]), desk.start)) == HEAD


def test_fedreps_second_phase_moves_the_body_and_nothing_else(federation, differing):
    desk = Desk(FedRep(lr=0.1), federation)
    _, second = FedRep(lr=0.1).phases()
    moved = set(differing(desk.work.fit(desk.start, [second]), desk.start))
    assert moved == desk.start.keys() - HEAD


def test_fedrep_trains_the_head_first_then_the_body(federation):
    """The round of train() is the head's phase with the body fixed, then the body's.

    The body's phase begins with the client's fourth epoch; by hand it trains from the head's result
    after three epochs at rate 0, which only use up the order of the data.
    """
    method = FedRep(lr=0.1, head_epochs=3)
    by_hand, engine = Desk(method, federation), Desk(method, federation)
    after_head = by_hand.work.fit(by_hand.start, [Phase("personal", 0.1, epochs=3)])
    idle = Phase("personal", 0.0, epochs=3)
    expected = by_hand.work.fit(after_head, [idle, Phase("shared", 0.1)])
    down = {n: t for n, t in engine.start.items() if n not in HEAD}
    update = method.train(engine.work, down, {n: engine.start[n] for n in HEAD})
    assert_same({**update.upload, **update.personal}, expected, atol=0)


def test_fedrep_spends_its_head_epochs_besides_the_scenarios(make_federation):
    """22 samples in batches of 8 are 3 steps an epoch: 3 head epochs and 2 of the body make 15."""
    desk = Desk(FedRep(head_epochs=3), make_federation(local_epochs=2))
    desk.work.fit(desk.start, FedRep(head_epochs=3).phases())
    assert desk.work.steps == 15


def test_local_shares_nothing_and_sends_no_byte(federation, run_trial):
    finished = run_trial(Local())
    assert finished.trial.roles.shared == ()
    assert finished.trial.server == {}
    assert all(m["comm/total_mb"] == m["comm/evaluation_mb"] == 0 for m in finished.metrics)
    assert finished.trial.footprint()["params/shared"] == 0


def test_local_leaves_clients_alone_that_are_not_sampled(federation, run_trial, differing):
    trial = run_trial(Local(lr=0.1), rounds=1).trial
    start = federation.build_backbone(0).state_dict()
    for client, personal in enumerate(trial.personal):
        moved = differing(personal, start)
        expected = set(start) if client in trial.sampled_clients(1) else set()
        assert set(moved) == expected, f"client {client}"


# pFedPG: N clients, K prompts of width l.
N, K, L = 3, 4, 5
LEAVES = ("W_Q", "W_K", "W_V", "W_O", "P_base", "d")


@pytest.fixture
def generator():
    """A generator of prompts in float64, without special values."""
    rng = torch.Generator().manual_seed(3)
    shapes = {"P_base": (K, L), "d": (N, L)} | {f"W_{w}": (L, L) for w in "QKVO"}
    return {n: torch.randn(s, generator=rng, dtype=torch.float64) for n, s in shapes.items()}


def generated(g, client):
    """G(P_base, d_n) with every index written out.

    q_j = Σ_i d_i Wq_ij, k_aj = Σ_i P_ai Wk_ij, v_aj = Σ_i P_ai Wv_ij,
    α_a = exp(q·k_a/√l) / Σ_b exp(q·k_b/√l), P_n,aj = P_aj + Σ_i (Σ_b α_b v_bi) Wo_ij.
    """
    q = torch.einsum("i,ij->j", g["d"][client], g["W_Q"])
    k = torch.einsum("ai,ij->aj", g["P_base"], g["W_K"])
    v = torch.einsum("ai,ij->aj", g["P_base"], g["W_V"])
    weight = (torch.einsum("j,aj->a", q, k) / math.sqrt(L)).exp()
    mixed = torch.einsum("a,ai->i", weight / weight.sum(), v)
    return g["P_base"] + torch.einsum("i,ij->j", mixed, g["W_O"])


@pytest.mark.parametrize("client", range(N))
def test_pfedpg_generates_prompts_by_cross_attention(client, generator):
    found = generate(generator, generator["d"][client])
    torch.testing.assert_close(found, generated(generator, client), rtol=0, atol=1e-10)


@pytest.fixture
def changes():
    """ΔP_n of the clients 0 and 2; client 1 takes no part."""
    rng = torch.Generator().manual_seed(4)
    return {c: torch.randn(K, L, generator=rng, dtype=torch.float64) for c in (0, 2)}


def surrogate(g, changes):
    """Σ_n ⟨P_n, -ΔP_n⟩: its gradient is the chain rule with -ΔP_n for ∂L/∂P_n."""
    return sum((generated(g, c) * -change).sum() for c, change in changes.items())


def aggregated(generator, changes, server_lr=0.5):
    uploads = (
        Update({PROMPTS: change}, {}, weight=c + 1, client=c) for c, change in changes.items()
    )
    return PFedPG(server_lr=server_lr).aggregate(generator, uploads)


def test_pfedpgs_server_takes_one_step_down_the_surrogate(generator, changes):
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in generator.items()}
    grads = torch.autograd.grad(surrogate(leaves, changes), list(leaves.values()))
    expected = {n: generator[n] - 0.5 * g for n, g in zip(leaves, grads, strict=True)}
    assert_same(aggregated(generator, changes), expected, atol=1e-10)


@pytest.mark.parametrize("name", LEAVES)
def test_pfedpgs_step_agrees_with_finite_differences(name, generator, changes):
    """(f(θ + h·e) - f(θ - h·e)) / 2h for every entry e of each tensor, h = 1e-5."""

    def surrogate_at(entry, step):
        moved = generator[name].clone()
        moved.view(-1)[entry] += step
        return surrogate({**generator, name: moved}, changes)

    slopes = torch.stack(
        [
            (surrogate_at(entry, 1e-5) - surrogate_at(entry, -1e-5)) / 2e-5
            for entry in range(generator[name].numel())
        ]
    ).view_as(generator[name])
    assert slopes.abs().max() > 0.01, "flat: this shows nothing"
    found = (generator[name] - aggregated(generator, changes)[name]) / 0.5
    torch.testing.assert_close(found, slopes, rtol=1e-6, atol=1e-7)


def test_pfedpg_moves_the_descriptors_of_those_that_took_part(generator, changes):
    moved = (aggregated(generator, changes)["d"] != generator["d"]).any(dim=1)
    assert moved.tolist() == [True, False, True]


def test_pfedpg_moves_the_generator_that_all_clients_share(generator, changes, differing):
    assert differing(aggregated(generator, changes), generator) == sorted(LEAVES)


def test_pfedpg_moves_prompts_towards_what_the_client_learned(generator):
    """A small step makes P_n follow ΔP_n: ⟨change of P_n, ΔP_n⟩ > 0."""
    change = torch.ones(K, L, dtype=torch.float64)
    new = aggregated(generator, {1: change}, server_lr=1e-3)
    assert ((generated(new, 1) - generated(generator, 1)) * change).sum() > 0


def test_pfedpg_begins_with_one_random_descriptor_for_each_client():
    start = Start({PROMPTS: torch.randn(K, 64)}, {}, clients=50, rng=torch_rng(0, "server"))
    server = PFedPG().init_server(start)
    assert torch.equal(server["P_base"], start.shared[PROMPTS])
    assert server["d"].shape == (50, 64)
    assert abs(server["d"].std() - 1) < 0.05
    assert all(abs(server[f"W_{w}"].std() - 1 / 8) < 0.01 for w in "QKVO")


def test_pfedpg_trains_prompts_and_head_on_a_frozen_backbone(federation, run_trial):
    trial = run_trial(PFedPG()).trial
    backbone = federation.build_backbone(0).state_dict()
    assert trial.roles.shared == (PROMPTS,)
    assert set(trial.roles.personal) == HEAD
    assert set(trial.roles.frozen) == backbone.keys() - HEAD
    now = trial._trainer.model.state_dict()
    assert all(torch.equal(now[name], backbone[name]) for name in trial.roles.frozen)


def test_pfedpg_uploads_the_change_of_the_prompts(federation):
    method = PFedPG(prompts=K)
    desk, other = Desk(method, federation), Desk(method, federation)
    down, personal = {PROMPTS: desk.start[PROMPTS] + 0.5}, {n: desk.start[n] for n in HEAD}
    update = method.train(desk.work, down, personal)
    trained = other.work.fit({**down, **personal}, method.phases())
    assert update.upload.keys() == {PROMPTS}
    assert update.upload[PROMPTS].shape == (K, 16)
    assert update.upload[PROMPTS].abs().max() > 0
    assert torch.equal(update.upload[PROMPTS], trained[PROMPTS] - down[PROMPTS])


def test_pfedpg_decays_prompts_and_head(federation):
    """The gradient gains weight_decay·θ: one step (5 samples) differs by lr·weight_decay·θ."""

    def after_one_step(decay):
        method = PFedPG(lr=0.25, weight_decay=decay)
        desk = Desk(method, federation, client=0)
        return desk.start, desk.work.fit(desk.start, method.phases())

    (start, bare), (_, decayed) = after_one_step(0.0), after_one_step(0.1)
    for name, initial in start.items():
        expected = 0.25 * 0.1 * initial
        torch.testing.assert_close(bare[name] - decayed[name], expected, rtol=0, atol=1e-6)


def test_pfedpg_gives_different_clients_different_prompts(run_trial):
    trial = run_trial(PFedPG(server_lr=0.1)).trial
    prompts = [trial.method.download(trial.server, c)[PROMPTS] for c in range(4)]
    gaps = [(a - b).abs().max() for i, a in enumerate(prompts) for b in prompts[:i]]
    assert min(gaps) > 1e-5


def test_pfedpg_learns_prompts_over_the_rounds(federation, run_trial):
    trial = run_trial(PFedPG(server_lr=0.1)).trial
    fresh = FederatedTrial(trial.method, federation, seed=0)
    for client in range(4):
        now, then = (t.method.download(t.server, client)[PROMPTS] for t in (trial, fresh))
        assert (now - then).abs().max() > 1e-5, f"the prompts of client {client} stood still"


def test_prompts_stand_between_class_token_and_patches(federation):
    model = federation.build_backbone(0).eval()
    PFedPG(prompts=K).graft(model)
    seen = []
    model.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    bare = federation.build_backbone(0).eval()
    bare.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    images = torch.zeros(2, 1, 8, 8)
    model(images), bare(images)
    with_prompts, without = seen
    prompts = model.blocks[0].prompts.expand(2, -1, -1)
    assert torch.equal(with_prompts, torch.cat([without[:, :1], prompts, without[:, 1:]], dim=1))


@pytest.mark.parametrize("options", [{}, {"class_token": False}], ids=["with-cls", "without-cls"])
def test_prompts_are_refused_where_patches_are_averaged(options):
    model = timm.create_model(
        "vit_tiny_patch16_224",
        img_size=8,
        patch_size=4,
        embed_dim=16,
        depth=1,
        num_heads=2,
        global_pool="avg",
        **options,
    )
    with pytest.raises(UserError, match=r"class token.*avg"):
        PFedPG().graft(model)


def test_prompts_are_refused_where_there_is_no_place_for_them():
    """timm's convit_tiny pools a class token, but has no place behind its position embedding."""
    model = timm.create_model("convit_tiny", img_size=32, depth=2)
    with pytest.raises(UserError, match="prompts need"):
        PFedPG().graft(model)
