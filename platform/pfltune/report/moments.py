"""When trials are read: after a round, or where they have spent some share of their budget."""

from pfltune.federation.federation import Rounds


def after(at: float, rules: Rounds) -> str:
    """``after round 4``; of trials with a budget ``at 1/9 of their budget``, or at its end.

    Args:
        at: a round, or a share of the budget that is a rung, see :attr:`SearchedRun.course`.
        rules: of the trials.
    """
    if rules.budget is None:
        return f"after round {at}"
    return "at the end of their budget" if at == 1 else f"at {short(at, rules)} of their budget"


def short(at: float, rules: Rounds) -> str:
    """``4``, or ``1/9``, beside a point."""
    return f"{at}" if rules.budget is None else f"1/{round(1 / at)}"
