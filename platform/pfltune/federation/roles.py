"""Which tensors of a grafted model are shared, personal or frozen."""

from dataclasses import dataclass
from functools import cached_property

from torch import nn

from pfltune.errors import UserError, unknown
from pfltune.method import Method, Tensors


@dataclass(frozen=True)
class Roles:
    """The names in ``model.state_dict()``, divided into three.

    Attributes:
        shared: travels each round.
        personal: stays on the client.
        frozen: moves nowhere; broadcast once.
        trainable: the parameters among ``shared`` and ``personal``; the rest there are buffers.
    """

    shared: tuple[str, ...]
    personal: tuple[str, ...]
    frozen: tuple[str, ...]
    trainable: frozenset[str]

    @cached_property
    def names(self) -> frozenset[str]:
        """All of them."""
        return frozenset((*self.shared, *self.personal, *self.frozen))

    def part(self, which: str) -> tuple[str, ...]:
        """The trainable names of ``shared``, ``personal`` or ``all``."""
        names = {"shared": self.shared, "personal": self.personal}
        chosen = names.get(which, (*self.shared, *self.personal))
        return tuple(name for name in chosen if name in self.trainable)


def roles_of(method: Method, model: nn.Module) -> Roles:
    """Divide the tensors of a grafted ``model`` as ``method`` says.

    A parameter that requires no gradient is frozen, and so are the buffers of a module whose own
    parameters are all frozen; what ``method.personal_part`` names is personal; the rest is shared.

    Raises:
        UserError: a personal name that the model lacks, or that is frozen; the real ones are given.
            A parameter that two layers share.
    """
    parameters = dict(model.named_parameters())
    tied = dict(model.named_parameters(remove_duplicate=False)).keys() - parameters.keys()
    if tied:
        raise UserError(f"{type(model).__name__} uses one parameter twice: {sorted(tied)}")
    frozen_modules = {name for name, module in model.named_modules() if is_frozen(module)}
    frozen = {
        name
        for name in model.state_dict()
        if (name in parameters and not parameters[name].requires_grad)
        or (name not in parameters and name.rpartition(".")[0] in frozen_modules)
    }
    personal = set(method.personal_part(model))
    for name in sorted(personal):
        if name not in model.state_dict():
            raise unknown(f"personal tensor of {type(method).__name__}", name, model.state_dict())
        if name in frozen:
            raise UserError(f"{type(method).__name__} names the frozen tensor {name!r} as personal")
    moving = [name for name in model.state_dict() if name not in frozen]
    return Roles(
        shared=tuple(name for name in moving if name not in personal),
        personal=tuple(name for name in moving if name in personal),
        frozen=tuple(name for name in model.state_dict() if name in frozen),
        trainable=frozenset(moving) & frozenset(parameters),
    )


def is_frozen(module: nn.Module) -> bool:
    """Whether the module has parameters of its own and none of them requires a gradient."""
    own = list(module.parameters(recurse=False))
    return bool(own) and not any(p.requires_grad for p in own)


def tensors_of(model: nn.Module, names: tuple[str, ...]) -> Tensors:
    """Copies of the named tensors."""
    state = model.state_dict()
    return {name: state[name].detach().clone() for name in names}
