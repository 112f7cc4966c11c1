"""What tests of methods on vision transformers share: passes and rounds written out by hand.

Nothing here calls the engine or a method. Autograd is used for ∇loss alone.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from pfltune.randomness import torch_rng

HEAD = ("head.weight", "head.bias")


class Prompted(nn.Module):
    """A bare timm model whose blocks read tokens that are put together here.

    With one (K, l) tensor of prompts the first block reads [cls, prompts, patches], and the prompts
    go through all further blocks as tokens do. With one for each block, a block's own prompts stand
    where the previous block's output for its prompts stood.
    """

    def __init__(self, bare):
        super().__init__()
        self.bare = bare

    def forward(self, images, prompts):
        bare, count = self.bare, len(images)
        patches = bare.patch_embed(images) + bare.pos_embed[:, 1:]
        cls = (bare.cls_token + bare.pos_embed[:, :1]).expand(count, -1, -1)
        for number, block in enumerate(bare.blocks):
            if number < len(prompts):
                between = prompts[number].expand(count, -1, -1)
            x = block(torch.cat([cls, between, patches], dim=1))
            cls, between, patches = x.split([1, between.shape[1], patches.shape[1]], dim=1)
        return bare.head(bare.norm(cls[:, 0]))


def with_a_head(make_federation, *clients, **protocol):
    """The tiny federation with start weights whose head says something.

    timm's untrained head has logits close to zero, and next to no gradient reaches the prompts.
    """
    weights = make_federation().build_backbone(seed=0).state_dict()
    rng = torch.Generator().manual_seed(5)
    weights["head.weight"] = 0.5 * torch.randn(weights["head.weight"].shape, generator=rng)
    return make_federation(*clients, weights=weights, **protocol)


def well_conditioned(make_federation, *clients, **protocol):
    """The tiny federation with start weights at which every tensor matters, and none too much.

    As timm begins, next to no gradient passes the head, and the first normalisation of a class
    token that is almost zero magnifies every rounding a thousand times.
    """
    weights = make_federation().build_backbone(seed=0).state_dict()
    rng = torch.Generator().manual_seed(5)
    for name in ("cls_token", "pos_embed", "head.weight"):
        weights[name] = 0.5 * torch.randn(weights[name].shape, generator=rng)
    return make_federation(*clients, weights=weights, **protocol)


def prompted(bare):
    """``answer(tensors, images)`` are the logits; the tensors named …prompts are the prompts."""
    model = Prompted(bare.eval())

    def answer(tensors, images):
        prompts = [tensors[name] for name in sorted(tensors) if name.endswith("prompts")]
        own = {f"bare.{n}": t for n, t in tensors.items() if not n.endswith("prompts")}
        return functional_call(model, own, (images, prompts))

    return answer


def batches(federation, number, client, seed=0):
    """What the client reads in round ``number``: images in [-1, 1] and labels.

    The order of an epoch has the key (seed, "training/order", round, client, epoch).
    """
    data, mine = federation.dataset, federation.clients[client].train
    for epoch in range(federation.protocol.local_epochs):
        rng = torch_rng(seed, "training/order", number, client, epoch)
        order = mine[torch.randperm(len(mine), generator=rng)]
        for chosen in order.split(federation.protocol.batch_size):
            yield data.images[chosen].float() / 127.5 - 1, data.labels[chosen]


def gradients(loss, tensors):
    """∂loss/∂θ by name, for each θ in ``tensors``."""
    leaves = {name: tensor.detach().clone().requires_grad_() for name, tensor in tensors.items()}
    found = torch.autograd.grad(loss(leaves), list(leaves.values()))
    return dict(zip(leaves, found, strict=True))


def trained(federation, number, client, tensors, answer, lr, decay=0.0):
    """The client's tensors after its round: θ ← θ - lr·(∂loss/∂θ + decay·θ) for each batch."""
    for images, labels in batches(federation, number, client):

        def loss(t, images=images, labels=labels):
            return F.cross_entropy(answer(t, images), labels)

        g = gradients(loss, tensors)
        tensors = {name: t - lr * (g[name] + decay * t) for name, t in tensors.items()}
    return tensors


def averaged(federation, cohorts, start, personal, answer, lr, decay=0.0):
    """(server, clients) after rounds of averaging, in which the tensors named personal stay.

    All tensors begin as in ``start`` and all train. With n_c training samples on client c of the
    cohort, the server takes Σ_c n_c·θ_c / Σ_c n_c; clients outside the cohort stay as they are.
    """
    server = {name: t for name, t in start.items() if name not in personal}
    clients = [{name: start[name] for name in personal} for _ in federation.clients]
    for number, cohort in enumerate(cohorts, start=1):
        sizes = {c: len(federation.clients[c].train) for c in cohort}
        total = {name: torch.zeros_like(t) for name, t in server.items()}
        for c in cohort:
            new = trained(federation, number, c, server | clients[c], answer, lr, decay)
            clients[c] = {name: new[name] for name in personal}
            total = {name: t + sizes[c] * new[name] for name, t in total.items()}
        server = {name: t / sum(sizes.values()) for name, t in total.items()}
    return server, clients


def two_rounds(trial, personal, answer, lr, decay=0.0):
    """Advance the trial by two rounds; returns what it ends with and what :func:`averaged` says.

    Both are dictionaries of the server's and all clients' tensors. Asserts that the cohorts tell
    something: sizes differ, one client is in both and one is not, and training moves the tensors.
    """
    start, federation = {**trial.server, **trial.personal[0]}, trial.federation
    cohorts = [trial.sampled_clients(number) for number in (1, 2)]
    assert set(cohorts[0]) & set(cohorts[1]), "no client takes part twice"
    assert set(cohorts[0]) ^ set(cohorts[1]), "all clients take part twice"
    expected = flat(*averaged(federation, cohorts, start, personal, answer, lr, decay))
    before = flat(trial.server, trial.personal)
    trial.step(), trial.step()
    found = flat(trial.server, trial.personal)
    assert max((found[n] - before[n]).abs().max() for n in before) > 0.01, "hardly trained"
    return found, expected


def flat(server, clients):
    """The server's tensors and the clients' in one dictionary."""
    mine = {f"client{c}/{name}": t for c, own in enumerate(clients) for name, t in own.items()}
    return {f"server/{name}": t for name, t in server.items()} | mine


def assert_same(found, expected, atol=1e-6):
    """Both have the same names, and values that differ by no more than ``atol``."""
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(
            found[name], tensor, rtol=0, atol=atol, msg=lambda text, name=name: f"{name}: {text}"
        )
