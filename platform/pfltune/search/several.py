"""A search of accuracy and bytes at once by one of Optuna's samplers, and its fronts."""

from collections.abc import Mapping, Sequence

import optuna
from optuna.trial import Trial, TrialState

from pfltune.dominance import fronts, ranked
from pfltune.knobs import Value
from pfltune.randomness import derive
from pfltune.ranking import Outcome
from pfltune.registry import short_name
from pfltune.search.candidate import Candidate
from pfltune.search.choosing import different
from pfltune.search.feasible import constrain
from pfltune.search.plan import Plan
from pfltune.search.sampled import Sampled
from pfltune.search.samplers import SAMPLERS
from pfltune.search.space import SearchSpace
from pfltune.search.strategy import Strategy


class SampledFronts:
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

    def __init__(self, method: str, plan: Plan, space: SearchSpace) -> None:
        name = short_name(method)
        seed = derive(plan.seed, f"optuna/{name}") % 2**32
        startup = min(plan.generations(method)[0].size, 10)
        sampler = SAMPLERS[plan.budget.sampler].make(seed, startup)
        self._plan = plan
        self._space = space
        self._asked: dict[int, Trial] = {}
        self.study = optuna.create_study(
            study_name=f"pfltune/{name}", directions=["maximize", "minimize"], sampler=sampler
        )
        for point in space.start:
            self.study.enqueue_trial(dict(point))

    def propose(self, index: int) -> dict[str, Value]:
        """The searched knobs of the trial with this index."""
        self._asked[index] = trial = self.study.ask()
        self._space(trial)
        return dict(trial.params)

    def hear(self, index: int, outcome: Outcome, rungs: Mapping[float, float]) -> None:
        """Learn how a trial went."""
        trial = self._asked.pop(index)
        constrain(trial, self._plan, outcome)
        if outcome.round == self._plan.protocol.rounds:
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
