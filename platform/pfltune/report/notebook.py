"""What was found, for who works in Python: tables as DataFrames, figures that a notebook shows."""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pfltune.errors import UserError
from pfltune.knobs import Value
from pfltune.record import Record
from pfltune.report import words
from pfltune.report.analysis import Analysis, analyse
from pfltune.report.canvas import ShownFigure
from pfltune.report.columns import cells, result_columns
from pfltune.report.figures import MAKERS, draw
from pfltune.report.frames import (
    cells_frame,
    clients_frame,
    curves_frame,
    efforts_frame,
    fronts_frame,
    race_frame,
    studies_frame,
    sweep_frame,
    table_frame,
    trials_frame,
    within_frame,
    within_series,
)
from pfltune.report.page import rendered
from pfltune.report.results import ComparisonResult, ToldTrial
from pfltune.report.sensitivity import Cells, cells_of, heads, rows
from pfltune.report.sensitivity import figure as sensitivity_figure
from pfltune.report.side_by_side import scenario_columns
from pfltune.report.sweep import SweepResult, over_settings

if TYPE_CHECKING:
    import pandas as pd


class Told:
    """What a journal tells of trials, as DataFrames; names of figures are those of MLflow.

    Accuracies are in [0, 1], MB are 10^6 bytes, ``time/…`` are seconds.
    """

    def told(self) -> Iterable[ToldTrial]:
        """The trials."""
        raise NotImplementedError

    @property
    def trials(self) -> "pd.DataFrame":
        """A row per trial, of all stages.

        Columns: ``trial``, ``method``, ``stage`` (``search``, ``choose``, ``confirm`` or
        ``control``), ``study``, ``index`` within them, ``seed``, ``generation`` (-1 outside the
        search),
        ``outcome`` (``finished``, ``stopped early``, ``failed`` or ``running``), ``failure``,
        ``rounds_done``, ``knobs/NAME`` for each knob, and the last value of each figure.
        ``selected/…`` are figures at the round that was chosen on validation.
        """
        return trials_frame(self.told())

    @property
    def curves(self) -> "pd.DataFrame":
        """A row per trial and round: what the trial was, ``round``, and all figures of the round.

        ``comm/total_mb`` is what all sampled clients together have exchanged so far. A figure of a
        round without an evaluation is NaN.
        """
        return curves_frame(self.told())

    @property
    def clients(self) -> "pd.DataFrame":
        """A row per confirmation trial that has ended and client, in the chosen round.

        Columns: what the trial was, ``client`` (its number in the partition), ``val_accuracy`` and
        ``test_accuracy`` on the client's own samples.
        """
        return clients_frame(self.told())


class Recorded(Protocol):
    """What stands in a record and a journal."""

    @property
    def record(self) -> Record:
        """What was asked for, and what it ran with."""


R = TypeVar("R", bound=Recorded)


@dataclass(frozen=True, eq=False, repr=False)
class OfJob(Told, Generic[R]):
    """What a job found that has a page.

    Attributes:
        result: what stands in its record and its journal.
        folder: its own, in the results folder.
    """

    result: R
    folder: Path

    @property
    def record(self) -> Record:
        """What was asked for, and what it ran with."""
        return self.result.record

    @property
    def name(self) -> str:
        """Of the job."""
        return self.record.name

    @property
    def report(self) -> Path:
        """The page of the report; tables and figures for a paper lie beside it."""
        return self.folder / "report" / "report.html"


@dataclass(frozen=True, eq=False, repr=False)
class Results(OfJob[ComparisonResult]):
    """What a comparison or the search of one method found; a notebook shows table and main figure.

    Attributes:
        result: what stands in its record and its journal.
        folder: its own, in the results folder.
        reference: method that the others are held against; None for the best on validation data.
        target: validation accuracy that methods are timed to; None for 95 % of the best one's.
    """

    reference: str | None = None
    target: float | None = None

    @property
    def table(self) -> "pd.DataFrame":
        """A row per method, by its short name, the best test accuracy first.

        Columns: ``title``; ``seeds`` that ended; ``test/accuracy``, mean over clients and seeds at
        the round chosen on validation, its ``test/accuracy_std_seeds`` over seeds and the ends
        ``test/accuracy_low`` and ``…_high`` of its 95 % interval; ``test/accuracy_std`` and
        ``…_worst_decile`` over clients; ``val/accuracy``; ``comm/…`` in MB, per round, in total and
        per client and round; ``params/…``; ``train/total_steps``; ``time/total_s``;
        ``memory/peak_mb``; ``difference`` to the ``reference`` with its interval and
        ``p_all_pairs``, which hold for all pairs of methods together and ``generalises_over`` what
        is named there, ``p`` of this pair by itself, ``effect_size`` (the difference in standard
        deviations of the paired differences of single clients and seeds), ``verdict``;
        ``rounds_to_target`` and ``mb_to_target``. What a method has no figure of is NaN.
        """
        return table_frame(self.analysis)

    @property
    def fronts(self) -> "pd.DataFrame":
        """With several objectives, a row per search trial of all rounds and per confirmed one.

        Columns: ``method``; ``part``, ``val`` for a search trial and ``test`` for a confirmed
        configuration, whose method has its letter; ``trial``, the number of the search trial;
        ``accuracy``; ``comm/total_mb``; ``on_front``, whether no other of the method and part is as
        accurate for as many MB or fewer. Nothing with one objective.
        """
        return fronts_frame(self.analysis)

    @property
    def race(self) -> "pd.DataFrame":
        """A row per hypothesis of a race; none where nothing was to be decided.

        Columns: ``of``, a method that may be the best, or two that may be equal; ``state``, see
        :class:`pfltune.racing.question.Question`; who is ``better``, of a pair that is decided;
        ``seeds`` after which it was settled, or that were weighed; its ``e_value``, what was
        ``needed``, the ``threshold``; ``seeds_more`` that it would take, NaN where that cannot be
        said; ``course`` of the e-value, a number after each seed.
        """
        return race_frame(self.result)

    @property
    def studies(self) -> "pd.DataFrame":
        """A row per method and independent search of it.

        Columns: ``method``, ``study``, ``seeds`` that ended, the chosen trial's
        ``search/val_accuracy``, ``val/accuracy`` and ``test/accuracy`` with the seeds of the
        confirmation, ``test/accuracy_std_seeds``, and ``knobs/NAME`` of what was chosen.
        """
        return studies_frame(self.analysis)

    @property
    def best_after(self) -> "pd.DataFrame":
        """A row per method and number n of search trials: the best validation accuracy of n.

        Columns: ``method``, ``trials``, ``val/accuracy`` (mean over studies), ``lowest`` and
        ``highest`` study, the ``round`` that all trials are read at, ``studies``. Of random search
        it is expected over the order of the draws.
        """
        return efforts_frame(self.analysis)

    @cached_property
    def analysis(self) -> Analysis:
        """All that follows from the figures."""
        return analyse(self.result, self.reference, self.target)

    @property
    def within(self) -> "pd.DataFrame":
        """A row per method, figure that adds up what is spent, and budget of it.

        Columns: ``method``; ``figure``, one of ``comm/total_mb``, ``train/total_steps``,
        ``compute/total_pflop`` and ``time/total_s``; ``budget`` in its unit; ``seeds``;
        ``test/accuracy`` of the round that is best on validation among those within the budget,
        mean over clients and seeds, with its ``test/accuracy_std_seeds``; ``ended``, whether all
        rounds were within it.
        """
        return within_frame(self.result)

    def best_within(self, budget: str) -> "pd.Series":
        """Test accuracy of each method within a budget, by short name; see :attr:`within`.

        Args:
            budget: such as ``"200MB"``, ``"20000steps"``, ``"5PFLOP"`` or ``"2h"``.

        Raises:
            UserError: it is none.
        """
        return within_series(self.result, budget)

    def told(self) -> Iterable[ToldTrial]:
        """The trials, method by method."""
        return (trial for method in self.result.methods for trial in method.trials)

    def best_of(self, method: str | None = None) -> dict[str, Value]:
        """The configuration that the search of a method chose.

        Args:
            method: short name or title; not needed where there is one method only.

        Raises:
            UserError: there is no such method, or its search found none.
        """
        return dict(self.result.find(method).choice())

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that :meth:`figure` draws."""
        return tuple(MAKERS)

    def figure(self, name: str = "accuracy_vs_communication") -> ShownFigure:
        """One of the report's figures.

        Raises:
            UserError: there is no such figure, or nothing that it could show.
        """
        return draw(name, self.analysis).figure

    def __repr__(self) -> str:
        names = ", ".join(method.name for method in self.result.methods)
        return f"<{self.record.command} {self.name}: {names}>"

    def _repr_html_(self) -> str:
        columns = result_columns(self.analysis)
        lines = [[m.title, *cells(m, columns)] for m in self.result.methods]
        note = words.status(self.result) or words.accuracy_note([self.result])
        return table_html(
            self.name, note, ["method", *(c.title for c in columns)], lines, self._main()
        )

    def _main(self) -> tuple[ShownFigure, str] | None:
        """The first figure of the report, with its caption; None without one."""
        for name in MAKERS:
            try:
                drawing = draw(name, self.analysis)
            except UserError:
                continue
            return drawing.figure, drawing.caption
        return None


@dataclass(frozen=True, eq=False, repr=False)
class SensitivityResults(Told):
    """What a sensitivity study found; a notebook shows its table and its figure.

    Attributes:
        record: what was asked for, and what it ran with.
        folder: its own, in the results folder.
        all_trials: what its journal tells.
    """

    record: Record
    folder: Path
    all_trials: Sequence[ToldTrial]

    @property
    def name(self) -> str:
        """Of the study."""
        return self.record.name

    @property
    def report(self) -> Path:
        """The folder of its tables and its figure."""
        return self.folder / "report"

    @cached_property
    def cells(self) -> Cells:
        """The figures by personal part; those whose trials all failed are absent."""
        return cells_of(self.all_trials)

    @property
    def table(self) -> "pd.DataFrame":
        """A row per personal part.

        Columns: ``seeds``, ``test/accuracy`` with its ``test/accuracy_std_seeds``, and
        ``comm/mb_per_round``, MB of all sampled clients together.
        """
        return cells_frame(self.cells)

    def told(self) -> Iterable[ToldTrial]:
        """The trials, one part after the other."""
        return self.all_trials

    def figure(self) -> ShownFigure:
        """Test accuracy with each part personal, alone and with the head."""
        return sensitivity_figure(self.cells)

    def __repr__(self) -> str:
        return f"<sensitivity {self.name}: {len(self.cells)} personal parts>"

    def _repr_html_(self) -> str:
        noun = next((cell.goal.noun for cell in self.cells.values()), "")
        main = (self.figure(), f"Test {noun} by personal part.") if self.cells else None
        return table_html(self.name, "", heads(self.cells), rows(self.cells), main)


@dataclass(frozen=True, eq=False, repr=False)
class SweepResults:
    """What the cells of a sweep found; a notebook shows their table and the figure over them.

    Attributes:
        found: the cells side by side.
        folder: the sweep's own, in the results folder.
    """

    found: SweepResult
    folder: Path

    @property
    def name(self) -> str:
        """Of the sweep."""
        return self.found.sweep.name

    @property
    def report(self) -> Path:
        """The page of the report; tables and figures for a paper lie beside it."""
        return self.folder / "report" / "report.html"

    @property
    def cells(self) -> dict[str, Results]:
        """What each cell found, by its label, such as ``alpha=0.1``."""
        return {
            cell.label: Results(analysis.result, self.folder.parent / cell.name)
            for cell, analysis in zip(self.found.cells, self.found.analyses, strict=True)
        }

    @property
    def missing(self) -> dict[str, str]:
        """Why cells have no figures, by the name of their comparison."""
        return dict(self.found.missing)

    @property
    def table(self) -> "pd.DataFrame":
        """A row per cell and method: swept settings, ``method``, then as :attr:`Results.table`."""
        return sweep_frame(self.found)

    def figure(self) -> ShownFigure:
        """Test accuracy over what was swept.

        Raises:
            UserError: there is nothing that it could show.
        """
        drawing = over_settings(self.found)
        if drawing is None:
            raise UserError(f"the sweep {self.name} has nothing to draw")
        return drawing.figure

    def __repr__(self) -> str:
        return f"<sweep {self.name}: {', '.join(cell.label for cell in self.found.cells)}>"

    def _repr_html_(self) -> str:
        columns = scenario_columns(self.found.table)
        titles = self.found.table.titles
        lines = [[titles[m.name], *cells(m, columns)] for m in self.found.table.methods]
        drawing = over_settings(self.found)
        main = (drawing.figure, drawing.caption) if drawing else None
        note = "; ".join(f"{name} is missing: {why}" for name, why in self.missing.items())
        return table_html(self.name, note, ["method", *(c.title for c in columns)], lines, main)


def table_html(
    title: str,
    note: str,
    heads: Sequence[str],
    lines: Sequence[Sequence[str]],
    main: tuple[ShownFigure, str] | None,
) -> str:
    """A table and a figure for a notebook's cell; whatever strangers say is escaped."""
    content: dict[str, Any] = {"image": "", "caption": ""}
    if main is not None:
        figure, caption = main
        content = {"image": base64.b64encode(figure.png()).decode(), "caption": caption}
    return rendered("notebook.html.j2", title=title, note=note, heads=heads, rows=lines, **content)
