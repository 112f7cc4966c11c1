"""Fair tuning and comparison of personalized federated-learning methods on vision transformers.

The public names are imported when they are first used, so that ``import pfltune`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pfltune.backbones.base import Backbone as Backbone
    from pfltune.data.partitions.base import Partition as Partition
    from pfltune.data.settings import DataSource as DataSource
    from pfltune.data.source import Chunk as Chunk
    from pfltune.data.source import Decoded as Decoded
    from pfltune.errors import UserError as UserError
    from pfltune.federation.sampling import Sampler as Sampler
    from pfltune.federation.sampling import Sampling as Sampling
    from pfltune.federation.trial import FederatedTrial as FederatedTrial
    from pfltune.knobs import knob as knob
    from pfltune.method import Method as Method
    from pfltune.method import Phase as Phase
    from pfltune.method import Update as Update
    from pfltune.registry import available_methods as available_methods
    from pfltune.registry import make_method as make_method
    from pfltune.scenario import load_scenario as load_scenario

_HOME = {
    "Backbone": "pfltune.backbones.base",
    "Chunk": "pfltune.data.source",
    "DataSource": "pfltune.data.settings",
    "Decoded": "pfltune.data.source",
    "FederatedTrial": "pfltune.federation.trial",
    "Method": "pfltune.method",
    "Partition": "pfltune.data.partitions.base",
    "Phase": "pfltune.method",
    "Sampler": "pfltune.federation.sampling",
    "Sampling": "pfltune.federation.sampling",
    "Update": "pfltune.method",
    "UserError": "pfltune.errors",
    "available_methods": "pfltune.registry",
    "knob": "pfltune.knobs",
    "load_scenario": "pfltune.scenario",
    "make_method": "pfltune.registry",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pfltune' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
