"""The search of a certificate, dealt again: nothing is trained.

What a search suggests, which trials are stopped and which configuration wins follows from the
scores alone. So from the certified scores the certified trials must follow, and no others.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import optuna

from pfltune.audit.certificate import Certificate, CertifiedTrial
from pfltune.audit.conditions import Conditions
from pfltune.audit.kept import ROUND, names_of
from pfltune.budget import Budget
from pfltune.figures import AHEAD, TOTAL
from pfltune.goal import Goal
from pfltune.knobs import Value
from pfltune.ranking import Outcome
from pfltune.registry import short_name
from pfltune.running.dealt import DealtTrials
from pfltune.running.finished import NOTHING
from pfltune.running.ledger import Ledger
from pfltune.running.trial_log import TrialLog
from pfltune.search.candidate import Candidate
from pfltune.search.plan import Plan
from pfltune.search.searches import ComparisonDealer
from pfltune.search.space import SearchSpace
from pfltune.stages import trial_name
from pfltune.studies.comparison import plan_on
from pfltune.tracking.events import Event, Selected, TrialEnded, TrialStarted
from pfltune.trials.spec import complete_knobs
from pfltune.trials.stored import StoredRound, StoredTrial


def redealt(certificate: Certificate, conditions: Conditions) -> list[str]:
    """What does not follow from the scores, in words, a line each; empty if all does."""
    record = certificate.record
    assert isinstance(record.budget, Budget)
    references = [conditions.references[short_name(method)] for method in record.methods]
    asked = (references, record.budget, record.scenario, record.fixed, record.space_options)
    plan, spaces, _ = plan_on(*asked)
    chosen = {
        m: record.chosen[name] for m in references if (name := short_name(m)) in record.chosen
    }
    plan = replace(plan, chosen=chosen)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials = {trial.name: trial for trial in certificate.trials}
    strategy = {} if conditions.suggests else {"strategy": _as_certified(trials)}
    dealer = ComparisonDealer(plan, spaces, **strategy)
    told = _Told(Ledger())
    dealt = DealtTrials(dealer, told.ledger, told, _Certified(trials, record.goal))
    waiting = []
    while (candidate := dealt.next()) is not None:
        waiting.append(candidate)
    searched = {method: space for method, space in spaces.items() if method not in chosen}
    return [*_spaces(certificate, searched), *_compared(certificate, told.events, waiting)]


def _as_certified(trials: Mapping[str, CertifiedTrial]) -> type:
    """A strategy that proposes what the certificate says, where the search is another one here."""

    class AsCertified:
        def __init__(self, method: str, plan: Plan, space: SearchSpace) -> None:
            self._name, self._study = short_name(method), plan.study

        def propose(self, index: int) -> Mapping[str, Value]:
            trial = trials.get(trial_name(self._name, "search", index, self._study))
            return trial.knobs if trial else {}

        def hear(self, index: int, outcome: Outcome, rungs: Mapping[int, float]) -> None:
            pass

    return AsCertified


class _Told(TrialLog):
    """Keeps what a search is told, and touches no file."""

    def __init__(self, ledger: Ledger) -> None:
        self.events: list[Event] = []
        self.ledger = ledger
        super().__init__(self._keep, ledger, NOTHING, "", print)

    def end(self, event: TrialEnded) -> None:
        """Note the end of a trial."""
        self.write(event)

    def _keep(self, event: Event) -> None:
        self.events.append(event)
        self.ledger.apply(event)


class _Certified:
    """The certified trials as those that are known."""

    def __init__(self, trials: Mapping[str, CertifiedTrial], goal: Goal) -> None:
        self._trials = trials
        self._goal = goal

    def find(self, candidate: Candidate) -> StoredTrial | None:
        """What the certificate says of a trial."""
        trial = self._trials.get(candidate.name)
        if trial is None:
            return None
        # What no search hears of is not there.
        told: list[dict[str, float]] = [{} for _ in trial.scores]
        for name, values in ((AHEAD.name, trial.ahead), (TOTAL.name, trial.mb)):
            for metrics, value in zip(told, values, strict=False):
                metrics[name] = value
        scores = enumerate(zip(trial.scores, told, strict=True), start=1)
        rounds = tuple(StoredRound(number, *done) for number, done in scores)
        outcome = "reached" if trial.outcome == "stopped early" else trial.outcome
        return StoredTrial(rounds, outcome, selected=_tested(trial, self._goal))

    def keep(self, candidate: Candidate, trial: StoredTrial) -> None:
        """Nothing."""


def _tested(trial: CertifiedTrial, goal: Goal) -> Selected | None:
    """What a race hears of a test: of all clients, their mean."""
    names = (ROUND, *names_of(goal))
    if any(name not in trial.figures for name in names):
        return None
    number, val, test = (trial.figures[name] for name in names)
    found = Selected(round=int(number), val=[val], test=[test])
    if not goal.is_accuracy:
        found["metric"] = goal.name
        better = goal.measure.better
        found["metrics"] = [{"name": goal.name, "better": better, "val": [val], "test": [test]}]
    return found


def _spaces(certificate: Certificate, spaces: Mapping[str, SearchSpace]) -> Iterator[str]:
    """Search spaces that are not what the certificate says."""
    known = certificate.record.model_dump(mode="json")["spaces"]
    here = {short_name(method): space.recorded() for method, space in spaces.items()}
    now = certificate.record.model_copy(update={"spaces": here}).model_dump(mode="json")["spaces"]
    for name in here:
        if known.get(name) != now[name]:
            yield f"the search space of {name} is another here than in the certificate"


def _compared(
    certificate: Certificate, events: list[Event], waiting: list[Candidate]
) -> Iterator[str]:
    trials = {trial.name: trial for trial in certificate.trials}
    started = {event.trial: event for event in events if isinstance(event, TrialStarted)}
    ended = {event.trial: event for event in events if isinstance(event, TrialEnded)}
    for candidate in waiting:
        if candidate.name not in trials:
            yield f"{candidate.name} is missing"
        elif candidate.name in started:
            trial = trials[candidate.name]
            yield f"{trial.name} was stopped after round {trial.rounds}, and should have gone on"
    for name, trial in trials.items():
        if name not in started:
            yield f"{name} does not follow from the trials before it"
        else:
            yield from _begun(certificate, trial, started[name])
        if name in ended:
            yield from _over(trial, ended[name])


def _begun(certificate: Certificate, trial: CertifiedTrial, event: TrialStarted) -> Iterator[str]:
    if (trial.seed, trial.generation) != (event.seed, event.generation):
        told = f"seed {trial.seed} and generation {trial.generation}"
        yield f"{trial.name} has {told}, and should have {event.seed} and {event.generation}"
    follow = complete_knobs(certificate.record, trial.method, event.knobs)
    other = [name for name in follow if follow[name] != trial.knobs.get(name)]
    other += [name for name in trial.knobs if name not in follow]
    for name in other:
        said, wanted = trial.knobs.get(name), follow.get(name)
        yield f"{trial.name} has {name}={said}, and {name}={wanted} follows from the scores"


def _over(trial: CertifiedTrial, event: TrialEnded) -> Iterator[str]:
    if (trial.outcome, trial.rounds) != (event.outcome, _rounds(event, trial)):
        yield (
            f"{trial.name} {trial.outcome} after round {trial.rounds}, and the halving gives: "
            f"{event.outcome} after round {event.round}"
        )


def _rounds(event: TrialEnded, trial: CertifiedTrial) -> int:
    """A failed trial is told with the last round that it has a score of."""
    return trial.rounds if event.outcome == trial.outcome == "failed" else event.round
