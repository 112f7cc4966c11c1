"""Table and figure of a sensitivity study, read from its journal."""

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pfltune.figures import ROUNDS, TOTAL
from pfltune.layers import LAYERS
from pfltune.ownership import published
from pfltune.record import Record
from pfltune.report.canvas import ShownFigure
from pfltune.report.markdown import markdown
from pfltune.report.results import TEST, ToldTrial, told_trials
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
        accuracies: test accuracy of each seed, at the round chosen on validation.
        mb_per_round: MB up and down of a round, all sampled clients together.
        seeds: of the accuracies, in their order.
    """

    accuracies: tuple[float, ...]
    mb_per_round: float
    seeds: tuple[int, ...] = ()

    @property
    def mean(self) -> float:
        """Test accuracy over seeds, in [0, 1]."""
        return float(np.mean(self.accuracies))

    @property
    def std(self) -> float:
        """Sample standard deviation over seeds; NaN for fewer than two, which have none."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else math.nan

    def __str__(self) -> str:
        spread = "" if math.isnan(self.std) else f" ± {100 * self.std:.2f}"
        return f"{100 * self.mean:.2f}{spread}"


Cells = dict[str, Cell]


def study_trials(record: Record, folder: Path) -> list[ToldTrial]:
    """The trials of a study, as its journal in ``folder`` tells of them."""
    return told_trials(Journal(folder / record.journal, record.seal).events)[0]


def cells_of(trials: Iterable[ToldTrial]) -> Cells:
    """The finished trials of a study by personal part; parts whose trials all failed are absent."""
    found: dict[str, list[ToldTrial]] = defaultdict(list)
    for trial in trials:
        if TEST in trial.metrics:
            found[str(trial.started.knobs["personal"])].append(trial)
    return {part: _cell(trials) for part, trials in found.items()}


def _cell(trials: list[ToldTrial]) -> Cell:
    metrics = [trial.metrics for trial in trials]
    return Cell(
        tuple(m[TEST] for m in metrics),
        float(np.mean([m[TOTAL.name] / m[ROUNDS.name] for m in metrics])),
        tuple(trial.started.seed for trial in trials),
    )


def rows(cells: Cells) -> list[list[str]]:
    """Personal part, accuracy alone, together with the head, MB per round of both."""
    lines = []
    for part, name in NAMES.items():
        alone, with_head = cells.get(part), cells.get(f"{part},head")
        both = (alone, with_head)
        accuracies = ["" if c is None else str(c) for c in both]
        megabytes = ["" if c is None else f"{c.mb_per_round:.3f}" for c in both]
        lines.append([name, *accuracies, *megabytes])
    return lines


HEADS = ("personal part", "alone %", "with head %", "alone MB/round", "with head MB/round")


def write_sensitivity(record: Record, cells: Cells, study: Path) -> None:
    """Write tables and figure into ``report`` in a study's folder."""
    with published(study / "report", record.owner, "move it away") as draft:
        write_files(cells, draft)


def write_files(cells: Cells, folder: Path) -> None:
    """Tables and figure into an empty folder."""
    (folder / "sensitivity.md").write_text(markdown([list(HEADS), *rows(cells)]))
    values = [
        f'"{part}",{seed},{value!r},{cell.mb_per_round!r}\n'
        for part, cell in cells.items()
        for seed, value in zip(cell.seeds, cell.accuracies, strict=True)
    ]
    heading = "personal,seed,test_accuracy,mb_per_round\n"
    (folder / "sensitivity.csv").write_text(heading + "".join(values))
    figure(cells).savefig(folder / "sensitivity.png", dpi=150)


def figure(cells: Cells) -> ShownFigure:
    """One line for each kind of layer: alone and with the head, beside FedAvg and Local."""
    drawing = ShownFigure(figsize=(6.4, 3.6), layout="constrained")
    axes = drawing.add_subplot()
    kinds = [part for part in NAMES if part in cells and part not in REFERENCES]
    for part, colour in zip(REFERENCES, COLOURS[2:], strict=False):
        if part in cells:
            axes.axvline(_percent(cells[part]), color=colour, linestyle="--", label=NAMES[part])
    for suffix, marker, colour, label in (
        ("", "o", COLOURS[0], "alone"),
        (",head", "D", COLOURS[1], "with the head"),
    ):
        shown = [
            (y, cells[kind + suffix]) for y, kind in enumerate(kinds) if kind + suffix in cells
        ]
        axes.plot(
            [_percent(cell) for _, cell in shown],
            [y for y, _ in shown],
            linestyle="none",
            marker=marker,
            color=colour,
            label=label,
        )
    axes.set_yticks(range(len(kinds)), [NAMES[kind] for kind in kinds])
    axes.invert_yaxis()
    axes.set_xlabel("test accuracy with this part personal, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    drawing.legend(loc="outside upper right", frameon=False, ncols=2)
    return drawing


def _percent(cell: Cell) -> float:
    return 100 * cell.mean
