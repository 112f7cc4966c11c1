from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """A Python if on a tensor."""

    def objective(self, loss, params, context):
        value = loss(params)
        if value > 0.5:  # here
            return 2 * value
        return value
