"""Table and figure of a sensitivity study, read from its journal."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pfltune.figures import ROUNDS, TOTAL
from pfltune.goal import ACCURACY, Goal
from pfltune.layers import LAYERS
from pfltune.ownership import published
from pfltune.record import Record
from pfltune.report.canvas import ShownFigure
from pfltune.report.markdown import markdown
from pfltune.report.results import ToldTrial, told_trials
from pfltune.report.styles import COLOURS
from pfltune.tracking.journal import Journal

NAMES = {
    "all": "everything (Local)",
    "none": "nothing (FedAvg)",
    **LAYERS,
}
REFERENCES = ("none", "all")


@dataclass(frozen=True)
class Cell:
    """One personal part.

    Attributes:
        scores: test score of each seed, at the round chosen on validation.
        mb_per_round: MB up and down of a round, all sampled clients together.
        seeds: of the scores, in their order.
        goal: what they are of.
    """

    scores: tuple[float, ...]
    mb_per_round: float
    seeds: tuple[int, ...] = ()
    goal: Goal = ACCURACY

    @property
    def mean(self) -> float:
        """Test score over seeds."""
        return float(np.mean(self.scores))

    @property
    def std(self) -> float:
        """Sample standard deviation over seeds; NaN for fewer than two, which have none."""
        return float(np.std(self.scores, ddof=1)) if len(self.scores) > 1 else math.nan

    @property
    def shown(self) -> float:
        """The test figure as it is drawn."""
        return self.goal.scale * self.mean

    def __str__(self) -> str:
        spread = "" if math.isnan(self.std) else f" ± {self.goal.spread(self.std)}"
        return f"{self.goal.text(self.mean)}{spread}"


Cells = dict[str, Cell]


def study_trials(record: Record, folder: Path) -> list[ToldTrial]:
    """The trials of a study, as its journal in ``folder`` tells of them."""
    return told_trials(Journal(folder / record.journal, record.seal).events, record.goal)[0]


def cells_of(trials: Iterable[ToldTrial]) -> Cells:
    """The finished trials of a study by personal part; parts whose trials all failed are absent."""
    found: dict[str, list[ToldTrial]] = defaultdict(list)
    for trial in trials:
        if not math.isnan(trial.score("test")):
            found[str(trial.started.knobs["personal"])].append(trial)
    return {part: _cell(trials) for part, trials in found.items()}


def _cell(trials: list[ToldTrial]) -> Cell:
    metrics = [trial.metrics for trial in trials]
    return Cell(
        tuple(trial.score("test") for trial in trials),
        float(np.mean([m[TOTAL.name] / m[ROUNDS.name] for m in metrics])),
        tuple(trial.started.seed for trial in trials),
        trials[0].goal,
    )


def rows(cells: Cells) -> list[list[str]]:
    """Personal part, test figure alone, together with the head, MB per round of both."""
    lines = []
    for part, name in NAMES.items():
        alone, with_head = cells.get(part), cells.get(f"{part},head")
        both = (alone, with_head)
        figures = ["" if c is None else str(c) for c in both]
        megabytes = ["" if c is None else f"{c.mb_per_round:.3f}" for c in both]
        lines.append([name, *figures, *megabytes])
    return lines


def heads(cells: Cells) -> list[str]:
    """Of these rows."""
    unit = _goal(cells).unit
    of_figures = (f"alone{unit}", f"with head{unit}")
    return ["personal part", *of_figures, "alone MB/round", "with head MB/round"]


def _goal(cells: Cells) -> Goal:
    return next((cell.goal for cell in cells.values()), ACCURACY)


def write_sensitivity(record: Record, cells: Cells, study: Path) -> None:
    """Write tables and figure into ``report`` in a study's folder."""
    with published(study / "report", record.owner, "move it away") as draft:
        write_files(cells, draft)


def write_files(cells: Cells, folder: Path) -> None:
    """Tables and figure into an empty folder."""
    (folder / "sensitivity.md").write_text(markdown([heads(cells), *rows(cells)]))
    values = [
        f'"{part}",{seed},{cell.goal.score(value)!r},{cell.mb_per_round!r}\n'
        for part, cell in cells.items()
        for seed, value in zip(cell.seeds, cell.scores, strict=True)
    ]
    heading = f"personal,seed,test_{_goal(cells).name},mb_per_round\n"
    (folder / "sensitivity.csv").write_text(heading + "".join(values))
    figure(cells).savefig(folder / "sensitivity.png", dpi=150)


def figure(cells: Cells) -> ShownFigure:
    """One line for each kind of layer: alone and with the head, beside FedAvg and Local."""
    drawing = ShownFigure(figsize=(6.4, 3.6), layout="constrained")
    axes = drawing.add_subplot()
    kinds = [part for part in NAMES if part in cells and part not in REFERENCES]
    for part, colour in zip(REFERENCES, COLOURS[2:], strict=False):
        if part in cells:
            axes.axvline(cells[part].shown, color=colour, linestyle="--", label=NAMES[part])
    for suffix, marker, colour, label in (
        ("", "o", COLOURS[0], "alone"),
        (",head", "D", COLOURS[1], "with the head"),
    ):
        shown = [
            (y, cells[kind + suffix]) for y, kind in enumerate(kinds) if kind + suffix in cells
        ]
        axes.plot(
            [cell.shown for _, cell in shown],
            [y for y, _ in shown],
            linestyle="none",
            marker=marker,
            color=colour,
            label=label,
        )
    axes.set_yticks(range(len(kinds)), [NAMES[kind] for kind in kinds])
    axes.invert_yaxis()
    axes.set_xlabel(_goal(cells).axis("test", " with this part personal"))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    drawing.legend(loc="outside upper right", frameon=False, ncols=2)
    return drawing
