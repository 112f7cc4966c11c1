"""Low-rank adapters and other light tuning of a frozen backbone, against plain tensors.

The reference knows no adapters: it puts W + (α/r)·B·A in the place of W in the bare backbone, so
every replay also holds the additive path against the merged weight. Autograd gives ∇f_c alone.
"""

import copy

import pytest
import timm
import torch
import torch.nn.functional as F
from byhand import HEAD, gradients, prompted, two_rounds, well_conditioned, with_a_head
from replay import ALL, LR, SEED, ByHand
from torch.func import functional_call

from pfltune import parts
from pfltune.backbones import TimmBackbone
from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.federation.payload import payload_bytes
from pfltune.federation.trial import FederatedTrial
from pfltune.methods._lora import chosen_layers
from pfltune.methods.bitfit import BitFit
from pfltune.methods.feddpa import FedDPA
from pfltune.methods.fedlora import FedLoRA
from pfltune.methods.fedprompt import FedPrompt
from pfltune.methods.fedsa_lora import FedSALoRA
from pfltune.methods.fedvpt import FedVPT
from pfltune.methods.ffa_lora import FFALoRA
from pfltune.methods.hetlora import HetLoRA
from pfltune.randomness import isolated, torch_rng
from pfltune.testing.runs import straight
from pfltune.testing.subject import Subject

RANK, ALPHA = 2, 10.0
QKV = ("blocks.0.attn.qkv", "blocks.1.attn.qkv")
SIZES = {"blocks.0.attn.qkv": (16, 48), "blocks.1.attn.qkv": (16, 48)}
KNOBS = {"lr": LR, "rank": RANK, "alpha": ALPHA}


@pytest.fixture(scope="module")
def hand(make_federation):
    return ByHand(well_conditioned(make_federation, local_epochs=2))


@pytest.fixture(scope="module")
def ground(make_federation):
    return well_conditioned(make_federation, local_epochs=2)


def names(factor, kind="lora"):
    return tuple(f"{layer}.{kind}.{factor}" for layer in QKV)


def adapters(kinds=("lora",), rank=RANK):
    """The factors as they begin: A uniform in ±1/√in, drawn layer by layer, and B zero."""
    start = {}
    with isolated(SEED, "graft"):
        for layer, (inputs, outputs) in SIZES.items():
            for kind in kinds:
                a = torch.empty(rank, inputs).uniform_(-(inputs**-0.5), inputs**-0.5)
                start |= {
                    f"{layer}.{kind}.A": a,
                    f"{layer}.{kind}.B": torch.zeros(outputs, rank),
                }
    return start


def merged(hand, theta, weights=None, rank=RANK):
    """The bare backbone's tensors with W + Σ_kind weight·(α/r)·B·A in the place of W."""
    found = {name: theta[name] for name in HEAD}
    for layer in QKV:
        w = hand.start[f"{layer}.weight"]
        for kind, weight in (weights or {"lora": 1.0}).items():
            b, a = theta[f"{layer}.{kind}.B"], theta[f"{layer}.{kind}.A"]
            w = w + weight * ALPHA / rank * b @ a
        found[f"{layer}.weight"] = w
    return found


def read(hand, batch):
    data = hand.federation.dataset
    return data.images[batch].float() / 127.5 - 1, data.labels[batch]


def gradient(hand, theta, batch, weights=None, moving=None, rank=RANK):
    images, labels = read(hand, batch)

    def loss(t):
        tensors = merged(hand, {**theta, **t}, weights, rank)
        return F.cross_entropy(functional_call(hand.model, tensors, images), labels)

    return gradients(loss, {n: theta[n] for n in moving or theta})


def descended(hand, theta, number, c, moving, weights=None):
    """θ ← θ - η·∇f_c(θ; B) for the tensors named in ``moving``, over the client's batches."""
    for batch in hand.batches(number, c):
        g = gradient(hand, theta, batch, weights, moving)
        theta = {n: t - LR * g[n] if n in moving else t for n, t in theta.items()}
    return theta


def start_of(hand, *kinds):
    return {**adapters(kinds or ("lora",)), **{name: hand.start[name] for name in HEAD}}


def divided(theta, mine, frozen=()):
    moving = {n: t for n, t in theta.items() if n not in frozen}
    server = {n: t for n, t in moving.items() if n not in mine}
    return server, {n: t for n, t in moving.items() if n in mine}


# One adapter


@pytest.mark.parametrize(
    ("method", "mine", "frozen"),
    [
        pytest.param(FedLoRA(**KNOBS), (), (), id="fedlora"),
        pytest.param(FedLoRA(**KNOBS, head="personal"), HEAD, (), id="fedlora-personal-head"),
        pytest.param(FedSALoRA(**KNOBS), (*names("B"), *HEAD), (), id="fedsa_lora"),
        pytest.param(FedSALoRA(**KNOBS, head="shared"), names("B"), (), id="fedsa_lora-head"),
        pytest.param(FFALoRA(**KNOBS), (), names("A"), id="ffa_lora"),
        pytest.param(FFALoRA(**KNOBS, head="personal"), HEAD, names("A"), id="ffa_lora-head"),
    ],
)
def test_factors_train_together_and_those_that_are_shared_are_averaged(method, mine, frozen, hand):
    """θ = (A, B, head): W·x + (α/r)·B·A·x beside the frozen W; all that moves takes every step.

    FedLoRA shares both factors, FedSA-LoRA A alone, FFA-LoRA B alone with A as it began.
    """
    start = start_of(hand)
    still = {n: start[n] for n in frozen}

    def local(number, c, u, v):
        theta = descended(hand, {**still, **u, **v}, number, c, {*u, *v})
        return divided(theta, mine, frozen)

    hand.check(method, local, *divided(start, mine, frozen))


def test_ffa_loras_mean_is_the_exact_mean_of_the_products(ground):
    """Σ αᵢ·(Bᵢ·A) = (Σ αᵢ·Bᵢ)·A, where FedLoRA's product of means is something else."""

    def distance(method):
        trial, sent = FederatedTrial(method, ground, SEED), {}
        correct = type(method).aggregate

        class Spy(type(method)):
            def aggregate(self, server, uploads, work):
                def seen():
                    for update in uploads:
                        sent[update.client] = update
                        yield update

                return correct(self, server, seen(), work)

        trial.method = Spy(**{n: getattr(method, n) for n in KNOBS})
        trial.step(), sent.clear(), trial.step()
        frozen = {n: p.detach() for n, p in trial._trainer.model.named_parameters()}
        total, far = sum(u.weight for u in sent.values()), 0.0
        for a, b in zip(names("A"), names("B"), strict=True):
            of_all = {c: {**frozen, **u.upload} for c, u in sent.items()}
            products = sum(sent[c].weight / total * t[b] @ t[a] for c, t in of_all.items())
            server = {**frozen, **trial.server}
            far = max(far, (server[b] @ server[a] - products).abs().max().item())
        return far

    fast = KNOBS | {"lr": 1.0}
    assert distance(FFALoRA(**fast)) < 1e-7
    assert distance(FedLoRA(**fast)) > 1e-4


def test_what_ffa_lora_freezes_is_the_same_everywhere_and_never_sent(ground):
    trial, other = (FederatedTrial(m(**KNOBS), ground, SEED) for m in (FFALoRA, FedLoRA))
    assert set(names("A")) <= set(trial.roles.frozen)
    assert not set(names("A")) & {*trial.server, *trial.personal[0]}
    state = trial._trainer.model.state_dict()
    assert all(torch.equal(state[n], other.server[n]) for n in names("A"))
    assert trial.footprint()["comm/setup_mb"] == other.footprint()["comm/setup_mb"] > 0


@pytest.mark.parametrize(
    ("model", "layers", "count"),
    [
        ("vit_tiny_patch16_224", "attn.qkv", 2),
        ("vit_tiny_patch16_224", "attn.proj,mlp.fc1,blocks.1.mlp.fc2", 5),
        ("vit_tiny_patch16_224", "all", 8),
        ("eva02_tiny_patch14_224", "attn.qkv,attn.proj", 4),
        ("eva02_base_patch14_224", "attn.q_proj,attn.v_proj", 4),
        ("beit_base_patch16_224", "attn.qkv", 2),
    ],
)
def test_a_merged_weight_says_what_weight_and_adapter_say(model, layers, count):
    """With any B, on fused and separate projections, and where biases stand beside the layer."""
    side = 14 * 2 if "14" in model else 16 * 2
    sizes = {"img_size": side, "num_classes": 3, "depth": 2, "embed_dim": 24, "num_heads": 2}
    model = timm.create_model(model, **sizes).eval()
    rng = torch.Generator().manual_seed(0)
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.3, generator=rng)
    bare = copy.deepcopy(model)
    FedLoRA(rank=3, alpha=5.0, layers=layers).graft(model)
    images = torch.randn(2, 3, side, side, generator=rng)
    torch.testing.assert_close(model(images), bare(images), rtol=0, atol=1e-5)  # B is zero
    found = [n.removesuffix(".lora.B") for n in model.state_dict() if n.endswith(".lora.B")]
    assert len(found) == count
    for name in found:
        layer, weight = model.get_submodule(name), bare.get_submodule(name).weight
        with torch.no_grad():
            layer.lora.B.normal_(generator=rng)
            weight += 5.0 / 3 * layer.lora.B @ layer.lora.A
    before = model(images)
    torch.testing.assert_close(before, bare(images), rtol=1e-4, atol=1e-5)
    assert (before - functional_call(model, zeroed(model), images)).abs().max() > 0.01


def zeroed(model):
    return {n: torch.zeros_like(t) for n, t in model.state_dict().items() if n.endswith(".lora.B")}


def test_adapters_and_a_head_train_and_nothing_else(ground):
    trial = FederatedTrial(FedLoRA(**KNOBS), ground, SEED)
    assert set(trial.server) == {*names("A"), *names("B"), *HEAD}
    assert trial.roles.trainable == set(trial.server)


@pytest.mark.parametrize("words", ["norm1", "attn.qkv,patch_embed", "head"])
def test_layers_that_are_none_are_refused_in_a_line(words, federation):
    with pytest.raises(UserError, match=r"names no linear layer; try attn.proj, attn.qkv, mlp.fc1"):
        chosen_layers(federation.build_backbone(0), words)


def test_a_word_that_names_nothing_is_refused(federation):
    with pytest.raises(UserError, match="qkw"):
        chosen_layers(federation.build_backbone(0), "attn.qkw")


@pytest.mark.parametrize("cls", [FedLoRA, FedDPA, HetLoRA, BitFit])
def test_clients_of_a_backbone_whose_biases_stand_beside_the_layer_train_side_by_side(
    cls, make_federation
):
    """EVA reads a layer's weight and adds biases in place: it is asked for the layer instead."""
    sizes = {"image_size": 8, "patch_size": 4, "width": 16, "depth": 1, "heads": 2}
    eva = make_federation(backbone=TimmBackbone(model="eva02_tiny_patch14_224", **sizes))
    alone, together = (FederatedTrial(cls(lr=LR), eva, SEED, Compute(cohort=n)) for n in (1, 2))
    before = alone.server
    for trial in (alone, together):
        trial.step(), trial.step()
    assert not together.hindrances
    for name, tensor in alone.server.items():
        assert name == RANKS or not torch.equal(tensor, before[name])
        torch.testing.assert_close(together.server[name], tensor, rtol=0, atol=1e-5)


# A rank for each client

RANKS = "hetlora.ranks"


class Heterogeneous:
    """HetLoRA in tensors of each client's own shape."""

    def __init__(self, hand, largest, least, gamma, lam):
        self.hand, self.largest, self.least = hand, largest, least
        self.gamma, self.lam = gamma, lam

    def server(self):
        ranks = torch.linspace(self.largest, self.least, 4).round().long()
        order = torch.randperm(4, generator=torch_rng(SEED, "server"))
        head = {name: self.hand.start[name] for name in HEAD}
        return {**adapters(rank=self.largest), **head, RANKS: ranks[order]}

    def truncated(self, theta, rank):
        cut = {n: t[:rank] for n, t in theta.items() if n.endswith(".A")}
        return theta | cut | {n: t[:, :rank] for n, t in theta.items() if n.endswith(".B")}

    def tail(self, theta, begin):
        """(A', B') of each layer: what lies beyond the ranks that pruning would leave."""
        return {n: (theta[f"{n}.lora.A"][begin:], theta[f"{n}.lora.B"][:, begin:]) for n in QKV}

    def product(self, theta, begin):
        return sum(a.norm() * b.norm() for a, b in self.tail(theta, begin).values())

    def local(self, number, c, server, own):
        server, ranks = {n: t for n, t in server.items() if n != RANKS}, server[RANKS]
        rank = int(ranks[c])
        begin = max(self.least, int(self.gamma * rank))
        before = theta = self.truncated(server, rank)
        for batch in self.hand.batches(number, c):
            g = gradient(self.hand, theta, batch, rank=self.largest)
            for layer, (a, b) in self.tail(theta, begin).items():
                if b.norm() > 0:  # ∂‖B'‖ at zero is taken to be zero
                    g[f"{layer}.lora.A"][begin:] += self.lam * b.norm() * a / a.norm()
                    g[f"{layer}.lora.B"][:, begin:] += self.lam * a.norm() * b / b.norm()
            theta = {n: t - LR * g[n] for n, t in theta.items()}
        if self.product(theta, begin) < self.product(before, begin):
            theta = self.truncated(theta, begin)
        return theta, own

    def combine(self, server, uploads, n):
        """Σ_k ‖B_k·A_k‖·θ_k / Σ_k ‖B_k·A_k‖, where what a client lacks is zero."""
        ranks, norms, total = server[RANKS].clone(), {}, {}
        for c, theta in uploads.items():
            products = [theta[f"{n}.lora.B"] @ theta[f"{n}.lora.A"] for n in QKV]
            norms[c] = torch.cat([p.flatten() for p in products]).norm()
            ranks[c] = len(theta[names("A")[0]])
        for name, tensor in server.items():
            if name != RANKS:
                total[name] = torch.zeros_like(tensor)
                for c, theta in uploads.items():
                    rows, *columns = theta[name].shape
                    part = total[name][(slice(rows), *map(slice, columns))]
                    part += norms[c] / sum(norms.values()) * theta[name]
        return {**total, RANKS: ranks}


def test_hetlora_truncates_prunes_and_weighs_by_norms(hand):
    """See :class:`Heterogeneous`; λ is so large that a client prunes in the second round."""
    paper = Heterogeneous(hand, largest=6, least=2, gamma=0.5, lam=0.5)
    method = HetLoRA(lr=LR, alpha=ALPHA, rank=6, least=1 / 3, gamma=0.5, lam=0.5)
    start = paper.server()
    assert len(set(start[RANKS].tolist())) == 4

    def predict(number, c, server, own):
        rank = int(server[RANKS][c])
        return paper.truncated({n: t for n, t in server.items() if n != RANKS}, rank)

    trial = hand.check(method, paper.local, start, {}, predict, combine=paper.combine)
    changed = (trial.server[RANKS] != start[RANKS]).nonzero().flatten().tolist()
    assert changed == [0], "one prunes, and client 3 does not"


def test_hetloras_small_ranks_cost_few_bytes(ground):
    trial = FederatedTrial(HetLoRA(lr=LR, rank=8, least=0.25), ground, SEED)
    ranks = trial.server[RANKS].tolist()
    assert sorted(ranks) == [2, 4, 6, 8]
    down = {rank: trial.method.download(trial.server, c) for c, rank in enumerate(ranks)}
    numbers = {rank: sum(t.numel() for t in sent.values()) for rank, sent in down.items()}
    head = 3 * 16 + 3
    assert numbers == {rank: 2 * rank * (16 + 48) + head for rank in ranks}
    sizes = [payload_bytes(down[rank]) for rank in sorted(ranks)]
    assert sizes == sorted(set(sizes))
    trial.step()
    sampled = [payload_bytes(down[ranks[c]]) for c in trial.sampled_clients(1)]
    assert trial.totals.down == sum(sampled)


def test_hetloras_clients_of_all_ranks_train_side_by_side(ground):
    """Filled up with zeros they are alike, and what is zero in both factors stays zero."""
    method = HetLoRA(lr=LR, rank=8, lam=0.3, gamma=0.5)
    alone, together = (
        FederatedTrial(method, ground, SEED, Compute(cohort=size)) for size in (1, 2)
    )
    for trial in (alone, together):
        trial.step(), trial.step()
    assert not together.hindrances
    for name, tensor in alone.server.items():
        torch.testing.assert_close(together.server[name], tensor, rtol=0, atol=1e-5)


def test_hetlora_of_equal_ranks_is_fedlora_where_one_client_trains(make_federation, differing):
    """Then neither weights nor shapes matter; without pruning and its pull nothing else does."""
    alone = well_conditioned(make_federation, sampled_clients=1)
    het = FederatedTrial(HetLoRA(**KNOBS, least=1.0, gamma=1.0, lam=0.0), alone, SEED)
    lora = FederatedTrial(FedLoRA(**KNOBS), alone, SEED)
    for trial in (het, lora):
        trial.step(), trial.step()
    server = {n: t for n, t in het.server.items() if n != RANKS}
    assert not differing(server, lora.server)


# Two adapters


class Dual:
    """FedDPA-T on plain tensors: two merged adapters, and what images are compared with."""

    def __init__(self, hand, share, lam, references, head=()):
        self.hand, self.share, self.lam, self.references = hand, share, lam, references
        self.mine = (*names("A", "own"), *names("B", "own"), *head)

    def start(self):
        server, own = divided(start_of(self.hand, "lora", "own"), self.mine)
        return server, {**own, "reference": torch.zeros(16)}

    def features(self, theta, indices, weights):
        model = copy.deepcopy(self.hand.model).eval()
        model.load_state_dict(self.hand.start | merged(self.hand, theta, weights))
        with torch.no_grad():
            images, _ = read(self.hand, indices)
            return model.forward_head(model.forward_features(images), pre_logits=True)

    def local(self, number, c, server, own):
        theta = {**server, **own}
        theta.pop("reference")
        mixed = {"lora": 1 - self.share, "own": self.share}
        theta = descended(self.hand, theta, number, c, self.mine, mixed)
        theta = descended(self.hand, theta, number, c, server, {"lora": 1.0})
        all_images = self.hand.federation.clients[c].train
        draws = torch_rng(SEED, "training/draws", number, c)
        chosen = torch.randperm(len(all_images), generator=draws)[: self.references]
        found = self.features(theta, all_images[chosen], {"own": 1.0})
        unit = found / found.norm(dim=1, keepdim=True)
        shared, mine = divided(theta, self.mine)
        return shared, {**mine, "reference": self.lam * unit.mean(0)}


@pytest.mark.parametrize("head", ["shared", "personal"])
def test_feddpa_trains_the_personal_adapter_in_the_mixture_and_the_shared_one_alone(head, hand):
    paper = Dual(hand, share=0.8, lam=0.7, references=3, head=HEAD if head == "personal" else ())
    method = FedDPA(**KNOBS, head=head, share=0.8, lam=0.7, references=3)
    hand.check(method, paper.local, *paper.start())


def test_feddpa_mixes_the_adapters_for_each_image_by_its_features(hand):
    """s = (λ/S)·Σ cos(h(x), h(x_s)) with h of the personal adapter; logits of each s by hand."""
    paper = Dual(hand, share=0.5, lam=2.0, references=4)
    trial = FederatedTrial(FedDPA(**KNOBS, lam=2.0, references=4), hand.federation, SEED)
    images = hand.federation.clients[3].test
    theta = {**trial.server, **trial.personal[3]}
    rng = torch.Generator().manual_seed(0)
    for name in (*names("B"), *names("B", "own"), "reference"):
        theta[name] = torch.randn(theta[name].shape, generator=rng)
    found, _ = trial._trainer.answers(theta, images)
    kept = theta.pop("reference")
    h = paper.features(theta, images, {"own": 1.0})
    s = (h / h.norm(dim=1, keepdim=True)) @ kept
    assert s.std() > 1e-3, "all images are alike"
    for n, each in enumerate(s):
        pixels, _ = read(hand, images[n : n + 1])
        tensors = merged(hand, theta, {"lora": 1 - each, "own": each})
        expected = functional_call(hand.model, tensors, pixels)
        torch.testing.assert_close(found[n : n + 1], expected, rtol=0, atol=1e-5)


def test_feddpa_predicts_with_the_shared_adapter_where_a_client_has_not_trained(hand):
    trial = FederatedTrial(FedDPA(**KNOBS), hand.federation, SEED)
    trial.step(), trial.step()
    images = hand.federation.clients[2].test
    found, _ = trial._trainer.answers({**trial.server, **trial.personal[2]}, images)
    pixels, _ = read(hand, images)
    expected = functional_call(hand.model, merged(hand, trial.server), pixels)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.7])
def test_feddpas_shared_adapter_is_fedloras(share, ground):
    """Whatever the personal one does. One layer, so that both draw the same A for it."""
    first = {**KNOBS, "layers": "blocks.0.attn.qkv"}
    dual = FederatedTrial(FedDPA(**first, share=share), ground, SEED)
    lora = FederatedTrial(FedLoRA(**first), ground, SEED)
    for trial in (dual, lora):
        trial.step(), trial.step()
    for name, tensor in lora.server.items():
        torch.testing.assert_close(dual.server[name], tensor, rtol=0, atol=1e-6)


@pytest.mark.thorough
def test_feddpas_shares_reach_every_window_of_their_image(make_federation):
    """Where attention is within windows, those of all images are one long batch."""
    swin = TimmBackbone(model="swin_tiny_patch4_window7_224", image_size=32)
    trial = FederatedTrial(FedDPA(lr=LR, lam=2.0), make_federation(backbone=swin), SEED)
    rng = torch.Generator().manual_seed(0)
    state = {**trial.server, **trial.personal[0]}
    theta = {n: 0.3 * torch.randn(t.shape, generator=rng) for n, t in state.items()}
    images = torch.arange(4)
    together, _ = trial._trainer.answers(theta, images)
    alone = [trial._trainer.answers(theta, images[n : n + 1])[0] for n in range(4)]
    torch.testing.assert_close(together, torch.cat(alone), rtol=1e-4, atol=1e-4)
    theta["reference"] = torch.zeros_like(theta["reference"])
    shared, _ = trial._trainer.answers(theta, images)
    assert (together - shared).abs().max() > 0.01, "the shares do not matter"


def test_feddpa_needs_a_model_with_one_head():
    model = timm.create_model("deit_tiny_distilled_patch16_224", num_classes=3)
    with pytest.raises(UserError, match="several heads"):
        FedDPA().graft(model)


# Biases and prompts


@pytest.mark.parametrize("head", ["shared", "personal"])
def test_bitfit_trains_all_biases_and_the_head(head, hand):
    biases = tuple(n for n in ALL if n.endswith("bias") and n not in HEAD)
    assert len(biases) == 1 + 2 * 6 + 1
    theta = {n: hand.start[n] for n in (*biases, *HEAD)}
    mine = HEAD if head == "personal" else ()

    def local(number, c, u, v):
        tensors = {**hand.start, **u, **v}
        for batch in hand.batches(number, c):
            tensors = hand.step(tensors, batch, names=(*biases, *HEAD))
        return divided({n: tensors[n] for n in theta}, mine)

    hand.check(BitFit(lr=LR, head=head), local, *divided(theta, mine))


def test_bitfit_finds_biases_that_stand_beside_their_layer():
    model = timm.create_model("eva02_tiny_patch14_224", img_size=28, depth=1, num_classes=3)
    BitFit().graft(model)
    moving = {n for n, p in model.named_parameters() if p.requires_grad}
    assert {"blocks.0.attn.q_bias", "blocks.0.attn.v_bias", "blocks.0.mlp.fc1.bias"} <= moving
    assert moving - {*parts.head(model)} == {
        n for n in moving if n.endswith(("bias", "q_bias", "v_bias"))
    } - {*parts.head(model)}


@pytest.mark.parametrize("every_block", [False, True])
def test_fedprompt_averages_prompts_and_head(every_block, make_federation):
    federation = with_a_head(make_federation)
    method = FedPrompt(lr=LR, prompts=3, weight_decay=0.01, every_block=every_block)
    trial = FederatedTrial(method, federation, 0)
    found, expected = two_rounds(trial, (), prompted(federation.build_backbone(0)), LR, decay=0.01)
    assert {n.partition("/")[0] for n in found} == {"server"}
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-6)


def test_fedprompt_differs_from_fedvpt_in_the_role_of_the_head_alone(make_federation):
    """One client that trains alone cannot tell."""
    one = with_a_head(make_federation, [(22, 6, 5)])
    both = [FederatedTrial(m(lr=LR, prompts=3), one, 0) for m in (FedPrompt, FedVPT)]
    for trial in both:
        trial.step(), trial.step()
    prompt, vpt = ({**t.server, **t.personal[0]} for t in both)
    assert all(torch.equal(prompt[n], vpt[n]) for n in (*prompt, *vpt))
    assert set(both[0].server) - set(both[1].server) == set(HEAD)


# What travels


@pytest.mark.parametrize(
    ("cls", "numbers"),
    [
        (FedLoRA, 2 * RANK * (16 + 48) + 51),
        (FedSALoRA, 2 * RANK * 16),
        (FFALoRA, 2 * RANK * 48 + 51),
        (FedDPA, 2 * RANK * (16 + 48) + 51),
    ],
)
def test_what_a_client_sends(cls, numbers):
    subject = Subject(cls, cls.__name__, (("rank", RANK),))
    for sent in (s for of_round in straight(subject).sent for s in of_round):
        assert sum(t.numel() for t in sent.upload.values()) == numbers
        assert sent.upload.keys() == sent.down.keys()
