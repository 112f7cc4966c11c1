"""Clients that never train with the others are met at the end, and change nothing."""

from dataclasses import replace

from pfltune.federation.federation import Federation
from pfltune.federation.trial import FederatedTrial
from pfltune.figures import UNSEEN
from pfltune.testing.broken import Broken
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import Figures, differing, run, some, state_of, trial_of
from pfltune.testing.subject import Subject

NEWCOMERS = frozenset({1, 3})


class _Blind(FederatedTrial):
    """Meets nobody."""

    def _meet_unseen(self) -> Figures:
        return {}


def meets_unseen_clients(subject: Subject) -> None:
    """Unseen clients are met in the last round, and change nothing"""
    trial = trial_of(subject, _federation())
    reports = run(trial)
    told = [any(name.startswith(UNSEEN) for name in report) for report in reports]
    if told != [False] * (len(told) - 1) + [True]:
        raise Broken("unseen clients in the last round only", f"{told}", "report none", "train")
    blind = _Blind(subject.make(), _federation(), 0)
    run(blind)
    if changed := differing(state_of(trial), state_of(blind)):
        raise Broken(
            "the server and all clients as they are without unseen ones",
            f"other {some(changed)}",
            "let train() work on copies, and keep nothing on self",
            "train",
        )


def _federation() -> Federation:
    return replace(small_federation(rounds=2), unseen=NEWCOMERS)
