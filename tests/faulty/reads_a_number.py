from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It makes a number of a tensor."""

    def objective(self, loss, params, context):
        value = loss(params)
        return value / max(1.0, value.item())  # here
