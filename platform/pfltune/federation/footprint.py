"""What of a method stays on a client, and what a client must be sent once."""

from dataclasses import replace

import torch
from torch import nn

from pfltune.federation.federation import Federation
from pfltune.federation.roles import Roles
from pfltune.federation.setup import set_up
from pfltune.method import Method, Tensors


def personal_parameters(method: Method, roles: Roles, down: Tensors, personal: Tensors) -> Tensors:
    """The personal tensors that a client's model consists of, or is made of.

    What else stays on a client, such as the state of an optimizer, is none of its parameters: the
    model that it predicts with does not depend on it.
    """
    own = {name: t for name, t in personal.items() if name in roles.names}
    leaves = {
        name: t.detach().requires_grad_()
        for name, t in personal.items()
        if name not in own and t.is_floating_point()
    }
    with torch.enable_grad():
        model = method.assemble(down, {**personal, **leaves})
        made = [t.sum() for n, t in model.items() if n in roles.names and t.requires_grad]
        if not made:
            return own
        slopes = torch.autograd.grad(made, list(leaves.values()), allow_unused=True)
    moving = zip(leaves, slopes, strict=True)
    return own | {name: personal[name] for name, slope in moving if slope is not None}


def sent_once(
    method: Method, federation: Federation, seed: int, model: nn.Module, roles: Roles
) -> Tensors:
    """The start tensors that do not travel in the rounds and that no seed makes again.

    Args:
        method: the method.
        federation: the federation.
        seed: the trial's.
        model: the grafted model as it began.
        roles: its division.
    """
    if federation.weights is None:
        return {}
    bare = replace(federation, weights=None).build_backbone(seed)
    made = set_up(method, bare, 1, seed, torch.device("cpu")).model.state_dict()
    began = model.state_dict()
    stays = (*roles.personal, *roles.frozen)
    return {n: began[n] for n in stays if not torch.equal(began[n].cpu(), made[n])}
