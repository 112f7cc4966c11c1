"""A search of accuracy and bytes at once by one of Optuna's samplers, and its fronts."""

from collections.abc import Mapping, Sequence

from optuna.trial import TrialState

from pfltune.dominance import fronts, ranked
from pfltune.ranking import Outcome
from pfltune.search.candidate import Candidate
from pfltune.search.choosing import different
from pfltune.search.feasible import constrain
from pfltune.search.plan import Plan
from pfltune.search.sampled import Sampled
from pfltune.search.space import SearchSpace
from pfltune.search.strategy import Strategy


class SampledFronts(Sampled):
    """Proposes what looks like the front of validation accuracy and MB so far.

    Optuna's TPE with several directions (Ozaki et al. 2022, Journal of Artificial Intelligence
    Research 73) splits complete trials by non-dominated sorting and hypervolume. A trial that did
    all its rounds is told as complete, with both values. Optuna takes no intermediate values with
    several objectives, and both values of a trial that was stopped would be those of fewer rounds;
    so it is told as pruned without a value, as a failed one is: the sampler ranks both behind every
    complete trial and keeps away from them, where it would forget one that is told as failed. One
    that sends too much has that as a constraint that it breaks, and is ranked last, by how much.

    Of n trials the sampler takes the best tenth for good, so that its first ten proposals after the
    start points are random ones that keep away from what there was.

    Args:
        method: reference of the method.
        plan: its trials; the random ones of the start are those of its first generation.
        space: what is searched.
    """

    directions = ("maximize", "minimize")

    def hear(self, index: int, outcome: Outcome, rungs: Mapping[float, float]) -> None:
        """Learn how a trial went."""
        trial = self._asked.pop(index)
        constrain(trial, self._plan, outcome)
        if self._course.is_over(outcome):
            self.study.tell(trial, [outcome.value, outcome.mb])
        else:
            self.study.tell(trial, state=TrialState.PRUNED)


def by_objective(method: str, plan: Plan, space: SearchSpace) -> Strategy:
    """What proposes the configurations of a method, for as many objectives as there are."""
    return (SampledFronts if plan.budget.several else Sampled)(method, plan, space)


def front_of(
    plan: Plan, searched: Sequence[Candidate], outcomes: Mapping[int, Outcome]
) -> tuple[Candidate, ...]:
    """The search trials whose configurations are confirmed, the most accurate first.

    They are of the front of validation accuracy and MB among the trials that came furthest, all
    rounds that is if not every one of these failed: values of other rounds do not compare. Of a
    front with more than :attr:`Budget.front` configurations the two ends are taken, then what lies
    furthest from the others, see :func:`pfltune.dominance.ranked`.

    Args:
        plan: says how many.
        searched: all search trials.
        outcomes: of those that send no more than they may.
    """
    furthest = max((outcome.round for outcome in outcomes.values()), default=0)
    if not furthest:
        return ()
    alike = {n: outcome for n, outcome in outcomes.items() if outcome.round == furthest}
    places = [trial.index for trial in different(searched, alike)]
    points = [(outcomes[n].value, outcomes[n].mb) for n in places]
    front = {places[n]: points[n] for n in fronts(points)[0]}
    chosen = ranked(front)[: plan.budget.front]
    return tuple(searched[n] for n in sorted(chosen, key=lambda n: (-front[n][0], front[n][1], n)))
