"""Fair tuning and comparison of personalized federated-learning methods on vision transformers.

The public names are imported when they are first used, so that ``import pfltune`` costs nothing.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pfltune.api import certify as certify
    from pfltune.api import claim as claim
    from pfltune.api import compare as compare
    from pfltune.api import export as export
    from pfltune.api import export_tensorboard as export_tensorboard
    from pfltune.api import extend as extend
    from pfltune.api import grid as grid
    from pfltune.api import load_results as load_results
    from pfltune.api import sensitivity as sensitivity
    from pfltune.api import sweep as sweep
    from pfltune.api import tune as tune
    from pfltune.api import verify as verify
    from pfltune.audit.verify import Verdict as Verdict
    from pfltune.backbones.base import Backbone as Backbone
    from pfltune.data.partitions.base import Partition as Partition
    from pfltune.data.settings import DataSource as DataSource
    from pfltune.data.source import Chunk as Chunk
    from pfltune.data.source import Decoded as Decoded
    from pfltune.errors import Halted as Halted
    from pfltune.errors import TrackingError as TrackingError
    from pfltune.errors import UserError as UserError
    from pfltune.federation.sampling import Sampler as Sampler
    from pfltune.federation.sampling import Sampling as Sampling
    from pfltune.federation.trial import FederatedTrial as FederatedTrial
    from pfltune.figures import of_method as of_method
    from pfltune.knobs import knob as knob
    from pfltune.method import Method as Method
    from pfltune.method import Phase as Phase
    from pfltune.method import Update as Update
    from pfltune.metrics import Metric as Metric
    from pfltune.model_api import evaluate_model as evaluate_model
    from pfltune.model_api import export_model as export_model
    from pfltune.model_api import load_model as load_model
    from pfltune.models.loaded import LoadedModel as LoadedModel
    from pfltune.models.loaded import Predictions as Predictions
    from pfltune.registry import available_methods as available_methods
    from pfltune.registry import make_method as make_method
    from pfltune.report.claims.notebook import ClaimResults as ClaimResults
    from pfltune.report.draws_notebook import DrawsResults as DrawsResults
    from pfltune.report.grid_results import GridResults as GridResults
    from pfltune.report.notebook import Results as Results
    from pfltune.report.notebook import SensitivityResults as SensitivityResults
    from pfltune.report.notebook import SweepResults as SweepResults
    from pfltune.report.tuning.notebook import TuneResults as TuneResults
    from pfltune.scenario import Scenario as Scenario
    from pfltune.scenario import load_scenario as load_scenario
    from pfltune.wraps.base import Wrap as Wrap

_HOME = {
    "Backbone": "pfltune.backbones.base",
    "Chunk": "pfltune.data.source",
    "ClaimResults": "pfltune.report.claims.notebook",
    "DataSource": "pfltune.data.settings",
    "Decoded": "pfltune.data.source",
    "DrawsResults": "pfltune.report.draws_notebook",
    "FederatedTrial": "pfltune.federation.trial",
    "GridResults": "pfltune.report.grid_results",
    "Halted": "pfltune.errors",
    "LoadedModel": "pfltune.models.loaded",
    "Method": "pfltune.method",
    "Metric": "pfltune.metrics",
    "Partition": "pfltune.data.partitions.base",
    "Phase": "pfltune.method",
    "Predictions": "pfltune.models.loaded",
    "Results": "pfltune.report.notebook",
    "Sampler": "pfltune.federation.sampling",
    "Sampling": "pfltune.federation.sampling",
    "Scenario": "pfltune.scenario",
    "SensitivityResults": "pfltune.report.notebook",
    "SweepResults": "pfltune.report.notebook",
    "TrackingError": "pfltune.errors",
    "TuneResults": "pfltune.report.tuning.notebook",
    "Update": "pfltune.method",
    "UserError": "pfltune.errors",
    "Verdict": "pfltune.audit.verify",
    "Wrap": "pfltune.wraps.base",
    "available_methods": "pfltune.registry",
    "certify": "pfltune.api",
    "claim": "pfltune.api",
    "compare": "pfltune.api",
    "evaluate_model": "pfltune.model_api",
    "export": "pfltune.api",
    "export_tensorboard": "pfltune.api",
    "export_model": "pfltune.model_api",
    "extend": "pfltune.api",
    "grid": "pfltune.api",
    "knob": "pfltune.knobs",
    "load_model": "pfltune.model_api",
    "load_results": "pfltune.api",
    "load_scenario": "pfltune.scenario",
    "make_method": "pfltune.registry",
    "of_method": "pfltune.figures",
    "sensitivity": "pfltune.api",
    "sweep": "pfltune.api",
    "tune": "pfltune.api",
    "verify": "pfltune.api",
}
__all__ = list(_HOME)


# MLflow reports its use to its makers, and asks once, whenever it is first imported.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'pfltune' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
