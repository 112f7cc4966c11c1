"""A retrained trial held against the certified one."""

from dataclasses import dataclass
from typing import Literal

from pfltune.audit.bounds import bound
from pfltune.audit.certificate import CertifiedTrial
from pfltune.audit.conditions import Conditions
from pfltune.audit.kept import ACCURACIES, COUNTED
from pfltune.audit.retrain import Retrained, retrained
from pfltune.errors import UserError
from pfltune.figures import PARTS
from pfltune.text import plain

Answer = Literal["matches", "within bounds", "differs", "not checked"]
ROUNDING = 1e-9
"""Beyond a bound that a figure lies on."""


@dataclass(frozen=True)
class TrialCheck:
    """How a trial went here.

    Attributes:
        trial: its name.
        answer: ``matches`` to the last bit, is ``within bounds``, ``differs``, or was ``not
            checked`` since it cannot be had again here.
        words: what differs, or how far it is off.
        seconds: that it took in the certificate.
    """

    trial: str
    answer: Answer
    words: str = ""
    seconds: float = 0.0

    @property
    def line(self) -> str:
        """For people."""
        return f"{self.trial}: {self.answer}" + (f": {self.words}" if self.words else "")


def checked(trial: CertifiedTrial, conditions: Conditions) -> TrialCheck:
    """Train a trial again and hold it against the certificate."""
    if not trial.repeats:
        why = f"the machine ended it ({plain(trial.failure)})"
        return TrialCheck(trial.name, "not checked", why)
    try:
        here = retrained(trial, conditions)
    except UserError as error:
        return TrialCheck(trial.name, "differs", plain(str(error)))
    except (OSError, MemoryError) as error:
        why = f"this machine cannot train it: {plain(str(error))}"
        return TrialCheck(trial.name, "not checked", why)
    answer, words = held_against(trial, here, conditions)
    return TrialCheck(trial.name, answer, words, trial.seconds)


def held_against(
    trial: CertifiedTrial, here: Retrained, conditions: Conditions
) -> tuple[Answer, str]:
    """Whether a trial went here as the certificate says, and what of it did not."""
    ended = _ending(trial, here, conditions.exact)
    if ended:
        return "differs", ended
    if conditions.exact:
        other = _bits(trial, here)
        return ("differs", other) if other else ("matches", "bit for bit")
    return _bounds(trial, here, conditions)


def _ending(trial: CertifiedTrial, here: Retrained, exact: bool) -> str:
    """What is another about its end."""
    fails = trial.outcome == "failed"
    if here.failure and not fails:
        return f"it failed here after round {len(here.rounds)} ({here.failure})"
    if fails and not here.failure:
        return "it did not fail here"
    if fails and exact and len(here.rounds) != trial.rounds:
        return f"it failed here after round {len(here.rounds)}, not {trial.rounds}"
    return ""


def _bits(trial: CertifiedTrial, here: Retrained) -> str:
    """What is another to the last bit."""
    pairs = enumerate(zip(trial.scores, here.scores, strict=False), start=1)
    for number, (said, mine) in pairs:
        if said != mine:
            told = [here.goal.exactly(score) for score in (mine, said)]
            return f"the score of round {number} is {told[0]} here, not {told[1]}"
    if len(trial.scores) != len(here.scores):
        return f"it has {len(here.scores)} rounds here, not {len(trial.scores)}"
    found = here.figures if trial.outcome != "failed" else {}
    for name in sorted(found):
        if found[name] != trial.figures.get(name):
            return f"{name} is {found[name]:.6g} here, not {trial.figures.get(name)}"
    if here.curve != trial.curve:
        return "a figure of its curve is another; score, accuracies and counts are the same"
    return ""


def _bounds(trial: CertifiedTrial, here: Retrained, conditions: Conditions) -> tuple[Answer, str]:
    """Whether it is as near as another processor lets it be."""
    if trial.outcome == "failed":
        return "within bounds", "it fails here too"
    found = here.figures
    for name in COUNTED:
        if name in found and found[name] != trial.figures.get(name):
            return "differs", f"{name} is {found[name]:.6g} here, not {trial.figures.get(name)}"
    told = []
    for what, part, said, mine in _accuracies(trial, here):
        allowed, off = bound(conditions.federation, part), abs(said - mine)
        told.append(f"{what} {100 * off:.2f} of {100 * allowed:.2f} points allowed")
        if off > allowed + ROUNDING:
            limit = f"{100 * allowed:.2f} points are allowed"
            return "differs", f"{what} is {_percent(mine)} here, not {_percent(said)}; {limit}"
    return "within bounds", "off by " + ", ".join(told)


def _accuracies(trial: CertifiedTrial, here: Retrained) -> list[tuple[str, str, float, float]]:
    """What is bounded: words, part, as certified, as found here.

    Scores are where they are accuracies: of others nobody knows how far they go with predictions.
    """
    pairs = list(zip(trial.scores, here.scores, strict=False)) if here.goal.is_accuracy else []
    said, mine = max(pairs, key=lambda pair: abs(pair[0] - pair[1]), default=(0.0, 0.0))
    found = [("score", "val", said, mine)] if pairs else []
    for what, part, name in zip(("validation", "test"), PARTS, ACCURACIES, strict=True):
        if name in trial.figures or name in here.figures:
            figures = (trial.figures.get(name, -1.0), here.figures.get(name, -1.0))
            found.append((what, part, *figures))
    return found


def _percent(share: float) -> str:
    return f"{100 * share:.4g} %"
