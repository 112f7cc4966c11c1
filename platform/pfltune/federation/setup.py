"""A method on a backbone before the first round: the grafted model, its roles, the first states."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import nn

from pfltune.errors import UserError
from pfltune.federation.roles import Roles, roles_of, tensors_of
from pfltune.federation.states import see_names
from pfltune.method import Method, Optimizer, Start, Tensors
from pfltune.randomness import isolated, torch_rng


@dataclass(frozen=True)
class Setup:
    """Where a method begins.

    Attributes:
        model: the grafted backbone on the device.
        roles: its division into shared, personal and frozen.
        server: the server's first state.
        server_of: the same with so many clients.
        first_state: makes the first personal state of a client, the same at every call.
    """

    model: nn.Module
    roles: Roles
    server: Tensors
    server_of: Callable[[int], Tensors]
    first_state: Callable[[int], Tensors]


def set_up(
    method: Method, model: nn.Module, clients: int, seed: int, device: torch.device
) -> Setup:
    """Graft ``model``, in place, and make the first states.

    Raises:
        UserError: the method does not fit the backbone, trains a part without parameters, or keeps
            something under a name of the channel's.
    """
    with isolated(seed, "graft"):
        method.graft(model)
    roles = roles_of(method, model)
    model.to(device)
    start = Start(
        shared=tensors_of(model, roles.shared),
        personal=tensors_of(model, roles.personal),
        clients=clients,
        rng=torch_rng(seed, "server"),
        trainable=roles.trainable,
        model=model,
    )

    def server_of(number: int) -> Tensors:
        own = replace(start, clients=number, rng=torch_rng(seed, "server"))
        return method.init_server(own)

    def first_state(client: int) -> Tensors:
        own = replace(start, rng=torch_rng(seed, "client", client))
        made = method.init_client(own, client)
        see_names(made)
        return made

    _check_phases(method, roles, first_state(0))
    return Setup(model, roles, server_of(clients), server_of, first_state)


def check_optimizer(method: Method, scenarios: Optimizer) -> None:
    """See that a method that needs plain SGD gets it.

    Args:
        method: the method.
        scenarios: the optimizer of phases that name none.

    Raises:
        UserError: it does not.
    """
    for phase in method.phases() if method.needs_plain_sgd else ():
        used = phase.optimizer or scenarios
        if not used.is_plain:
            told = used.kind if used.kind != "sgd" else f"momentum={used.momentum}"
            raise UserError(
                f"{type(method).__name__} reads gradients off the steps of plain SGD, and "
                f"protocol.optimizer says {told}; possible: kind=sgd with momentum=0"
            )


def _check_phases(method: Method, roles: Roles, personal: Tensors) -> None:
    """See that every phase has something to train, be it what a method keeps beside the model."""
    beside = [n for n, t in personal.items() if n not in roles.names and t.is_floating_point()]
    for phase in (*method.phases(), *method.adapt()):
        if not roles.part(phase.part) and not (beside and phase.part != "shared"):
            raise UserError(
                f"{type(method).__name__} trains its {phase.part} part, which has no parameters"
            )
