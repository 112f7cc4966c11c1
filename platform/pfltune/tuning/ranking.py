"""Which search trial won: the one rule, used during the search and after it."""

from collections.abc import Iterable
from dataclasses import dataclass

from ray.tune import ResultGrid

from pfltune.knobs import Value
from pfltune.tuning.candidate import OBJECTIVE, Candidate
from pfltune.tuning.plan import Plan


@dataclass(frozen=True)
class Outcome:
    """How far a search trial came, and its objective there; round 0 stands for a failed trial."""

    round: int = 0
    value: float = 0.0


def best_index(outcomes: Iterable[tuple[int, Outcome]]) -> int | None:
    """The trial with the most rounds, then the best objective, then the lowest index.

    Rounds come first: a trial that was stopped early lost against its own generation. None if every
    trial failed.
    """
    ran = [(outcome.round, outcome.value, -index) for index, outcome in outcomes if outcome.round]
    return -max(ran)[2] if ran else None


def best_configurations(results: ResultGrid, plan: Plan) -> dict[str, dict[str, Value]]:
    """The winning knobs of each method that has a trial that did not fail."""
    searched: dict[str, dict[int, tuple[Candidate, Outcome]]] = {m: {} for m in plan.methods}
    for result in results:
        metrics = result.metrics or {}
        candidate = Candidate.from_config(result.config or {})
        if candidate.phase == "search":
            failed = result.error is not None or metrics.get("failure") or "round" not in metrics
            outcome = Outcome() if failed else Outcome(metrics["round"], metrics[OBJECTIVE])
            searched[candidate.method][candidate.index] = (candidate, outcome)
    best = {}
    for method, trials in searched.items():
        index = best_index((i, outcome) for i, (_, outcome) in trials.items())
        if index is not None:
            best[method] = dict(trials[index][0].knobs)
    return best
