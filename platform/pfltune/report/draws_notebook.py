"""What a comparison over draws found, for who works in Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pfltune.errors import UserError
from pfltune.report.canvas import Drawing, ShownFigure, styled
from pfltune.report.columns import cells
from pfltune.report.draws import DrawsResult
from pfltune.report.draws_figures import accuracies, differences
from pfltune.report.draws_table import columns, rows, summary_rows
from pfltune.report.draws_words import accuracy_note
from pfltune.report.frames import draws_frame
from pfltune.report.notebook import Results, table_html

if TYPE_CHECKING:
    import pandas as pd

FIGURES = {"accuracy": accuracies, "difference": differences}


@dataclass(frozen=True, eq=False, repr=False)
class DrawsResults:
    """What a comparison over draws of clients found; a notebook shows its table and its figure.

    Attributes:
        found: all draws.
        folder: their own, in the results folder.
    """

    found: DrawsResult
    folder: Path

    @property
    def name(self) -> str:
        """Of the comparison."""
        return self.found.draws.name

    @property
    def report(self) -> Path:
        """The page of the report; tables and figures for a paper lie beside it."""
        return self.folder / "report" / "report.html"

    @property
    def draws(self) -> dict[str, Results]:
        """What each draw found, by ``data_seed=0`` and so on."""
        named = zip(self.found.labels, self.found.results, strict=True)
        return {name: Results(result, self.folder.parent / result.name) for name, result in named}

    @property
    def missing(self) -> dict[str, str]:
        """Why draws have no figures, by the name of their comparison."""
        return dict(self.found.missing)

    @property
    def table(self) -> "pd.DataFrame":
        """A row per method, by its short name, the best mean test accuracy first.

        Columns: ``title``; ``partitions`` and ``seeds`` that ended; ``test/accuracy``, mean over
        draws, seeds and clients, its ``…_std_partitions`` over draws and ``…_std_seeds`` over the
        seeds of a draw; ``val/accuracy``; ``comm/total_mb``; ``won``, draws on which no method is
        better; ``difference`` to the ``reference`` with its ends, ``p`` and ``p_all_pairs`` for all
        pairs, ``verdict``; ``test/accuracy@data_seed=0`` and so on. What a method has no
        figure of is NaN.
        """
        return draws_frame(summary_rows(self.found))

    def figure(self, name: str = "accuracy") -> ShownFigure:
        """A point for each draw and method: ``accuracy``, or ``difference`` to the reference.

        Raises:
            UserError: there is no such figure, or nothing that it could show.
        """
        drawing = self._drawing(name)
        if drawing is None:
            raise UserError(f"{self.name} has nothing that the figure {name!r} could show")
        return drawing.figure

    def _drawing(self, name: str) -> Drawing | None:
        if name not in FIGURES:
            raise UserError(f"there is no figure {name!r}; there is: {', '.join(FIGURES)}")
        with styled():
            return FIGURES[name](self.found)

    def __repr__(self) -> str:
        names = ", ".join(method.name for method in self.found.methods)
        return f"<compare {self.name}, {self.found.draws.in_words}: {names}>"

    def _repr_html_(self) -> str:
        shown = columns(self.found)
        titles = [method.title for method in self.found.methods]
        lines = [[t, *cells(m, shown)] for t, m in zip(titles, rows(self.found), strict=True)]
        drawing = self._drawing("accuracy")
        main = (drawing.figure, drawing.caption) if drawing else None
        heads = ["method", *(column.title for column in shown)]
        return table_html(self.name, accuracy_note(self.found), heads, lines, main)
