"""A shared and a personal low-rank adapter beside each layer, mixed for each image."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pfltune import parts
from pfltune.knobs import knob
from pfltune.method import LocalWork, Loss, Phase, Tensors, Update, moved

from ._lora import LoRA, chosen_layers

REFERENCE = "reference"
SHARED, OWN = ".lora.", ".own."


@dataclass(frozen=True, kw_only=True)
class FedDPA(LoRA):
    """FedDPA-T: dual personalizing adapters (Yang et al., NeurIPS 2024, arXiv 2403.19211).

    Each layer has a shared and a personal adapter: y = W·x + (1 − s)·Δ_shared(x) + s·Δ_own(x). In a
    round the personal one trains first, with s = ``share`` and the shared one as it came; then the
    shared one trains alone, and is averaged. To predict, s = λ·(mean cosine of the image's features
    to those of S training images) is found for each image, features of the personal adapter alone,
    so that what is unlike the client's own data is left to the shared one. That takes two passes.

    FedDPA-F, which fits the personal adapter once after the last round, is not here. The head
    trains with the adapter that has its role: with the shared one, or if it is personal with that.
    The public code draws the S images anew for each prediction; here a client draws them once in a
    round in which it trains, and keeps λ times the mean of their normalised features. It predicts
    with the shared adapter alone before that.
    """

    title = "FedDPA"

    share: float = knob(0.5, low=0.0, high=1.0, doc="s while the personal adapter trains")
    lam: float = knob(0.5, low=0.0, high=2.0, doc="factor λ of the cosines that make s")
    references: int = knob(5, low=1, high=256, log=True, doc="training images S to compare with")

    def personal_part(self, model: nn.Module) -> Iterable[str]:
        """Personal adapters, what images are compared with, and the head if it stays."""
        own = [name for name in model.state_dict() if OWN in name]
        return (*own, REFERENCE, *super().personal_part(model))

    def phases(self) -> tuple[Phase, ...]:
        """The personal adapter, then the shared one."""
        return (Phase("personal", self.lr), Phase("shared", self.lr))

    def train(self, work: LocalWork, down: Tensors, personal: Tensors) -> Update:
        """Both adapters, one after the other, and features to compare with."""
        own, shared = self.phases()
        tensors = work.fit({**down, **personal}, (own,))
        tensors = work.fit(tensors, (shared,), self.objective)
        tensors[REFERENCE] = self._reference(work, tensors)
        return Update(
            upload={name: tensors[name] for name in down},
            personal={name: tensors[name] for name in personal},
            weight=work.samples,
        )

    def objective(self, loss: Loss, params: Tensors, context: Tensors) -> Tensor:
        """The loss of the shared adapter alone: with both alike, s does not matter."""
        return loss({**params, **_renamed(params, SHARED, OWN)})

    def _reference(self, work: LocalWork, tensors: Tensors) -> Tensor:
        """λ times the mean of the normalised features of S training images."""
        features = work.outputs({**tensors, **_renamed(tensors, OWN, SHARED)}).features
        chosen = torch.randperm(work.samples, generator=work.generator())[: self.references]
        return self.lam * F.normalize(features[moved(chosen, features.device)]).mean(dim=0)

    def _tuned(self, model: nn.Module) -> Iterable[str]:
        # Beside it the model's own tensors are frozen: with it, the model is told that it trains.
        width: Any = parts.classifier(model).in_features
        model.register_parameter(REFERENCE, nn.Parameter(torch.zeros(width)))
        mixer, layers = _Mixer(self.share), chosen_layers(model, self.layers)
        for layer in layers.values():
            layer.add_module("lora", self._adapter(layer))
            layer.add_module("own", self._adapter(layer))
            layer.register_forward_hook(mixer.add)
        parts.classifier(model).register_forward_pre_hook(mixer.hear)
        model.register_forward_pre_hook(mixer.begin)
        model.register_forward_hook(mixer.look_again)
        tuned = [f"{n}{kind}{f}" for n in layers for kind in (SHARED, OWN) for f in "AB"]
        return (*tuned, REFERENCE)


class _Mixer:
    """Mixes the adapters of a model.

    Args:
        share: s in training.

    Attributes:
        now: s of the present pass, one for all images or one each.
        heard: what the head was given in it.
    """

    def __init__(self, share: float) -> None:
        self.share = share
        self.now: float | Tensor = share
        self.heard = torch.empty(0)

    def begin(self, model: nn.Module, _: tuple[Tensor, ...]) -> None:
        """A prediction begins with the personal adapter alone."""
        self.now = self.share if model.training else 1.0

    def add(self, layer: Any, args: tuple[Tensor, ...], output: Tensor) -> Tensor:
        """What a layer says with both adapters."""
        shared, own = layer.lora(args[0]), layer.own(args[0])
        return output + torch.lerp(shared, own, self._share(own))

    def hear(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        """What the head is given."""
        self.heard = args[0]

    def look_again(self, model: Any, args: tuple[Tensor, ...], answer: Tensor) -> Tensor:
        """The answer with s as each image's features say."""
        if model.training:
            return answer
        self.now = F.normalize(self.heard, dim=-1) @ model.reference
        return model.forward(*args)

    def _share(self, like: Tensor) -> Any:
        if isinstance(self.now, float):
            return self.now
        # ``len`` would be a fixed number in an exported graph, and so the size of its batches.
        windows = like.shape[0] // self.now.shape[0]  # of an image
        each = self.now.repeat_interleave(windows)
        return each.to(like.dtype).reshape(-1, *[1] * (like.dim() - 1))


def _renamed(tensors: Tensors, old: str, new: str) -> Tensors:
    return {name.replace(old, new): value for name, value in tensors.items() if old in name}
