from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its rows are as many as the labels say."""

    def objective(self, loss, params, context):
        found = loss.batch().outputs(params)
        rows = found.features.repeat_interleave(found.labels, 0)  # here
        return loss(params) + 0.1 * rows.square().sum()
