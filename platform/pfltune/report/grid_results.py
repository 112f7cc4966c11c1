"""What a grid found, for who works in Python: DataFrames, and a figure that a notebook shows."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pfltune.errors import UserError
from pfltune.knobs import Value
from pfltune.report.canvas import ShownFigure, styled
from pfltune.report.frames import grid_frame
from pfltune.report.grid import GridCell, GridResult, best_of
from pfltune.report.grid_figures import main_figure
from pfltune.report.grid_table import columns
from pfltune.report.grid_words import finding, status
from pfltune.report.notebook import OfJob, table_html
from pfltune.report.results import ToldTrial

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class GridResults(OfJob[GridResult]):
    """What a grid found; a notebook shows its sentence, its table and its figure.

    Attributes:
        result: all its cells, from its record and its journal.
        folder: its own, in the results folder.
    """

    @property
    def finding(self) -> str:
        """What came out, in a few sentences."""
        return finding(self.result)

    @property
    def cells(self) -> tuple[GridCell, ...]:
        """All cells, method by method, the last knob the fastest."""
        return self.result.cells

    @property
    def table(self) -> "pd.DataFrame":
        """A row per cell.

        Columns: ``method``; each knob that the grid is over; ``state`` (``finished``, ``failed`` or
        ``not yet``); ``seeds`` that ended well; ``val/accuracy``, the mean over them, with its
        ``val/standard_error``, of a tested grid ``test/accuracy`` with its own; ``difference`` to
        the best cell, seed by seed, its standard error, ``p``, ``p_holm`` and a ``verdict`` in
        words; ``comm/mb_per_round``; ``params/personal``; ``selected/round``, the mean of the
        rounds chosen on validation. What a cell has no figure of is NaN.
        """
        return grid_frame(self.result)

    def told(self) -> Iterable[ToldTrial]:
        """The trials, cell by cell."""
        return self.result.trials

    def best(self, method: str | None = None) -> dict[str, Value]:
        """The configuration of the best cell on validation data, with what is held.

        Args:
            method: short name of the only method that counts; None for all of them.

        Raises:
            UserError: there is no cell with a figure.
        """
        found = best_of([c for c in self.cells if method in (None, c.method)])
        if found is None:
            of = "" if method is None else f" of {method!r}"
            raise UserError(f"{self.name} has no cell{of} with a figure")
        return dict(found.knobs)

    def figure(self) -> ShownFigure:
        """Validation accuracy over the knobs.

        Raises:
            UserError: there is nothing that it could show.
        """
        with styled():
            drawing = main_figure(self.result)
        if drawing is None:
            raise UserError(f"the grid {self.name} has nothing to draw")
        return drawing.figure

    def __repr__(self) -> str:
        return f"<grid {self.name}: {len(self.cells)} cells over {', '.join(self.result.over)}>"

    def _repr_html_(self) -> str:
        shown = columns(self.result)
        rows = [[column.text(cell) for column in shown] for cell in self.cells]
        main = (self.figure(), finding(self.result)) if self.result.shown else None
        heads = [column.title for column in shown]
        return table_html(self.name, status(self.result), heads, rows, main)
