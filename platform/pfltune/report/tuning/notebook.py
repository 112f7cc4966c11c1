"""What the search of one method found, for who works in Python."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from pfltune.errors import UserError
from pfltune.knobs import Value
from pfltune.report.canvas import ShownFigure
from pfltune.report.learned import Learned
from pfltune.report.notebook import Results, table_html
from pfltune.report.results import ComparisonResult
from pfltune.report.tuning.figures import MAKERS, draw, drawn
from pfltune.report.tuning.sentence import sentence
from pfltune.report.tuning.table import best_ten, lines, ten_columns
from pfltune.report.tuning.tuned import Pair, Tuned, checked_pair, is_tuning, tuned_of


@dataclass(frozen=True, eq=False, repr=False)
class TuneResults(Results):
    """What the search of one method found; a notebook shows the answer, the best ten and slices.

    What a comparison has, this has too. A picture is None where there is nothing that it could
    show: too few trials, one value.

    Attributes:
        pair: two searched knobs that are drawn against each other; None for prefix length and
            learning rate where both were searched, or else the two that matter most.
    """

    pair: Pair | None = None

    @property
    def best(self) -> dict[str, Value]:
        """The chosen configuration.

        Raises:
            UserError: there is none.
        """
        return self.best_of()

    @property
    def sentence(self) -> str:
        """What was chosen, and what it is worth."""
        return sentence(self.tuned)

    @property
    def learned(self) -> Learned:
        """What is as good, what it costs, what matters, and a surrogate of the score."""
        return self.tuned.learned

    @cached_property
    def tuned(self) -> Tuned:
        """All that follows from the trials."""
        return tuned_of(self.analysis, self.pair)

    def plot_slices(self) -> ShownFigure | None:
        """Validation accuracy over each searched knob."""
        return self._drawn("slices")

    def plot_contour(self, pair: Pair | None = None) -> ShownFigure | None:
        """Validation accuracy over two knobs at once.

        Args:
            pair: the knobs; default: :attr:`pair`.

        Raises:
            UserError: they are not two searched knobs.
        """
        return self._drawn("contour", pair)

    def plot_parallel(self) -> ShownFigure | None:
        """Every trial over all searched knobs."""
        return self._drawn("parallel")

    def plot_best_so_far(self) -> ShownFigure | None:
        """The best validation accuracy so far by trial, beside the same trials in random order."""
        return self._drawn("best_so_far")

    def plot_accuracy_vs_mb(self) -> ShownFigure | None:
        """Every trial's validation accuracy against the MB that it had sent."""
        return self._drawn("accuracy_vs_mb")

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that :meth:`figure` draws."""
        return tuple(MAKERS)

    def figure(self, name: str = "slices") -> ShownFigure:
        """One of the report's figures.

        Raises:
            UserError: there is no such figure, or nothing that it could show.
        """
        return draw(name, self.tuned).figure

    def _drawn(self, name: str, pair: Pair | None = None) -> ShownFigure | None:
        searched = self.tuned.space or self.tuned.knobs
        asked = checked_pair(pair, searched) if pair else self.tuned.pair
        drawing = drawn(name, replace(self.tuned, pair=asked))
        return None if drawing is None else drawing.figure

    def _repr_html_(self) -> str:
        heads, *rows = lines(ten_columns(self.tuned), best_ten(self.tuned))
        drawing = drawn("slices", self.tuned)
        main = (drawing.figure, drawing.caption) if drawing else None
        return table_html(self.name, self.sentence, heads, rows, main)


def results_of(
    result: ComparisonResult,
    folder: Path,
    reference: str | None = None,
    target: float | None = None,
    pair: Pair | None = None,
) -> Results:
    """What was found, as its command found it.

    Raises:
        UserError: a pair of knobs, and it is not the search of one method.
    """
    if is_tuning(result):
        return TuneResults(result, folder, reference, target, pair)
    if pair is not None:
        raise UserError(f"{result.name} is a comparison: a pair is of one method's search")
    return Results(result, folder, reference, target)
