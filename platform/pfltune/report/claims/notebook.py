"""What the replay of a claim found, for who works in Python."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pfltune.errors import UserError
from pfltune.report.canvas import ShownFigure, styled
from pfltune.report.claims import words
from pfltune.report.claims.drawing import drawing_of
from pfltune.report.claims.replayed import Replayed
from pfltune.report.claims.tables import records, summaries
from pfltune.report.notebook import Results, table_html

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
class ClaimResults:
    """What the replay of a claim found; a notebook shows verdicts and the figure of differences.

    Attributes:
        found: its parts and the verdicts on them.
        folder: its own, in the results folder.
    """

    found: Replayed
    folder: Path

    @property
    def name(self) -> str:
        """Of the replay."""
        return self.found.replay.name

    @property
    def report(self) -> Path:
        """The page of the report; tables and the figure lie beside it."""
        return self.folder / "report" / "report.html"

    @property
    def verdicts(self) -> "pd.DataFrame":
        """A row per ordering and footing.

        Columns: ``ordering``; ``of`` (``methods`` or ``layers``), ``first``, ``second``,
        ``figure``; ``footing``; ``verdict`` (``holds``, ``reversed``, ``not told apart`` or ``not
        tested``); ``paper``, the paper's own difference in points; ``difference``, first minus
        second, with the ends ``low`` and ``high`` of its 95 % interval, and ``p``, both for all
        orderings of the footing together; ``draws``, ``seeds`` and ``clients`` that it
        was taken over, ``agreeing`` of the draws, or of a single one of the seeds; ``reason`` why
        nothing was tested.
        """
        import pandas as pd

        return pd.DataFrame(list(records(self.found)))

    @property
    def parts(self) -> dict[str, tuple[Results, ...]]:
        """The comparisons on each footing, one for each draw of the clients, by the footing."""
        return {
            ground.part.footing: tuple(
                Results(result, self.folder.parent / result.name) for result in ground.results
            )
            for ground in self.found.grounds
            if ground.results
        }

    @property
    def missing(self) -> dict[str, str]:
        """Why parts have nothing to say, by the name of the part."""
        return self.found.missing

    def figure(self) -> ShownFigure:
        """The differences of the orderings with their intervals.

        Raises:
            UserError: no footing has a difference yet.
        """
        with styled():
            drawing = drawing_of(self.found)
        if drawing is None:
            raise UserError(f"the claim {self.name} has no difference to draw")
        return drawing.figure

    def __repr__(self) -> str:
        return f"<claim {self.name}: {self.found.claim.name} at scale {self.found.replay.scale}>"

    def _repr_html_(self) -> str:
        with styled():
            drawing = drawing_of(self.found)
        main = (drawing.figure, drawing.caption) if drawing else None
        heads, *lines = summaries(self.found)[0]
        note = " ".join(words.findings(self.found))
        return table_html(self.name, note, heads, lines, main)
