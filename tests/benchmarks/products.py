"""The matrix products of a local step alone: what its precision can give at most."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from grounds import Case
from pairs import Pairs, alternately
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from pfltune.backbones import TimmBackbone

PRODUCTS = (torch.ops.aten.mm, torch.ops.aten.addmm)
Product = tuple[Tensor, Tensor]


class _Products(TorchDispatchMode):
    """Notes both factors of every product of matrices inside the block, as they lie in memory."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[Product] = []

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        if func.overloadpacket in PRODUCTS:
            self.made.append((args[-2].detach(), args[-1].detach()))
        return func(*args, **kwargs or {})


def halved(case: Case, repeats: int) -> Pairs:
    """The products of linear layers in a step of ``case``, in bfloat16 over float32.

    Those inside the attention, which float32 does in one kernel, are left out.
    """
    backbone = TimmBackbone.model_validate(case.backbone)
    model = backbone.create(case.classes, case.channels)
    side = backbone.image_size
    images = torch.randn(case.batch_size, case.channels, side, side)
    wide = _products_of(model, images)
    half = [(_halved(a), _halved(b)) for a, b in wide]
    return alternately(_multiplied(half), _multiplied(wide), repeats)


def _products_of(model: nn.Module, images: Tensor) -> list[Product]:
    with _Products() as products:
        loss = model(images).square().mean()
        torch.autograd.grad(loss, [*model.parameters()], allow_unused=True)
    return products.made


def _halved(factor: Tensor) -> Tensor:
    """A copy that lies in memory as it does, transposed where it is."""
    return factor.to(torch.bfloat16, memory_format=torch.preserve_format)


def _multiplied(products: list[Product]) -> Callable[[], None]:
    def call() -> None:
        for a, b in products:
            a @ b

    return call
