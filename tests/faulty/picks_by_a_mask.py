from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its mask depends on the data."""

    def objective(self, loss, params, context):
        bias = params["norm.bias"]
        return loss(params) + bias[bias > 0].sum()  # here
