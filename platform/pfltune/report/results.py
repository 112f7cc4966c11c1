"""What a comparison found, read from its record and its journal and nothing else."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from statistics import fmean

import numpy as np

from pfltune import figures
from pfltune.budget import Budget
from pfltune.draws import refuse_several
from pfltune.errors import UserError, unknown
from pfltune.figures import Figure, Measure, Part
from pfltune.front import fronted, letter_of
from pfltune.goal import ACCURACY, Goal, figures_of
from pfltune.knobs import Value
from pfltune.ownership import see_inside
from pfltune.racing.race import Race, race
from pfltune.ranking import (
    BY_ROUNDS,
    DEEPEST,
    Course,
    Outcome,
    Standing,
    best_first,
    share,
)
from pfltune.record import RECORD, Change, Record, read_record
from pfltune.registry import short_name
from pfltune.replays import refuse_replay
from pfltune.report.balance import balanced, spread
from pfltune.stages import sees_test
from pfltune.text import count, plain
from pfltune.ties import best_first as by_score
from pfltune.tracking.endings import final_figures
from pfltune.tracking.events import (
    Event,
    MethodEnded,
    RoundDone,
    Selected,
    TrialEnded,
    TrialStarted,
)
from pfltune.tracking.journal import Journal

Curve = list[tuple[int, float]]

SPENT = tuple(
    figure.name for figure in (figures.TOTAL, figures.STEPS, figures.PFLOP, figures.SECONDS)
)
MEANS = (
    *(figures.TOTAL, figures.SETUP, figures.SHARED, figures.PERSONAL, figures.STEPS),
    *(figures.ADAPTATION_STEPS, figures.SECONDS, figures.PEAK),
)
# Only with unseen clients, and only since it is counted.
SOMETIMES = (figures.UNSEEN_TEST.name, figures.GFLOPS.name, figures.PFLOP.name)
POOLED, OF_NOBODY = (
    figures.selected("test", figures.ACCURACY.name + ending)
    for ending in (figures.POOLED, figures.GLOBAL)
)


@dataclass(frozen=True)
class ConfirmedRun:
    """One confirmation trial that ran to its end, or one of a control.

    Attributes:
        seed: its seed.
        metrics: the last value of every metric; ``selected/…`` are those of the chosen round.
        curves: (round, value) of the goal's figure on both parts, and of what is spent.
        val, test: of every client in the chosen round the score, see :mod:`pfltune.goal`, so of
            accuracy in [0, 1], in the order of ``clients``; those without a test are left out.
        clients: indices of these clients in the partition; empty stands for all, in their order.
        selected: all that is known of the chosen round; None in what a test made up.
        goal: what it went by.
        study: which of several independent searches chose what it trains.
        knobs: its configuration.
    """

    seed: int
    metrics: dict[str, float]
    curves: dict[str, Curve]
    val: tuple[float, ...] = ()
    test: tuple[float, ...] = ()
    clients: tuple[int, ...] = ()
    study: int = 0
    knobs: Mapping[str, Value] = field(default_factory=dict)
    selected: Selected | None = None
    goal: Goal = ACCURACY

    def score(self, part: Part) -> float:
        """Mean over clients in the chosen round."""
        return self.goal.score(self.metrics.get(self.goal.selected(part).name, float("nan")))

    def course(self, part: Part) -> Curve:
        """(round, mean score over clients) of the evaluated rounds."""
        curve = self.curves.get(self.goal.of(part).name, ())
        return [(step, self.goal.score(value)) for step, value in curve]

    @property
    def indices(self) -> tuple[int, ...]:
        """The index of each client."""
        return self.clients or tuple(range(len(self.test)))


@dataclass(frozen=True)
class SearchedRun:
    """One search trial; it never saw test data.

    Attributes:
        index: its number within the method's search, in the order of the suggestions.
        generation: number of the generation that it was halved in.
        seed: its seed, the same for all.
        knobs: its configuration; numbers and truth values are no texts.
        outcome: ``finished``, ``stopped early``, ``failed``, or ``running`` without an end so far.
        rounds: how far it came.
        far: the same as rungs of a budget, see :meth:`pfltune.ranking.Course.reached`; None where
            rounds say it.
        curve: (round, score), the best mean validation score so far.
        shares: (share of its budget, score) at each power of 1/η that it came to, the whole
            included; None where rounds end it.
        metrics: the last value of every metric.
        needs_mb: what it sent in all rounds, or would send if all were like those that it ran; NaN
            where none did.
        fits: whether that is no more than it may send; a trial that does not is never chosen.
        study: which of several independent searches it is of.
    """

    index: int
    generation: int
    seed: int
    knobs: dict[str, Value]
    outcome: str
    rounds: int
    curve: Curve
    metrics: Mapping[str, float] = field(default_factory=dict)
    needs_mb: float = float("nan")
    fits: bool = True
    far: int | None = None
    study: int = 0
    shares: Sequence[tuple[float, float]] | None = None

    @property
    def course(self) -> Sequence[tuple[float, float]]:
        """(where, score), to be read beside others: by round, or by the share of a budget.

        With a budget, the same round of two trials is not the same for both: a rung of it is.
        """
        return self.curve if self.shares is None else self.shares

    @property
    def reached(self) -> int:
        """How far it came, to be compared with others of its method."""
        return self.rounds if self.far is None else self.far

    @property
    def value(self) -> float:
        """The score at its end; NaN if it was never evaluated."""
        return self.curve[-1][1] if self.curve else float("nan")


@dataclass(frozen=True)
class Finalist:
    """A configuration that was trained again with fresh seeds before one was chosen.

    Attributes:
        index: of its search trial.
        knobs: the configuration.
        values: its score at the end by the seed of each trial that ran all its rounds.
        study: in which of several independent searches it was a finalist.
    """

    index: int
    knobs: Mapping[str, Value]
    values: Mapping[int, float]
    study: int = 0

    @property
    def mean(self) -> float:
        """Over its seeds; NaN if no trial of it has run all its rounds."""
        return float(np.mean(list(self.values.values()))) if self.values else float("nan")


@dataclass(frozen=True)
class MethodResult:
    """One row of the table. Scores are of the goal, of accuracy in [0, 1]; MB are 10^6 bytes.

    A method of whose front several configurations were confirmed has a row for each, the most
    accurate on validation first; all but confirmation trials stand in the first of them.

    Attributes:
        name: short name of the method; of one with several rows with the row's letter,
            ``fedperfix (a)``.
        title: how it is written in a paper; likewise.
        best: the configuration that the search chose; of several studies that of the one which did
            best on validation data with the seeds of the confirmation.
        runs: the confirmation trials, by study, then by seed: those with the seeds that every study
            has.
        search_trials, failed_trials: number of search trials, and of trials that failed.
        search_steps: local steps that the search and its finalists spent.
        failures: why trials failed, each reason once.
        searched: the search trials, in the order of the suggestions.
        finalists: what was trained again before one was chosen, the best of the search first.
        ended: trials that have ended, of all stages.
        is_over: whether there is nothing more to come.
        trials: all its trials, as the journal tells of them.
        chosen: what each of several studies chose, None if every trial failed; empty for one.
        controls: tests of what the search began with, with the seeds of the confirmation.
        unfit: why none of its configurations can be chosen, in words, where all that have run
            would send too much; else empty.
        of: short name of the method; empty where that is ``name``, in its only row.
        place: of the row among those of its method, from 0.
        course: of its trials.
        goal: what it is ranked by.
    """

    name: str
    title: str
    best: dict[str, Value]
    runs: tuple[ConfirmedRun, ...]
    search_trials: int
    failed_trials: int
    search_steps: float
    failures: tuple[str, ...]
    searched: tuple[SearchedRun, ...] = ()
    finalists: tuple[Finalist, ...] = ()
    ended: int = 0
    is_over: bool = True
    trials: "tuple[ToldTrial, ...]" = ()
    chosen: tuple[Mapping[str, Value] | None, ...] = ()
    controls: tuple[ConfirmedRun, ...] = ()
    course: Course = BY_ROUNDS
    unfit: str = ""
    of: str = ""
    place: int = 0
    goal: Goal = ACCURACY

    @property
    def method(self) -> str:
        """Short name of the method, whichever row it is."""
        return self.of or self.name

    @property
    def letter(self) -> str:
        """Which configuration of its method's front it is; empty for the only row."""
        return letter_of(self.place) if self.of else ""

    @property
    def bare_title(self) -> str:
        """The title of its method."""
        return self.title.removesuffix(f" ({self.letter})")

    def choice(self) -> Mapping[str, Value]:
        """The configuration that the search chose.

        Raises:
            UserError: it has chosen none so far, or none at all.
        """
        if not self.best and not self.runs:
            failed = "; ".join(self.failures) or self.unfit or "every trial failed"
            why = failed if self.is_over else "its search has not ended"
            raise UserError(f"{self.title} has no best configuration: {why}")
        return self.best

    @property
    def reused(self) -> int:
        """Trials that were known from before, wholly or as far as that went."""
        return count_reused(self.trials)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the confirmation trials, in their order."""
        return tuple(dict.fromkeys(run.seed for run in self.runs))

    @property
    def studies(self) -> tuple[int, ...]:
        """Those with confirmation trials."""
        return tuple(dict.fromkeys(run.study for run in self.runs))

    def crossed(
        self, seeds: Sequence[int] | None = None, studies: Sequence[int] | None = None
    ) -> np.ndarray:
        """Test score of every client in the chosen round, float64 (studies, seeds, clients).

        Args:
            seeds, studies: those wanted, in the order wanted; default: all.
        """
        found = {(run.study, run.seed): run.test for run in self.runs}
        wanted = self.seeds if seeds is None else seeds
        searches = self.studies if studies is None else studies
        rows = [[found[study, seed] for seed in wanted] for study in searches]
        return np.array(rows, dtype=np.float64)

    def clients(self, seeds: Sequence[int] | None = None) -> np.ndarray:
        """The same, mean over studies, float64 (seeds, clients)."""
        crossed = self.crossed(seeds)
        return crossed[0] if len(crossed) == 1 else crossed.mean(0)

    def of_study(self, study: int) -> "MethodResult":
        """What one of several studies did, as if there were no others."""
        if not self.chosen:
            return self
        trials = tuple(trial for trial in self.trials if trial.started.study == study)
        return replace(
            self,
            best=dict(self.chosen[study] or {}),
            runs=tuple(run for run in self.runs if run.study == study),
            searched=tuple(run for run in self.searched if run.study == study),
            finalists=tuple(each for each in self.finalists if each.study == study),
            trials=trials,
            search_trials=sum(run.study == study for run in self.searched),
            search_steps=_search_steps(trials),
            failed_trials=sum(trial.outcome == "failed" for trial in trials),
            chosen=(),
        )

    def each_study(self) -> "tuple[MethodResult, ...]":
        """What each of its studies did; of one search, itself."""
        return tuple(map(self.of_study, range(len(self.chosen)))) or (self,)

    @property
    def leading(self) -> int:
        """The first of several studies that chose what is the best."""
        return next((n for n, chosen in enumerate(self.chosen) if chosen == self.best), 0)

    def scores(self, part: Part) -> list[float]:
        """Mean score over clients in the chosen round, one per study and seed."""
        return [run.score(part) for run in self.runs]

    @property
    def test(self) -> float:
        """Mean test score over studies and seeds; NaN if no confirmation trial ended."""
        return float(np.mean(self.scores("test"))) if self.runs else float("nan")

    @property
    def val(self) -> float:
        """Mean validation score in the chosen rounds; likewise."""
        return float(np.mean(self.scores("val"))) if self.runs else float("nan")

    def score_std(self, part: Part = "test") -> float:
        """Sample standard deviation of these over studies and seeds, see :meth:`std`."""
        return self._spread(self.scores(part))

    def mean(self, metric: str) -> float:
        """Mean over studies and seeds; NaN if no confirmation trial ended."""
        values = self.values(metric)
        return float(np.mean(values)) if values else float("nan")

    def std(self, metric: str) -> float:
        """Sample standard deviation over studies and seeds, see :func:`spread`; NaN for one run."""
        return self._spread(self.values(metric))

    def _spread(self, values: Sequence[float]) -> float:
        return spread(np.reshape(values, (len(self.studies), -1))) if values else float("nan")

    def per_round(self, figure: Figure) -> float:
        """What a figure that adds up comes to in a round, mean over seeds."""
        return self.mean(figure.name) / self.mean(figures.ROUNDS.name)

    def values(self, metric: str) -> list[float]:
        """One value per study and seed."""
        return [run.metrics[metric] for run in self.runs]

    def summary(self) -> dict[str, float]:
        """The figures of the table, under the names that MLflow shows."""
        if not self.runs:
            return {}
        goal = self.goal
        sometimes = {
            _short(name): self.mean(name)
            for name in (goal.unseen.name, *SOMETIMES, POOLED, OF_NOBODY)
            if all(name in run.metrics for run in self.runs)
        }
        if not goal.is_accuracy:
            sometimes[figures.TEST.name] = self.mean(figures.SELECTED_TEST.name)
        if len(self.runs) > 1:
            sometimes[goal.of_table(figures.TEST_STD_SEEDS).name] = self.score_std()
        return sometimes | {
            goal.of("test").name: goal.score(self.test),
            **{
                goal.of("test", ending).name: self.mean(goal.selected("test", ending).name)
                for ending in (figures.STD, figures.WORST)
            },
            **({} if isnan(self.val) else {goal.of("val").name: goal.score(self.val)}),
            figures.MB_PER_ROUND.name: self.per_round(figures.TOTAL),
            **{figure.name: self.mean(figure.name) for figure in MEANS},
            **self._others(),
        }

    def _others(self) -> dict[str, float]:
        """Those that the scenario's metrics and the method itself have added."""
        everywhere = set.intersection(*(set(run.metrics) for run in self.runs))
        return {
            _short(name): self.mean(name)
            for name in self.runs[0].metrics
            if name in everywhere
            and name not in figures.FIGURES
            and name.startswith((figures.SELECTED, figures.OF_METHOD))
        }


@dataclass(frozen=True)
class ComparisonResult:
    """All methods of a comparison, the best test score first.

    Attributes:
        name: of the comparison.
        id: no other comparison has it.
        scenario: its scenario.
        record: what it was asked for and ran with.
        methods: the rows; those without a finished confirmation trial come last.
        changes: when it was made by other code from then on.
        damage: what is wrong with its journal, whose rest is left out; empty if nothing is.
        measures: what is told of each client beside accuracy.
        budgets: what methods could spend that were given another budget than the record's, by
            short name.
        remarks: sentences on where its rows come from, or that some are left out.
        race: how it stands with what was to be decided, among all its methods; None where nothing
            was, or where rows come from several comparisons.
    """

    name: str
    id: str
    scenario: str
    record: Record
    methods: tuple[MethodResult, ...]
    changes: tuple[Change, ...] = ()
    damage: str = ""
    measures: tuple[Measure, ...] = ()
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    race: Race | None = None

    @property
    def goal(self) -> Goal:
        """What its methods are ranked by."""
        return self.record.goal

    @property
    def confirmed(self) -> tuple[MethodResult, ...]:
        """The methods with a figure."""
        return tuple(method for method in self.methods if method.runs)

    @property
    def whole(self) -> tuple[MethodResult, ...]:
        """Each method once, by its own name: of one with several rows the first, with its search.

        Its figures are those of that row; only what it searched is all of it.
        """
        return tuple(
            replace(row, name=row.of, title=row.bare_title, of="") if row.of else row
            for row in self.methods
            if not row.place
        )

    @property
    def budget(self) -> Budget:
        """What each method could spend."""
        if not isinstance(self.record.budget, Budget):
            raise TypeError(f"{self.name} is no comparison")
        return self.record.budget

    @property
    def is_partial(self) -> bool:
        """Whether something is still to come."""
        return not all(method.is_over for method in self.methods)

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return sum(method.ended for method in self.methods)

    @property
    def reused(self) -> int:
        """Trials that were known from before, of all methods."""
        return count_reused(self.trials)

    @property
    def trials(self) -> "tuple[ToldTrial, ...]":
        """All that have begun."""
        return tuple(trial for method in self.methods for trial in method.trials)

    @property
    def planned(self) -> int:
        """Trials of all methods, as many as there can be of those that are not over."""
        return sum(self._planned(method) for method in self.methods)

    def find(self, wanted: str | None) -> MethodResult:
        """A method by its short name or title; None means the only one.

        Raises:
            UserError: there is none, there are several, or it has several rows.
        """
        if wanted is None and len(self.methods) == 1:
            return self.methods[0]
        for method in self.methods:
            if str(wanted).lower() in (method.name.lower(), method.title.lower()):
                return method
        names = [method.name for method in self.methods]
        rows = [m.name for m in self.methods if m.of and wanted in (None, m.of)]
        if rows and (wanted or len(rows) == len(names)):
            raise UserError(
                f"{self.name} chose {count(len(rows), 'configuration')}, its front; name one of: "
                f"{', '.join(rows)}"
            )
        if wanted is None:
            raise UserError(f"{self.name} has several methods; name one of: {', '.join(names)}")
        raise unknown("method", wanted, names)

    def budget_of(self, method: str) -> Budget:
        """What a method could spend, by its short name."""
        return self.budgets.get(method, self.budget)

    def _planned(self, method: MethodResult) -> int:
        if method.is_over:
            return method.ended
        if method.place:
            return 0  # counted in the method's first row
        if method.name in self.record.chosen:
            return sum(self.budget_of(method.name).planned(chosen=True).values())
        is_searched = self.record.spaces.get(method.method, {}).get("search", True)
        return sum(self.budget_of(method.method).planned(bool(is_searched)).values())


def read_results(results: Path, name: str) -> ComparisonResult:
    """A comparison in a results folder, finished or not.

    Raises:
        UserError: there is none of that name, it is no comparison, or it has not begun yet.
    """
    record = find_record(results, name)
    if not isinstance(record.budget, Budget):
        raise UserError(f"{name!r} is no comparison: it was run by pfltune {record.command}")
    journal = begun_journal(results / name, record)
    goal = record.goal
    trials, endings = told_trials(journal.events, goal)
    methods = [
        row
        for short in map(short_name, record.methods)
        for row in _rows(
            short,
            record.titles.get(short, short),
            [trial for trial in trials if trial.started.method == short],
            endings.get(short),
            record.budget,
            record.scenario.protocol.course(record.budget.eta),
        )
    ]
    methods = alike([replace(method, goal=goal) for method in methods])
    return ComparisonResult(
        name,
        record.id,
        record.scenario.name,
        record,
        ranked(methods),
        record.changes,
        journal.damage or "",
        record.measures,
        race=_race(record.budget, methods),
    )


def _race(budget: Budget, methods: Sequence[MethodResult]) -> Race | None:
    """What the tests that have ended decide; methods whose search found nothing take no part."""
    if budget.decide is None:
        return None
    figures = {method.name: list(_tests(method)) for method in methods}
    entered = {name: found for name, found in figures.items() if found}
    waiting: dict[str, list[float | None]] = {
        method.name: [] for method in methods if not method.is_over
    }
    return race(budget.decide, budget.most_seeds, {**waiting, **entered})


def _tests(method: MethodResult) -> Iterator[float | None]:
    """Test score of each seed from the first on, up to one that has not ended.

    Mean over studies; None where one of them failed.
    """
    tests = [trial for trial in method.trials if trial.started.stage == "confirm"]
    studies = len({trial.started.study for trial in tests})
    for index in range(max((trial.started.index for trial in tests), default=-1) + 1):
        ended = [trial for trial in tests if trial.started.index == index and trial.ended]
        if len(ended) < studies:
            return
        found = [trial.score("test") for trial in ended if trial.outcome == "finished"]
        yield fmean(found) if len(found) == studies else None


def begun_journal(folder: Path, record: Record) -> Journal:
    """The journal of what has begun, in its folder.

    Raises:
        UserError: it has not begun yet, or nothing of the journal can be read.
    """
    journal = Journal(folder / record.journal, record.seal)
    if not journal.events:
        raise UserError(journal.damage or f"{folder.name!r} has not begun yet")
    return journal


def ranked(methods: Iterable[MethodResult]) -> tuple[MethodResult, ...]:
    """The best test score first, by name among equals; those without a figure last."""
    ordered = sorted(methods, key=lambda m: (by_score(m.test), m.name))
    return tuple(sorted(ordered, key=lambda m: not m.runs))


def find_record(results: Path, name: str) -> Record:
    """The record of what is named so in a results folder.

    Raises:
        UserError: there is nothing of that name.
    """
    if name in ("", ".", "..") or "/" in name:
        raise UserError(f"{name!r} is no name of a comparison")
    see_inside(results / name, results)
    refuse_several(results / name)
    refuse_replay(results / name)
    record = read_record(results / name)
    if record is not None:
        return record
    there = sorted(path.parent.name for path in results.glob(f"*/{RECORD}"))
    if not there:
        raise UserError(f"there is no comparison {name!r}, and none at all in {results}")
    raise unknown("comparison", name, there)


@dataclass
class ToldTrial:
    """What a journal says of one trial.

    Attributes:
        started: how it began.
        rounds: its rounds, in their order.
        ended: how it ended; None if it has not.
        goal: what it went by.
    """

    started: TrialStarted
    rounds: list[RoundDone] = field(default_factory=list)
    ended: TrialEnded | None = None
    goal: Goal = ACCURACY

    @property
    def outcome(self) -> str:
        """How it ended; ``running`` while it has not."""
        return self.ended.outcome if self.ended else "running"

    @property
    def reached(self) -> Outcome:
        """How far it came, and its score there; round 0 if it failed or has not begun to train."""
        if self.outcome == "failed" or not self.rounds:
            return Outcome()
        last = self.rounds[-1]
        return Outcome.of(Standing.of(last.round, last.score, last.metrics))

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of each figure."""
        found: dict[str, float] = {}
        for done in self.rounds:
            found |= done.metrics
        return found | (final_figures(self.ended) if self.ended else {})

    def score(self, part: Part) -> float:
        """Mean over clients in the chosen round; NaN without one."""
        return self.goal.score(self.metrics.get(self.goal.selected(part).name, float("nan")))

    @property
    def score_curve(self) -> Curve:
        """(round, best mean validation score so far) of the evaluated rounds."""
        return [(step, self.goal.score(best)) for step, best in self.curve(self.goal.best.name)]

    def curve(self, metric: str) -> Curve:
        """(round, value) of the rounds that have the figure."""
        return [(r.round, r.metrics[metric]) for r in self.rounds if metric in r.metrics]


def count_reused(trials: "Iterable[ToldTrial]") -> int:
    """How many of these trials were known from before, wholly or as far as that went."""
    return sum(trial.started.reused for trial in trials)


def told_trials(
    events: Iterable[Event], goal: Goal = ACCURACY
) -> tuple[list[ToldTrial], dict[str, MethodEnded]]:
    """The trials of a journal by study and index, and how its methods ended."""
    trials: dict[str, ToldTrial] = {}
    endings: dict[str, MethodEnded] = {}
    rounds: dict[str, dict[int, RoundDone]] = defaultdict(dict)
    for event in events:
        if isinstance(event, TrialStarted):
            trials.setdefault(event.trial, ToldTrial(event, goal=goal))
        elif isinstance(event, RoundDone):
            rounds[event.trial].setdefault(event.round, event)
        elif isinstance(event, TrialEnded):
            trials[event.trial].ended = event
        else:
            endings[event.method] = event
    for name, done in rounds.items():
        trials[name].rounds = [done[number] for number in sorted(done)]
    ordered = sorted(trials.values(), key=lambda each: (each.started.study, each.started.index))
    return ordered, endings


def _rows(
    name: str,
    title: str,
    trials: list[ToldTrial],
    ending: MethodEnded | None,
    budget: Budget,
    course: Course,
) -> Iterator[MethodResult]:
    """The row of a method, or of each configuration of its front that is confirmed."""
    shown = fronted(trials, lambda trial: trial.started) if budget.several else ()
    if len(shown) < 2:
        yield _method(name, title, trials, ending, budget, course)
        return
    rest = [trial for trial in trials if trial.started.stage != "confirm"]
    for place, own in enumerate(shown):
        row = _method(name, title, [*([] if place else rest), *own], ending, budget, course)
        letter = f" ({letter_of(place)})"
        yield replace(
            row,
            name=name + letter,
            title=row.title + letter,
            best=dict(own[0].started.knobs),
            of=name,
            place=place,
        )


def _method(
    name: str,
    title: str,
    trials: list[ToldTrial],
    ending: MethodEnded | None,
    budget: Budget,
    course: Course,
) -> MethodResult:
    searched = [trial for trial in trials if trial.started.stage == "search"]
    failed = [trial.ended for trial in trials if trial.ended and trial.outcome == "failed"]
    confirmed, controls = (
        [t for t in trials if t.started.stage == stage and _has_figure(t)]
        for stage in ("confirm", "control")
    )
    best = ending.best if ending else confirmed[0].started.knobs if confirmed else None
    found = {(trial.started.study, trial.started.seed): trial for trial in confirmed}
    runs = tuple(_searched(trial, budget, course) for trial in searched)
    return MethodResult(
        name=name,
        title=plain(title),
        best=dict(best or {}),
        runs=tuple(confirmed_run(found[cell]) for cell in balanced(found)),
        search_trials=len(searched),
        failed_trials=len(failed),
        search_steps=_search_steps(trials),
        failures=tuple(sorted({plain(ended.failure) or "unknown" for ended in failed})),
        searched=runs,
        finalists=_all_finalists(
            searched, [t for t in trials if t.started.stage == "choose"], course
        ),
        ended=sum(trial.ended is not None for trial in trials),
        is_over=ending is not None,
        trials=tuple(trials),
        chosen=tuple(ending.chosen if ending else _chosen_so_far(confirmed)),
        controls=tuple(map(confirmed_run, controls)),
        unfit=_unfit(runs, budget) if ending and not best else "",
        course=course,
    )


def _unfit(searched: Sequence[SearchedRun], budget: Budget) -> str:
    """That all that ran would send too much, and what the least would; empty if they would not."""
    over = [run.needs_mb for run in searched if not run.fits]
    if not over:
        return ""
    return (
        f"no configuration that was tried fits {budget.max_mb:,.4g} MB: the least needs "
        f"{min(over):,.4g} MB"
    )


def _search_steps(trials: "Iterable[ToldTrial]") -> float:
    """Local steps of the search and its finalists."""
    return sum(
        trial.metrics.get(figures.STEPS.name, 0.0)
        for trial in trials
        if not sees_test(trial.started.stage)
    )


def _chosen_so_far(confirmed: Iterable[ToldTrial]) -> list[dict[str, Value] | None]:
    """What each study is tested with before the last has ended; empty where there is one."""
    found = {trial.started.study: trial.started.knobs for trial in confirmed}
    return [found.get(study) for study in range(max(found, default=0) + 1)] if any(found) else []


def confirmed_run(trial: ToldTrial) -> ConfirmedRun:
    """A confirmation trial that ran to its end."""
    goal, selected = trial.goal, trial.ended.selected if trial.ended else None
    val, test = (
        tuple(map(goal.score, figures_of(selected, part))) if selected else ()
        for part in figures.PARTS
    )
    names = (*(goal.of(part).name for part in figures.PARTS), *SPENT)
    return ConfirmedRun(
        seed=trial.started.seed,
        metrics=trial.metrics,
        curves={name: trial.curve(name) for name in names},
        val=val,
        test=test,
        clients=tuple(selected.get("clients", ())) if selected else (),
        study=trial.started.study,
        knobs=trial.started.knobs,
        selected=selected,
        goal=goal,
    )


def alike(methods: Sequence[MethodResult]) -> list[MethodResult]:
    """The methods with the clients alone that have a test score in every run of each.

    A figure may say nothing of a client: an AUROC nothing of one with a single class. Tests and
    intervals are of the same clients for all.
    """
    lacking = _lacking(run for method in methods for run in (*method.runs, *method.controls))
    if not lacking:
        return list(methods)
    return [
        replace(
            method,
            runs=tuple(_of_others(run, lacking) for run in method.runs),
            controls=tuple(_of_others(run, lacking) for run in method.controls),
        )
        for method in methods
    ]


def lacking_clients(result: ComparisonResult) -> list[int]:
    """The clients that some test says nothing of, and that :func:`alike` has left out."""
    told = (trial for trial in result.trials if sees_test(trial.started.stage) and trial.ended)
    runs = (confirmed_run(trial) for trial in told if trial.outcome == "finished")
    return sorted(_lacking(runs))


def lacking_beside(result: ComparisonResult, name: str) -> list[int]:
    """The clients of whose test samples a metric beside the figure gone by says nothing somewhere.

    Args:
        result: a comparison.
        name: of the metric.
    """
    found: set[int] = set()
    for trial in result.trials:
        selected = trial.ended.selected if trial.ended else None
        if selected is None or not sees_test(trial.started.stage):
            continue
        for each in selected.get("metrics", ()):
            if each["name"] == name:
                clients = selected.get("clients") or range(len(each["test"]))
                pairs = zip(clients, each["test"], strict=False)
                found |= {client for client, value in pairs if isnan(value)}
    return sorted(found)


def is_without_figures(result: ComparisonResult) -> bool:
    """Whether confirmation trials ran to their end and no client has a test figure in any."""
    ended = (t for t in result.trials if t.started.stage == "confirm" and t.outcome == "finished")
    return not result.confirmed and any(ended)


def _lacking(runs: Iterable[ConfirmedRun]) -> set[int]:
    return {
        client
        for run in runs
        for client, score in zip(run.indices, run.test, strict=True)
        if isnan(score)
    }


def _of_others(run: ConfirmedRun, lacking: Collection[int]) -> ConfirmedRun:
    kept = [place for place, client in enumerate(run.indices) if client not in lacking]
    val, test = (tuple(each[place] for place in kept) for each in (run.val, run.test))
    return replace(run, val=val, test=test, clients=tuple(run.indices[place] for place in kept))


def _has_figure(trial: ToldTrial) -> bool:
    """Whether it ran to its end and any client has a test score."""
    return trial.outcome == "finished" and not isnan(trial.score("test"))


def _short(name: str) -> str:
    """A figure of the chosen round as it is called where no other round is told of."""
    for part in figures.PARTS:
        if name.startswith(figures.selected(part, "")):
            return figures.on(part, name.removeprefix(figures.selected(part, "")))
    return name


def _searched(trial: ToldTrial, budget: Budget, course: Course) -> SearchedRun:
    reached, metrics = trial.rounds[-1].round if trial.rounds else 0, trial.metrics
    sent = metrics.get(figures.TOTAL.name, float("nan"))
    rounds = course.whole if course.eta is None else float("nan")
    return SearchedRun(
        index=trial.started.index,
        generation=trial.started.generation,
        seed=trial.started.seed,
        knobs=dict(trial.started.knobs),
        outcome=trial.outcome,
        rounds=trial.ended.round if trial.ended else reached,
        far=None if course.eta is None else course.reached(trial.reached),
        curve=trial.score_curve,
        metrics=metrics,
        study=trial.started.study,
        shares=_shares(trial, course.eta),
        needs_mb=sent * rounds / reached if reached else float("nan"),
        fits=budget.fits(reached, sent, rounds),
    )


def _shares(trial: ToldTrial, eta: int | None) -> list[tuple[float, float]] | None:
    """The score where so much of a budget was spent, see :attr:`SearchedRun.shares`."""
    if eta is None:
        return None
    found: dict[float, float] = {}
    for done in trial.rounds:
        if trial.goal.is_nothing(done.score, done.metrics):
            continue
        ahead = Standing.of(done.round, done.score, done.metrics).ahead
        for rung in (share(eta, level) for level in range(DEEPEST)):
            if ahead > rung:
                found.setdefault(rung, done.score)
    return sorted(found.items())


def _all_finalists(
    searched: Sequence[ToldTrial], again: Sequence[ToldTrial], course: Course
) -> tuple[Finalist, ...]:
    """Those of each study, one after the other."""
    studies = sorted({trial.started.study for trial in again})
    return tuple(
        finalist
        for study in studies
        for finalist in _finalists(
            [trial for trial in searched if trial.started.study == study],
            [trial for trial in again if trial.started.study == study],
            course,
        )
    )


def _finalists(
    searched: Iterable[ToldTrial], again: Sequence[ToldTrial], course: Course
) -> tuple[Finalist, ...]:
    """In the order in which they were trained again, which is that of their places in the search.

    Of search trials with the same configuration the best is meant.
    """
    by_index = {trial.started.index: trial for trial in searched}
    order = best_first(((index, trial.reached) for index, trial in by_index.items()), course)
    found: dict[int, list[ToldTrial]] = defaultdict(list)
    for trial in again:
        knobs = trial.started.knobs
        index = next(n for n in order if by_index[n].started.knobs == knobs)
        found[index].append(trial)
    return tuple(_finalist(index, trials) for index, trials in found.items())


def _finalist(index: int, trials: Sequence[ToldTrial]) -> Finalist:
    done = {t.started.seed: t.reached.value for t in trials if t.outcome == "finished"}
    first = trials[0].started
    return Finalist(index, first.knobs, done, first.study)
