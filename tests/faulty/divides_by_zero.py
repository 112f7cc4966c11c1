from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It raises."""

    def objective(self, loss, params, context):
        return loss(params) * (1 / 0)  # here
