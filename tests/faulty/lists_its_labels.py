from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It goes through the labels in Python."""

    def objective(self, loss, params, context):
        found = loss.batch().outputs(params)
        first = [i for i, y in enumerate(found.labels.tolist()) if y == 0]  # here
        return loss(params) + 0.1 * found.features[first].square().sum()
