"""What each trial reached for what it sent."""

import numpy as np

from pfltune import figures
from pfltune.report.canvas import Drawing, canvas, legend
from pfltune.report.results import SCORE, ToldTrial
from pfltune.report.tuning.points import ring
from pfltune.report.tuning.tuned import Tuned

FEWEST = 2


def accuracy_vs_mb(tuned: Tuned) -> Drawing | None:
    """The course of every search trial over the MB that it had sent; None where none sends any."""
    told = [trial for trial in tuned.method.trials if trial.started.stage == "search"]
    courses = {trial: course for trial in map(_named, told) if len(course := _course(trial))}
    return None
