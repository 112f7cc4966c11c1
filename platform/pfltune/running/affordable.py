"""Whether the budget of a trial holds one round of each method, seen before anything is trained."""

from collections.abc import Mapping, Sequence

from pfltune.errors import UserError
from pfltune.federation.federation import Federation, Rounds
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.trial_budget import TrialBudget
from pfltune.method import Method
from pfltune.registry import canonical, reference_title


def see_affordable(
    configured: Mapping[str, tuple[Method, Federation]], protocol: Rounds, seeds: Sequence[int]
) -> None:
    """See that a trial's budget holds a round of each method; what seconds hold, nobody knows.

    Args:
        configured: method and federation of the first trial, by the method's reference.
        protocol: of the scenario.
        seeds: that trials may have, on which it depends whose round the first one is.

    Raises:
        UserError: it does not, with what is needed.
    """
    budget = protocol.budget
    if budget is None or budget.kind == "seconds":
        return
    needed = {method: _needed(*what, seeds, budget) for method, what in configured.items()}
    lacking = [
        f"{reference_title(canonical(method))} ({budget.told(amount)})"
        for method, amount in needed.items()
        if amount > budget.amount
    ]
    if lacking:
        raise UserError(
            f"protocol.budget={budget} does not hold one round of {', '.join(lacking)}; give at "
            f"least {budget.told(max(needed.values()))}"
        )


def _needed(
    method: Method, federation: Federation, seeds: Sequence[int], budget: TrialBudget
) -> float:
    """What the first round of a trial with any of the seeds takes at the most.

    Of a budget that holds a round of the clients with the most samples, what that takes: then no
    seed needs to be looked at.
    """
    trial, samples = FederatedTrial(method, federation, seed=0), federation.train_samples
    largest = sorted(samples, key=lambda client: (-samples[client], client))
    most = trial.foreseen(largest[: federation.protocol.sampled_clients])
    whole = sum(each.of(budget.kind) for each in most.values())
    if whole <= budget.amount:
        return whole
    rounds = [federation.sampled_clients(1, seed) for seed in seeds]
    found = trial.foreseen(sorted({client for clients in rounds for client in clients}))
    return max(sum(found[client].of(budget.kind) for client in clients) for clients in rounds)
