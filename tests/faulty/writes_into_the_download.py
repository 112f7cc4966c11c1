from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It changes what it was sent."""

    def train(self, work, down, personal):  # here
        for tensor in down.values():
            tensor.mul_(0.99)
        return super().train(work, down, personal)
