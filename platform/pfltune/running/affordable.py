"""Whether the budget of a trial holds one round of each method, seen before anything is trained."""

from collections.abc import Mapping

from pfltune.errors import UserError
from pfltune.federation.federation import Federation, Rounds
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method
from pfltune.registry import canonical, reference_title


def see_affordable(configured: Mapping[str, tuple[Method, Federation]], protocol: Rounds) -> None:
    """See that a trial's budget holds a round of each method; what seconds hold, nobody knows.

    Args:
        configured: method and federation of the first trial, by the method's reference.
        protocol: of the scenario.

    Raises:
        UserError: it does not, with the least that is needed.
    """
    budget = protocol.budget
    if budget is None or budget.kind == "seconds":
        return
    least = {
        method: FederatedTrial(*what, seed=0).foreseen().of(budget.kind)
        for method, what in configured.items()
    }
    lacking = [
        f"{reference_title(canonical(method))} ({budget.told(amount)})"
        for method, amount in least.items()
        if amount > budget.amount
    ]
    if lacking:
        raise UserError(
            f"protocol.budget={budget} does not hold one round of {', '.join(lacking)}; give at "
            f"least {budget.told(max(least.values()))}"
        )
