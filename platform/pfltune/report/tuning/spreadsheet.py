"""``trials.csv``: every trial with every digit."""

from pfltune import figures
from pfltune.report.results import ToldTrial
from pfltune.report.spreadsheet import digits, text
from pfltune.report.tuning.tuned import Tuned

WHAT = ("stage", "index", "generation", "seed")


def csv_trials(tuned: Tuned) -> str:
    """A row per trial of every stage; a score is the best validation figure so far.

    ``mb`` is what all sampled clients together have exchanged. What a trial has not is empty.
    """
    told = tuned.method.trials
    knobs = list(dict.fromkeys(name for trial in told for name in trial.started.knobs))
    test = f"test_{tuned.goal.name}"
    heads = [*WHAT, "outcome", "rounds", *knobs, "score", "mb", "personal", test]
    return text(heads, [_row(trial, knobs) for trial in told])


def _row(trial: ToldTrial, knobs: list[str]) -> list[object]:
    found, goal = trial.metrics, trial.goal
    shown = (goal.best, figures.TOTAL, figures.PERSONAL, goal.selected("test"))
    return [
        *(getattr(trial.started, name) for name in WHAT),
        trial.outcome,
        trial.rounds[-1].round if trial.rounds else 0,
        *(trial.started.knobs.get(name, "") for name in knobs),
        *(digits(found.get(each.name)) for each in shown),
    ]
