"""Why clients do not train at once: in words, with the calls that led there."""

import traceback
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from types import FrameType

from torch import nn

from pfltune.federation.roles import is_frozen
from pfltune.federation.work import Fit, Line
from pfltune.method import Tensors

OWN_LOOP = (
    "train() steps over work.batches() in a loop of its own, and only what goes through "
    "work.fit() is trained for several clients at once"
)
READ = (
    "the value of a tensor is read as a number (.item(), .tolist(), float(), int()), which differs "
    "between clients: go on with the tensor"
)
PICKED = (
    "elements are picked by their values (a mask in brackets, masked_select, nonzero), so that the "
    "shape of the result differs between clients: weigh them with torch.where or one_hot"
)
WRITTEN = "a tensor that all clients share is written to in place: make a new tensor instead"
CAUSES = {
    "data-dependent control flow": (
        "a Python if, while or bool() asks for the value of a tensor, which differs between "
        "clients: choose with torch.where"
    ),
    ".item()": READ,
    "Cannot access data pointer": READ,
    "dynamic shape": PICKED,
    "differently shaped": PICKED,
    "is data-dependent": PICKED,
    "random": (
        "random numbers are drawn inside the objective: draw them in train() from "
        "work.generator(), and hand them over in start or context"
    ),
    "inplace": WRITTEN,
    "is not possible because there exists a Tensor": WRITTEN,
}
"""What the errors of torch.vmap mean, by words in them."""


@dataclass(frozen=True)
class Hindrance:
    """One reason why clients of a trial were not trained at once.

    Attributes:
        words: what it is, and what would help.
        calls: the lines that were being executed, outermost first; none if it is the model's.
    """

    words: str
    calls: tuple[Line, ...] = ()

    def line_in(self, files: Collection[str]) -> Line | None:
        """The innermost of the calls that is in one of the files."""
        return next((line for line in reversed(self.calls) if line[0] in files), None)


def of_model(model: nn.Module) -> Hindrance | None:
    """What in a model keeps its clients from ending as they would one by one, if anything does.

    Dropout draws per call, and statistics of batches, which are written into buffers, would count
    the images that fill batches up.
    """
    for name, module in model.named_modules():
        if words := _obstacle(module):
            kind = type(module).__name__
            return Hindrance(f"the model's {name or 'root'} ({kind}) {words}")
    return None


def of_error(error: BaseException) -> Hindrance:
    """What an error says that was met when clients were stacked."""
    text = " ".join(str(error).split())
    words = next((told for sign, told in CAUSES.items() if sign in text), text[:200])
    frames = traceback.walk_tb(error.__traceback__)
    return Hindrance(words, tuple((f.f_code.co_filename, number) for f, number in frames))


def of_difference(first: Fit, other: Fit, frame: FrameType | None) -> Hindrance:
    """Why two clients' fits are not the same.

    Args:
        first, other: the fits.
        frame: where the client of ``other`` waits for its own.
    """
    return Hindrance(next(_differences(first, other)), calls_of(frame))


def calls_of(frame: FrameType | None) -> tuple[Line, ...]:
    """The lines that are being executed down to ``frame``, outermost first."""
    if frame is None:
        return ()
    found = [(f.f_code.co_filename, number) for f, number in traceback.walk_stack(frame)]
    return tuple(reversed(found))


def _obstacle(module: nn.Module) -> str:
    if getattr(module, "drop_prob", 0) or (
        isinstance(module, nn.modules.dropout._DropoutNd) and module.p
    ):
        return "draws at each call what it drops"
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        return "takes statistics over the images of a batch"
    if _keeps_buffers(module) and not is_frozen(module):
        return "keeps buffers that training may change"
    return ""


def _keeps_buffers(module: nn.Module) -> bool:
    """Whether buffers of its own are part of a state, as counts and running means are."""
    own = {name for name, _ in module.named_buffers(recurse=False)}
    return bool(own - module._non_persistent_buffers_set)


def _differences(a: Fit, b: Fit) -> Iterator[str]:
    if a.phases != b.phases:
        yield "clients ask fit() for different phases: take rates, epochs and steps from knobs only"
    if a.objective != b.objective:
        yield (
            "each client hands fit() an objective of its own (a lambda, a partial or a function "
            "made in train()): hand over a method of the class, and what differs in start or "
            "context"
        )
    for what, ours, theirs in (("start", a.start, b.start), ("context", a.context, b.context)):
        if names := _unlike(ours, theirs):
            yield f"clients hand fit() a {what} of different names or shapes: {names[0]}"


def _unlike(a: Tensors, b: Tensors) -> list[str]:
    return sorted(
        name
        for name in a.keys() | b.keys()
        if name not in a
        or name not in b
        or (a[name].shape, a[name].dtype) != (b[name].shape, b[name].dtype)
    )
