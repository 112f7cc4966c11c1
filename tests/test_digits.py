"""What methods reach on real images: the scenario `digits` as it is shipped."""

import numpy as np
import pytest
import torch

from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.fedperfix import FedPerfix
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


def test_bfloat16_reaches_what_float32_reaches():
    """Over five seeds the mean difference is less than what one seed differs from another."""
    torch.set_num_threads(1)
    federation = load_scenario("digits", ["protocol.rounds=3"]).build()

    def accuracy(seed, precision):
        trial = FederatedTrial(FedPerfix(), federation, seed, Compute(precision=precision))
        list(trial.run())
        return trial.selection.evaluation.metrics()["test/accuracy"]

    pairs = [[accuracy(seed, p) for p in ("float32", "bfloat16")] for seed in range(5)]
    full, half = np.array(pairs).T
    assert not np.array_equal(full, half), "both ran in the same precision"
    assert abs((half - full).mean()) < full.std(ddof=1)
    assert full.mean() > 0.6
