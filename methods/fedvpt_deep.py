"""Shared prompts at every block of a frozen backbone."""

from dataclasses import dataclass

from .fedvpt import FedVPT


@dataclass(frozen=True, kw_only=True)
class FedVPTDeep(FedVPT):
    """FedVPT-D, a baseline of pFedPG (Yang et al., ICCV 2023, arXiv 2308.15367).

    FedVPT with K prompts of its own in front of every block. Bytes each way: blocks·K·l floats.
    """

    title = "FedVPT-D"
    deep = True
