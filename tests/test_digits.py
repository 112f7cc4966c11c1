"""What methods reach on real images: the scenario `digits` as it is shipped."""

import pytest
import torch

from pfltune.federation.trial import FederatedTrial
from pfltune.methods.fedzo import FedZO
from pfltune.scenario import load_scenario

pytestmark = pytest.mark.slow


def test_fedzo_learns_clearly_beyond_its_untrained_start():
    torch.set_num_threads(1)
    trial = FederatedTrial(FedZO(), load_scenario("digits").build(), seed=0)
    untrained = trial.evaluate()
    list(trial.run())
    for part in ("val", "test"):
        before, after = (getattr(e, part) for e in (untrained, trial.selection.evaluation))
        assert sum(after) / len(after) > sum(before) / len(before) + 0.05
