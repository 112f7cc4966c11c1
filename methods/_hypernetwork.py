"""A network on the server that generates tensors for each client, and learns from their changes."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfltune.errors import UserError
from pfltune.knobs import knob
from pfltune.method import (
    LocalWork,
    Method,
    ServerWork,
    Start,
    Tensors,
    Update,
    found_under,
    not_under,
    put_under,
    weighted_mean,
)

OWN, BASE, LAYER, MOMENTUM = "hypernetwork.", "base.", "layer.", "momentum."
MOST = 2**28
"""Numbers in the last layer; a step of the server holds some six of it, 6 GB in float32."""


@dataclass(frozen=True, kw_only=True)
class Generated(Method):
    """What methods share whose server generates tensors of the model for each client.

    A vector v_i of each client passes linear layers with ReLU between them; of what comes out, f, a
    last layer makes all numbers at once: θ_i = θ_0 + W·f(v_i). Where they are more than ``chunk``,
    it makes them in pieces, W·f([v_i, c_j]), with a vector c_j for the j-th (chunked hypernetworks,
    von Oswald et al., ICLR 2020, arXiv 1906.00695). The bias θ_0 begins at the start weights and W
    at zero: every client begins with the model that the scenario says, pretrained or not.
    A client returns Δθ_i. The server takes one step of SGD along Σ α_i·(∂θ_i/∂φ)ᵀ(−Δθ_i) for all
    of its network φ, α_i the shares of the samples, and adds the mean change to what is not
    generated.
    """

    server_lr: float = knob(0.01, low=1e-4, high=1.0, log=True, doc="rate of the hypernetwork")
    server_momentum: float = knob(0.9, low=0.0, high=0.99, doc="momentum of the hypernetwork")
    server_decay: float = knob(1e-3, low=0.0, high=0.1, doc="L2 coefficient of the hypernetwork")
    embedding: int = knob(0, low=0, high=1024, doc="length of v_i; 0: 1 + a quarter of the clients")
    hidden: int = knob(100, low=1, high=1024, log=True, doc="width of the hidden layers")
    layers: int = knob(3, low=0, high=10, doc="hidden layers behind the first")
    chunk: int = knob(
        65_536, low=256, high=2**30, log=True, doc="numbers generated at once, at most"
    )

    def init_server(self, start: Start) -> Tensors:
        """The network, the momentum of its tensors, and what is not generated."""
        names = self._generated(start.model)
        chosen = {n: t for n, t in start.moving().items() if names is None or n in names}
        rest = {n: t for n, t in start.shared.items() if n not in chosen}
        network = put_under(OWN, self._network(chosen, start.clients, start.rng))
        moving = (
            {n: torch.zeros_like(t) for n, t in network.items()} if self.server_momentum else {}
        )
        return {**rest, **network, **put_under(MOMENTUM, moving)}

    def download(self, server: Tensors, client: int) -> Tensors:
        """What is generated for this client, and what all have in common."""
        return {**_common(server), **generated(found_under(OWN, server), client)}

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Local training as ever; the changes go up."""
        update = super().train(work, down, personal)
        changes = {name: new - down[name] for name, new in update.upload.items()}
        return replace(update, upload=changes, change=True)

    def aggregate(self, server: Tensors, uploads: Iterable[Update], work: ServerWork) -> Tensors:
        """One step of the network by the chain rule; the mean change on what is not generated."""
        common, network = _common(server), found_under(OWN, server)
        leaves = {name: t.detach().requires_grad_() for name, t in network.items()}
        weights: list[float] = []
        unchanged = {name: torch.zeros_like(t) for name, t in common.items()}
        mean = weighted_mean(_learned_from(uploads, leaves, weights), otherwise=unchanged)
        if not sum(weights):
            return server
        following = {name: t + mean[name] for name, t in common.items()}
        for name, leaf in leaves.items():
            old, slope = leaf.detach(), torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
            step = slope / sum(weights) + self.server_decay * old
            if self.server_momentum:
                step += self.server_momentum * server[MOMENTUM + OWN + name]
                following[MOMENTUM + OWN + name] = step
            following[OWN + name] = old - self.server_lr * step
        return following

    def _generated(self, model: nn.Module) -> Collection[str] | None:
        """The names of what is generated, of all that travels and trains; None stands for all."""
        raise NotImplementedError

    def _network(self, base: Tensors, clients: int, rng: torch.Generator) -> Tensors:
        """Vectors from the standard normal, layers as PyTorch draws linear ones."""
        count = sum(t.numel() for t in base.values())
        size, length = min(self.chunk, count), self.embedding or 1 + clients // 4
        pieces = -(-count // size)
        _check_size(self.title, size, self.hidden, count)
        like = next(iter(base.values()))
        inputs = [length if pieces == 1 else 2 * length, *[self.hidden] * self.layers]

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=rng).to(like)

        def uniform(bound: float, *shape: int) -> Tensor:
            return ((2 * torch.rand(*shape, generator=rng) - 1) * bound).to(like)

        layers = {
            f"{LAYER}{number}.{kind}": uniform(width**-0.5, *shape)
            for number, width in enumerate(inputs)
            for kind, shape in (("weight", (self.hidden, width)), ("bias", (self.hidden,)))
        }
        return {
            "clients": normal(clients, length),
            **({"chunks": normal(pieces, length)} if pieces > 1 else {}),
            **layers,
            "out": like.new_zeros(size, self.hidden),
            **put_under(BASE, base),
        }


def generated(network: Tensors, client: int) -> Tensors:
    """θ_i by name: the base plus what the network says for the client's vector."""
    x = network["clients"][client].unsqueeze(0)
    if (chunks := network.get("chunks")) is not None:
        x = torch.cat([x.expand(len(chunks), -1), chunks], dim=1)
    for number in range(sum(name.endswith(".weight") for name in found_under(LAYER, network))):
        layer = f"{LAYER}{number}."
        x = F.linear(x.relu() if number else x, network[f"{layer}weight"], network[f"{layer}bias"])
    base = dict(sorted(found_under(BASE, network).items()))  # a checkpoint has an order of its own
    sizes = [t.numel() for t in base.values()]
    pieces = (x @ network["out"].T).flatten()[: sum(sizes)].split(sizes)
    return {n: t + piece.view_as(t) for (n, t), piece in zip(base.items(), pieces, strict=True)}


def _learned_from(
    uploads: Iterable[Update], leaves: Tensors, weights: list[float]
) -> Iterator[Update]:
    """Let each upload add (∂θ_i/∂φ)ᵀ(−Δθ_i), times its weight, to the leaves' gradients.

    Yields what is left of the uploads: the tensors that are not generated.
    """
    for update in uploads:
        with torch.enable_grad():
            made = generated(leaves, update.client)
            changes = [-update.weight * update.upload[name] for name in made]
            torch.autograd.backward(list(made.values()), changes)
        weights.append(update.weight)
        yield replace(update, upload={n: t for n, t in update.upload.items() if n not in made})


def _common(server: Tensors) -> Tensors:
    return not_under(MOMENTUM, not_under(OWN, server))


def _check_size(title: str, size: int, hidden: int, count: int) -> None:
    if size * hidden > MOST:
        raise UserError(
            f"{title} would generate {count:,} numbers by a last layer of {size:,} × {hidden:,}, "
            f"{4e-9 * size * hidden:.1f} GB; with hidden={hidden} set chunk to "
            f"{MOST // hidden} or less"
        )
