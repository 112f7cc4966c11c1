from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It wants the positive logits alone."""

    def objective(self, loss, params, context):
        found = loss.batch().outputs(params)
        picked = found.logits.masked_select(found.logits > 0)  # here
        return loss(params) + 0.1 * picked.sum()
