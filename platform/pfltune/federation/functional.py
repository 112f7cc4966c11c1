"""A model as a function of its tensors."""

from collections.abc import Callable, Iterator, KeysView, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn

from pfltune import parts
from pfltune.method import Tensors


class FunctionalModel:
    """Calls a model with tensors that are handed in, in place of its own.

    What :func:`torch.func.functional_call` does, a tenth of a step faster on small models: where
    each name lives is looked up once, not at every call.

    Args:
        model: supplies the architecture, and the tensors that a call leaves out.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._places: dict[str, tuple[dict[str, Tensor | None], str]] = {}
        for name in model.state_dict():
            owner, _, key = name.rpartition(".")
            module = model.get_submodule(owner)
            store: dict = module._parameters if key in module._parameters else module._buffers
            self._places[name] = store, key

    @property
    def names(self) -> KeysView[str]:
        """Of the model's tensors."""
        return self._places.keys()

    def __call__(
        self, tensors: Tensors, x: Tensor, run: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """The model's answer; names that are not the model's mean nothing to it.

        Args:
            tensors: some of the model's, by name.
            x: what ``run`` reads.
            run: a part of the model; all of it, which reads images, if it is left out.
        """
        with self._holding(tensors):
            return (run or self.model)(x)

    @contextmanager
    def _holding(self, tensors: Tensors) -> Iterator[None]:
        """The model has these tensors inside the block."""
        places = [(*self._places[name], t) for name, t in tensors.items() if name in self._places]
        own = [store[key] for store, key, _ in places]
        for store, key, tensor in places:
            store[key] = tensor
        try:
            yield
        finally:
            for (store, key, _), before in zip(places, own, strict=True):
                store[key] = before

    def with_features(
        self, tensors: Tensors, x: Tensor, run: Callable[[Tensor], Tensor] | None = None
    ) -> tuple[Tensor, Tensor]:
        """The model's answer, and what its classification head reads, (batch, width).

        Raises:
            UserError: the model has no one such head.
        """
        read: list[Tensor] = []

        def hear(_: Any, args: tuple[Tensor, ...]) -> None:
            read.append(args[0])

        with parts.classifier(self.model).register_forward_pre_hook(hear):
            return self(tensors, x, run), read[-1]

    def listening(
        self, tensors: Tensors, x: Tensor, modules: Sequence[nn.Module]
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The model's answer, and what each of some modules is given.

        Before the module's own hooks; None for one that is not called once with one tensor alone.
        """
        heard: list[list[Tensor | None]] = [[] for _ in modules]

        def listener(calls: list[Tensor | None]) -> Callable[..., None]:
            return lambda _, args, named: calls.append(_only(args, named))

        with ExitStack() as stack:
            for module, calls in zip(modules, heard, strict=True):
                stack.enter_context(_before(module, listener(calls)))
            answer = self(tensors, x)
        return answer, [calls[0] if len(calls) == 1 else None for calls in heard]

    def given(self, module: nn.Module, tensors: Tensors, x: Tensor) -> Tensor:
        """What a module of the model is given first; nothing behind it is computed."""

        def stop(_: Any, args: tuple[Tensor, ...], _named: Any) -> None:
            raise _Reached(args[0])

        with _before(module, stop):
            try:
                self(tensors, x)
            except _Reached as reached:
                return reached.given
        raise RuntimeError(f"the model does not call its {type(module).__name__}")


class _Reached(Exception):
    """Ends a call of a model at one of its modules."""

    def __init__(self, given: Tensor) -> None:
        super().__init__()
        self.given = given


def _before(module: nn.Module, hook: Callable[..., None]) -> Any:
    """Calls ``hook`` with what the module is given, before hooks of its own can change it."""
    return module.register_forward_pre_hook(hook, prepend=True, with_kwargs=True)


def _only(args: tuple[Any, ...], named: dict[str, Any]) -> Tensor | None:
    return args[0] if len(args) == 1 and not named and isinstance(args[0], Tensor) else None
