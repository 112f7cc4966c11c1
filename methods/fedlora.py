"""Shared low-rank adapters on a frozen backbone."""

from dataclasses import dataclass

from ._lora import LoRA


@dataclass(frozen=True, kw_only=True)
class FedLoRA(LoRA):
    """FedLoRA, or FedIT (Zhang et al., ICASSP 2024, arXiv 2305.05644).

    LoRA under federated averaging: a client trains the factors A (r × in) and B (out × r) of every
    adapter, and the server averages each of them by itself. The mean of the products B·A is another
    matrix than the product of the means. FedIT tunes a language model, whose head exists before:
    here the head trains too, and is averaged or stays, as ``head`` says.
    """

    title = "FedLoRA"
