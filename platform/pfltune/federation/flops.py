"""Floating-point operations of a block of code."""

from collections.abc import Callable, Mapping
from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry


class FlopCounter(TorchDispatchMode):
    """Counts what runs in its block with torch's own formulas.

    A multiplication with an addition counts as two; only matrix products, convolutions and
    attention are counted. It is :class:`torch.utils.flop_counter.FlopCounterMode` without its table
    of modules, for which that one hooks every module: a third of the time of a counted step.

    Attributes:
        total: what was counted so far.
    """

    supports_higher_order_operators = True

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: tuple[type, ...],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run one operation of torch, in its parts where only these have formulas."""
        given = kwargs or {}
        formula: Callable[..., int] | None = flop_registry.get(
            getattr(func, "_overloadpacket", func)
        )
        if formula is not None:
            out = func(*args, **given)
            self.total += formula(*args, **given, out_val=out)
            return out
        if hasattr(func, "decompose"):
            with self:
                parts = func.decompose(*args, **given)
            if parts is not NotImplemented:
                return parts
        return func(*args, **given)
