"""SGD of a method's own, where its public code says more than the rate."""

from pfltune.method import Optimizer


def own_sgd(momentum: float) -> Optimizer | None:
    """SGD with a momentum; without one the optimizer is the scenario's."""
    return Optimizer(momentum=momentum) if momentum else None
