from dataclasses import dataclass

from pfltune import Method

LAST = [0]


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its objective asks who was begun last."""

    def objective(self, loss, params, context):  # here
        return (1 + LAST[0]) * loss(params)

    def train(self, work, down, personal):
        LAST[0] = work.client
        return super().train(work, down, personal)
