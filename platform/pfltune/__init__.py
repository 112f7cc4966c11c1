"""Fair tuning and comparison of personalized federated-learning methods on vision transformers.

The public names are imported when they are first used, so that ``import pfltune`` costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pfltune.errors import UserError as UserError
    from pfltune.federation.trial import FederatedTrial as FederatedTrial
    from pfltune.figures import of_method as of_method
    from pfltune.knobs import knob as knob
    from pfltune.method import Method as Method
    from pfltune.method import Phase as Phase
    from pfltune.method import Update as Update
    from pfltune.metrics import Metric as Metric
    from pfltune.registry import available_methods as available_methods
    from pfltune.registry import make_method as make_method
    from pfltune.scenario import load_scenario as load_scenario

_HOME = {
    "FederatedTrial": "pfltune.federation.trial",
    "Method": "pfltune.method",
    "Metric": "pfltune.metrics",
    "Phase": "pfltune.method",
    "Update": "pfltune.method",
    "UserError": "pfltune.errors",
    "available_methods": "pfltune.registry",
    "knob": "pfltune.knobs",
    "load_scenario": "pfltune.scenario",
    "make_method": "pfltune.registry",
    "of_method": "pfltune.figures",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pfltune' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
