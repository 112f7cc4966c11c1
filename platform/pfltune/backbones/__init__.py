"""The models that clients train; a kind is a class with its settings."""

from typing import Annotated

from pfltune.backbones.base import Backbone as Backbone
from pfltune.backbones.vit import TimmBackbone as TimmBackbone
from pfltune.plugins import Seam, Section, at_hand, must_have_hooks

SEAM = Seam(
    "backbone", "pfltune.backbones", Backbone, at_hand({"timm": TimmBackbone}), must_have_hooks
)
AnyBackbone = Annotated[Backbone, Section(SEAM, default="timm")]
