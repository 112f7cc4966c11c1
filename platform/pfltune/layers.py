"""The kinds of layers of a vision transformer that are kept personal in turn, and their words."""

from collections.abc import Mapping

HEAD = "head"
LAYERS: Mapping[str, str] = {
    HEAD: "head",
    "patch_embed": "patch embedding",
    "pos_embed": "position embedding",
    "norm": "normalisation",
    "attn": "self-attention",
    "mlp": "MLP",
}
"""By the name that FedSim's ``personal`` has for them."""
PERSONAL = (
    "all",
    "none",
    HEAD,
    *(part for kind in LAYERS if kind != HEAD for part in (kind, f"{kind},{HEAD}")),
)
"""What a sensitivity study keeps personal: everything, nothing, the head, and each other kind
alone and with the head."""
