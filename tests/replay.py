"""Rounds written out by hand, against which methods are replayed; see test_fidelity.py.

In the docstrings f_c(θ; B) is the mean cross-entropy of the model with tensors θ on batch B of
client c, n_c the number of its training samples, η the learning rate. Autograd gives ∇f_c alone.
"""

import torch
import torch.nn.functional as F
from byhand import HEAD, assert_same, flat, gradients
from torch.func import functional_call

from pfltune.federation.trial import FederatedTrial
from pfltune.randomness import torch_rng

LR = 0.1
SEED = 3  # client 3 takes part in both rounds, client 2 in none
TOLERANCE, MOVED = 1e-6, 1e-4


def both(*layers):
    return tuple(f"{layer}.{kind}" for layer in layers for kind in ("weight", "bias"))


ATTN = both("blocks.0.attn.qkv", "blocks.0.attn.proj", "blocks.1.attn.qkv", "blocks.1.attn.proj")
MLP = both("blocks.0.mlp.fc1", "blocks.0.mlp.fc2", "blocks.1.mlp.fc1", "blocks.1.mlp.fc2")
NORM = both("blocks.0.norm1", "blocks.0.norm2", "blocks.1.norm1", "blocks.1.norm2", "norm")
ALL = ("cls_token", "pos_embed", *both("patch_embed.proj"), *ATTN, *MLP, *NORM, *HEAD)


class ByHand:
    """What the papers presuppose, on the tiny federation: batches, ∇f_c, rounds, the mean."""

    def __init__(self, federation):
        self.federation = federation
        self.model = federation.build_backbone(SEED)
        self.start = {name: t.clone() for name, t in self.model.state_dict().items()}

    def batches(self, number, client, epochs=None, *, purpose="training", stream=()):
        """The sample indices of each step of the client in round ``number``, epoch after epoch.

        The order of an epoch has the key (seed, purpose/order, round, client, epoch[, stream]).
        """
        mine, protocol = self.federation.clients[client].train, self.federation.protocol
        for epoch in range(protocol.local_epochs) if epochs is None else epochs:
            rng = torch_rng(SEED, f"{purpose}/order", number, client, epoch, *stream)
            yield from mine[torch.randperm(len(mine), generator=rng)].split(protocol.batch_size)

    def gradient(self, theta, batch):
        """∇f_c(θ; B) by name."""
        data = self.federation.dataset
        images, labels = data.images[batch].float() / 127.5 - 1, data.labels[batch]
        return gradients(
            lambda t: F.cross_entropy(functional_call(self.model, t, (images,)), labels), theta
        )

    def step(self, theta, batch, names=ALL, lr=LR):
        """θ ← θ - η·∇f_c(θ; B) for the tensors in ``names``; the others stay."""
        g = self.gradient(theta, batch)
        return {n: t - lr * g[n] if n in names else t for n, t in theta.items()}

    def rounds(self, cohorts, server, own, local, predict, combine):
        """(server, clients, predicting tensors) after the rounds of ``cohorts``.

        ``local(round, client, server, own)`` gives what a client uploads and what it keeps;
        ``combine(server, uploads, n)`` what the server makes of them, see :func:`mean`. Clients
        outside the cohort stay as they are.
        """
        clients, predicting = [own for _ in self.federation.clients], {}
        for number, cohort in enumerate(cohorts, start=1):
            n = {c: len(self.federation.clients[c].train) for c in cohort}
            back = {c: local(number, c, server, clients[c]) for c in cohort}
            server = combine(server, {c: back[c][0] for c in cohort}, n)
            clients = [back[c][1] if c in cohort else kept for c, kept in enumerate(clients)]
            for c, kept in enumerate(clients):
                theta = predict(number, c, server, kept)
                predicting |= {f"round{number}/client{c}/{name}": t for name, t in theta.items()}
        return server, clients, predicting

    def check(
        self,
        method,
        local,
        server,
        own,
        predict=lambda _, c, u, v: {**u, **v},
        fixed=(),
        combine=None,
        least=MOVED,
        tolerance=TOLERANCE,
    ):
        """Two rounds of ``method`` equal those of ``local`` from the states ``server`` and ``own``.

        They may differ by ``tolerance``. All tensors move by ``least``, but for those ``fixed`` and
        those of a client that never takes part.
        """
        trial = FederatedTrial(method, self.federation, SEED)
        cohorts = [trial.sampled_clients(number) for number in (1, 2)]
        assert cohorts == [[1, 3], [0, 3]], "the seed was chosen for these"
        expected = self.rounds(cohorts, server, own, local, predict, combine or mean)
        predicting = spied(trial)
        before = flat(trial.server, trial.personal)
        trial.step(), trial.step()
        found = flat(trial.server, trial.personal)
        for name, tensor in found.items():
            still = name.startswith("client2/") or name.partition("/")[2] in fixed
            moved = (tensor - before[name]).abs().max()
            assert moved == 0 if still else moved > least, f"{name} moved by {moved}"
        assert_same(found, flat(*expected[:2]), tolerance)
        assert_same(predicting, expected[2], tolerance)
        return trial


def mean(server, uploads, n):
    """Σ_c n_c·upload_c / Σ_c n_c for each tensor of the server; ``uploads`` and ``n`` by client."""
    total = sum(n[c] for c in uploads)
    return {name: sum(n[c] * u[name] for c, u in uploads.items()) / total for name in server}


def spied(trial):
    """A dictionary that fills with the tensors with which each client predicts in each round."""
    seen, crew = {}, trial._crew

    def noting(make):
        def spy(work, *given):
            found = make(work, *given)
            client = f"round{work.round}/client{work.client}"
            seen.update({f"{client}/{name}": t.clone() for name, t in found.items()})
            return found

        return spy

    for name in ("model", "trained_model"):
        object.__setattr__(crew, name, noting(getattr(crew, name)))  # it is frozen
    return seen


def split(theta, mine):
    """The shared tensors u, and the personal tensors v, which ``mine`` names."""
    u = {name: t for name, t in theta.items() if name not in mine}
    return u, {name: theta[name] for name in theta if name in mine}


def furthest(a, b, names=ALL):
    """The largest difference between the tensors ``names`` of a and of b."""
    return max((a[name] - b[name]).abs().max() for name in names)
