"""What each trial reached for what it sent."""

import numpy as np

from pfltune import figures
from pfltune.report.canvas import Drawing, canvas, legend, scale_mb
from pfltune.report.results import ToldTrial
from pfltune.report.tuning.points import ring
from pfltune.report.tuning.tuned import Tuned

FEWEST = 2
"""Trials without which nothing is drawn."""


def accuracy_vs_mb(tuned: Tuned) -> Drawing | None:
    """The course of every search trial over the MB that it had sent; None where none sent any."""
    told = [trial for trial in tuned.method.trials if trial.started.stage == "search"]
    courses = [(trial, course) for trial in told if len(course := course_of(trial))]
    most = max((course[-1, 0] for _, course in courses), default=0.0)
    if len(courses) < FEWEST or not most:
        return None
    goal = tuned.goal
    figure, axes = canvas("MB so far, up and down, all sampled clients", goal.axis("validation"))
    colour, whole = tuned.style.colour, {run.index for run in tuned.full}
    for trial, course in courses:
        full = trial.started.index in whole
        axes.plot(*course.T, color=colour, linewidth=0.9, alpha=0.45, zorder=1)
        label = "ran to the end" if full else "stopped early"
        face = colour if full else "white"
        look = {"color": colour, "markerfacecolor": face, "markersize": 5, "label": label}
        axes.plot(*course[-1], marker="o", linestyle="none", zorder=3, **look)
        if dict(trial.started.knobs) == dict(tuned.method.best):
            ring(axes, *course[-1])
    if most / min(course[-1, 0] or most for _, course in courses) > 20:
        scale_mb(axes, most)
    else:
        axes.set_xlim(left=0.0)
    legend(figure, axes)
    caption = (
        f"Every search trial: best validation {goal.noun} so far against the MB that it had sent "
        "by "
        "then. Hollow: stopped early. The ring is round the chosen one."
    )
    return Drawing("tuning-accuracy-vs-mb", caption, figure)


def course_of(trial: ToldTrial) -> np.ndarray:
    """MB so far and the best figure as it is shown after each evaluated round, (rounds, 2)."""
    sent = dict(trial.curve(figures.TOTAL.name))
    scale = trial.goal.scale
    points = [(sent[step], scale * value) for step, value in trial.score_curve if step in sent]
    return np.array(points, dtype=np.float64).reshape(-1, 2)
