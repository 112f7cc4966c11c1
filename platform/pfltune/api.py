"""pfltune from Python: the commands as functions, with the same options and the same record.

A function takes what its command takes, by the same names; see :mod:`pfltune.studies.options`.
What is not given has the command's default, or, with ``resume``, is as the job began. Nothing is
printed but warnings; ``progress=True`` prints lines that say where it stands.

Errors, none of which is ever ``SystemExit``:

- :class:`pfltune.UserError`: something that was asked for is not possible; nothing has begun.
- :class:`pfltune.Halted`: it cannot go on for now, or every trial failed. What is done is kept.
- :class:`pfltune.TrackingError`: it has ended, and MLflow could not be told.
- ``KeyboardInterrupt``: Ctrl-C. What is done is kept, and the same call with ``resume`` goes on.
"""

import inspect
import logging
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar, Unpack, get_type_hints

from pfltune.audit.issue import CERTIFICATE, certificate_of
from pfltune.audit.verify import Verdict, verified
from pfltune.draws import Draws, label, read_draws
from pfltune.errors import Halted, TrackingError, UserError
from pfltune.method import Method
from pfltune.record import Grid, Record, Sensitivity
from pfltune.registry import reference_to
from pfltune.replays import Replay, read_replay
from pfltune.report.attachment import Attachment, attach, attach_grid, attach_report
from pfltune.report.claims.notebook import ClaimResults
from pfltune.report.claims.replayed import read_replayed
from pfltune.report.claims.writer import write_replayed
from pfltune.report.description import of_study
from pfltune.report.draws import read_draws_result
from pfltune.report.draws_notebook import DrawsResults
from pfltune.report.draws_writer import write_draws
from pfltune.report.grid import read_grid
from pfltune.report.grid_results import GridResults
from pfltune.report.grid_writer import write_grid
from pfltune.report.notebook import Results, SensitivityResults, SweepResults
from pfltune.report.optuna_studies import export_studies
from pfltune.report.partition import write_partition
from pfltune.report.results import find_record, read_results
from pfltune.report.sensitivity import study_trials, write_sensitivity
from pfltune.report.sweep import read_sweep_result, write_sweep
from pfltune.report.tuning.notebook import results_of
from pfltune.report.tuning.tuned import Pair, checked_pair
from pfltune.report.writer import read_found, write_found
from pfltune.running.folder_lock import locked
from pfltune.running.job import Job, Progress, Voice, Watched, once
from pfltune.running.session import run_sessions
from pfltune.running.sitting import way_back
from pfltune.running.sittings import House, Ran
from pfltune.running.stopping import ending_when_interrupted
from pfltune.scenario import Scenario
from pfltune.search.plan import Plan
from pfltune.studies import begin
from pfltune.studies.cells import CellsJob
from pfltune.studies.claims import Planned, planned, replay_of
from pfltune.studies.comparison import Comparison
from pfltune.studies.draws import draws_of, extended_draws, first_extended, first_of, followers
from pfltune.studies.options import (
    OPTIONS,
    ClaimOptions,
    CompareOptions,
    ExtendOptions,
    GridOptions,
    SensitivityOptions,
    TuneOptions,
    checked,
    defaults,
    override_texts,
    results_folder,
)
from pfltune.studies.progress import CellLines, ComparisonLines, SweepLines
from pfltune.studies.sweep import jobs_of, sweep_of, swept_texts
from pfltune.sweeps import Sweep, read_sweep
from pfltune.text import count
from pfltune.tracking.store import writable_folder
from pfltune.trials.kept import KeptTrials

log = logging.getLogger("pfltune")

Function = TypeVar("Function", bound=Callable[..., Any])
MethodLike = str | type[Method]
"""A name, ``path/to/file.py:Class``, or a class that is in a file."""
ScenarioLike = str | Path | Scenario
"""A name, the path of a YAML file, or a scenario."""
Found = Results | GridResults | SensitivityResults | SweepResults | DrawsResults | ClaimResults


OPTIONS_OF = {"sweep": "compare"}
"""The command whose options a function takes, where it is not the one of its name."""


class View(Protocol):
    """What is said and shown while a job runs."""

    @property
    def voice(self) -> Voice:
        """Takes what happens, line by line."""

    def progress(self, job: Job) -> Progress:
        """Shows where a job stands."""

    def sweep_progress(self, plans: Mapping[str, Plan]) -> SweepLines:
        """Shows where the cells of a sweep stand, by what they are called."""

    def show(self, found: Found) -> None:
        """Take what was found, as soon as the report is there and before MLflow is given it."""


class Lines:
    """A view in lines; warnings go to the log.

    Args:
        tell: takes a line.
    """

    def __init__(self, tell: Callable[[str], object]) -> None:
        self.voice = Voice(tell, log.warning)

    def progress(self, job: Job) -> Progress:
        """A line now and then."""
        if isinstance(job, CellsJob):
            return CellLines(job.plan, job.told, self.voice.tell)
        return ComparisonLines(job.plan, self.voice.tell)

    def sweep_progress(self, plans: Mapping[str, Plan]) -> SweepLines:
        """A line now and then."""
        return SweepLines(plans, self.voice.tell)

    def show(self, found: Found) -> None:
        """The caller gets it."""


def _like_its_command(function: Function) -> Function:
    """Let the signature show every option with the default that holds where it is not given."""
    command = OPTIONS_OF.get(function.__name__, function.__name__)
    holds, kinds = defaults(command), get_type_hints(OPTIONS[command])
    own = [p for p in inspect.signature(function).parameters.values() if p.name != "options"]
    shown = [p.replace(default=holds.get(p.name, p.default)) for p in own]
    shown += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=holds[name], annotation=k)
        for name, k in kinds.items()
    ]
    vars(function)["__signature__"] = inspect.signature(function).replace(parameters=shown)
    return function


@_like_its_command
def compare(
    methods: MethodLike | Sequence[MethodLike] | None = None,
    *,
    scenario: ScenarioLike | None = None,
    progress: bool | View = False,
    **options: Unpack[CompareOptions],
) -> Results | DrawsResults:
    """Compare methods on one scenario: equal search, fresh seeds, one table.

    With ``partitions=3`` on three draws of clients: accuracy is over these too.

    Args:
        methods: names, ``path/to/file.py:Class``, or classes that are in a file.
        scenario: name, path of a YAML file, or a :class:`pfltune.scenario.Scenario`.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune compare``.

    Returns:
        What was found; its report is written and, where MLflow is, attached there.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    wanted = None if methods is None else _references(methods)
    given = _given("compare", options, methods=wanted, scenario=scenario)
    view = _view(progress)
    if (draws := draws_of(given)) is not None:
        return drawn(draws, given, view)
    _see_one("compare", given)
    return compared("compare", given, view)


@_like_its_command
def tune(
    method: MethodLike | None = None,
    *,
    scenario: ScenarioLike | None = None,
    pair: tuple[str, str] | None = None,
    progress: bool | View = False,
    **options: Unpack[TuneOptions],
) -> Results:
    """Tune one method over its search space; the best configuration is tested with fresh seeds.

    Before that the best ``finalists`` of the search are trained again with ``finalist_seeds`` fresh
    validation seeds, and the one with the best mean is chosen.

    Args:
        method: name, ``path/to/file.py:Class``, or a class that is in a file.
        scenario: name, path of a YAML file, or a :class:`pfltune.scenario.Scenario`.
        pair: two searched knobs that the report draws against each other; default: prefix length
            and learning rate where both are searched, or else the two that matter most.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune tune``.

    Returns:
        :class:`TuneResults`; with several objectives, of which no single configuration is the
        best, :class:`Results` with a row for each that was confirmed.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    given = tuning(method, _given("tune", options, scenario=scenario))
    _see_one("tune", given)
    return compared("tune", given, _view(progress), pair)


@_like_its_command
def extend(
    name: str,
    methods: MethodLike | Sequence[MethodLike] | None = None,
    *,
    progress: bool | View = False,
    **options: Unpack[ExtendOptions],
) -> Results | DrawsResults:
    """Add methods, seeds, search trials or finalists to a comparison, finished or not.

    To a comparison over several draws of clients also more of these.

    Only what is new is trained; the table is that of a comparison that was asked for all at once.

    Args:
        name: of the comparison.
        methods: those to add: names, ``path/to/file.py:Class``, or classes that are in a file.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune extend``.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    wanted = None if methods is None else _references(methods)
    given = _given("extend", options, name=name, methods=wanted)
    view = _view(progress)
    if (draws := extended_draws(given)) is not None:
        return drawn(draws, given, view, first_extended)
    with released():
        job = begin.extension(given)
        run(job, given, view)
    return reported(job, view)


@_like_its_command
def grid(
    methods: MethodLike | Sequence[MethodLike] | None = None,
    *,
    scenario: ScenarioLike | None = None,
    progress: bool | View = False,
    **options: Unpack[GridOptions],
) -> GridResults:
    """Train every choice of some values of some knobs with the same seeds, and draw them.

    ``grid("fedperfix", over={"prefix_length": [1, 4, 16], "lr": [0.01, 0.1]}, knobs={"prefix":
    "tokens"})`` has six cells. Their trials are kept like all others: a search, its finalists and a
    larger grid on the same data train none of them again.

    Args:
        methods: names, ``path/to/file.py:Class``, or classes that are in a file.
        scenario: name, path of a YAML file, or a :class:`pfltune.scenario.Scenario`.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune grid``.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    wanted = None if methods is None else _references(methods)
    given = holding_knobs(_given("grid", options, methods=wanted, scenario=scenario))
    view = _view(progress)
    with released():
        job = begin.grid(given)
        run(job, given, view)
    with _reporting(job, view):
        found = GridResults(write_grid(job.results, job.name), job.folder)
        view.show(found)
        attach_grid(job.results, found.result, found.report.parent, view.voice.warn)
    if not found.result.shown:
        raise Halted("no cell has a figure: every trial failed")
    return found


@_like_its_command
def sensitivity(
    *,
    scenario: ScenarioLike | None = None,
    progress: bool | View = False,
    **options: Unpack[SensitivityOptions],
) -> SensitivityResults:
    """Keep each kind of layer personal, alone and with the head: FedPerfix's Table 1.

    Args:
        scenario: name, path of a YAML file, or a :class:`pfltune.scenario.Scenario`.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune sensitivity``.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    given = _given("sensitivity", options, scenario=scenario)
    view = _view(progress)
    with released():
        job = begin.study(given)
        record = run(job, given, view)
    with _reporting(job, view):
        found = SensitivityResults(record, job.folder, study_trials(record, job.folder))
        write_sensitivity(record, found.cells, job.folder)
        view.show(found)
        _attach_study(job.results, found, view)
    if not found.cells:
        raise Halted("no part has a figure: every trial failed")
    return found


@_like_its_command
def claim(
    claim: str | Path | None = None,
    *,
    scenario: str | Path | None = None,
    progress: bool | View = False,
    **options: Unpack[ClaimOptions],
) -> ClaimResults:
    """Replay what a paper claims, and say which of its orderings hold, and on which footing.

    Args:
        claim: name of a claim, or the path of a YAML file.
        scenario: name or path of a YAML file, in place of the scale's own.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune claim``.

    Raises:
        UserError: something of it is not possible, or no footing can run.
        Halted: it cannot go on for now, or a footing could not run: the others are done.
        TrackingError: it has ended, and MLflow could not be told.
    """
    named = None if scenario is None else str(scenario)
    given = _given("claim", options, scenario=named)
    replay = replay_of(claim, given)
    return replayed(replay, given, _view(progress), named=claim is not None)


def tuning(method: MethodLike | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the search of one method, as those of a comparison of one.

    Raises:
        UserError: no method is named, and nothing is to go on.
    """
    if method is None and not given.get("resume"):
        raise UserError("name a METHOD (see `pfltune methods`), or --resume what was begun")
    wanted = {} if method is None else {"methods": _references(method)}
    return holding_knobs(given) | wanted


def holding_knobs(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the knobs that are held as a comparison has them."""
    held = {"fixed": {"": dict(given["knobs"])}} if given.get("knobs") else {}
    return {name: value for name, value in given.items() if name != "knobs"} | held


@_like_its_command
def sweep(
    methods: MethodLike | Sequence[MethodLike] | None = None,
    *,
    scenario: str | Path | Sequence[str | Path] | None = None,
    progress: bool | View = False,
    **options: Unpack[CompareOptions],
) -> SweepResults:
    """Compare methods in each of several settings: one pool of workers, one report.

    ``sweep(overrides={"partition.alpha": [0.1, 0.5, 1.0]})`` makes three comparisons, its cells.

    Args:
        methods: as of :func:`compare`.
        scenario: names or paths of YAML files, one or several.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of :func:`compare`. In ``overrides``, a list stands for several values.

    Returns:
        What was found; the report over all cells and that of each are written.

    Raises:
        UserError: something of it is not possible, or no cell can run.
        Halted: it cannot go on for now, or a cell could not run: the others are done.
        TrackingError: it has ended, and MLflow could not be told.
    """
    wanted = None if methods is None else _references(methods)
    several = None if scenario is None else _joined(scenario)
    given = _given("compare", options, methods=wanted, scenario=several)
    if given.pop("partitions", 1) > 1:
        raise UserError("a sweep is over one partition in each of its cells: sweep over data_seed")
    if "overrides" in given:
        given["overrides"] = swept_texts(given["overrides"])
    plan = sweep_of("compare", given)
    if plan is None:
        raise UserError("nothing is swept: give several scenarios, or several values of a setting")
    return swept(plan, given, _view(progress))


def load_results(
    name: str,
    *,
    results: str | Path | None = None,
    reference: str | None = None,
    target: float | None = None,
) -> Found:
    """What was found by whatever has a name in the results, also while it runs.

    Args:
        name: of it.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.
        reference: short name or title of the method that the others are held against; default: the
            best on validation data.
        target: validation accuracy in (0, 1] that methods are timed to; default: 95 % of the best
            one's.

    Raises:
        UserError: there is none of that name, or it has not begun yet.
    """
    place = results_folder({"results": results}).resolve()
    if name and (plan := read_sweep(place / name)) is not None:
        found = read_sweep_result(place, plan, reference=reference, target=target)
        return SweepResults(found, place / name)
    if name and (replay := read_replay(place / name)) is not None:
        return ClaimResults(read_replayed(place, replay), place / name)
    if name and (draws := read_draws(place / name)) is not None:
        told = read_draws_result(place, draws, reference=reference, target=target)
        return DrawsResults(told, place / name)
    record = find_record(place, name)
    if isinstance(record.budget, Grid):
        return GridResults(read_grid(place, name), place / name)
    if isinstance(record.budget, Sensitivity):
        return SensitivityResults(record, place / name, study_trials(record, place / name))
    return results_of(read_results(place, name), place / name, reference, target)


def certify(name: str, *, results: str | Path | None = None, out: str | Path | None = None) -> Path:
    """Write the certificate of a comparison that has ended; returns where it is.

    Args:
        name: of the comparison.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.
        out: the file; default: ``certificate.json`` in the comparison's folder.

    Raises:
        UserError: there is none of that name, it has not ended, or is damaged.
    """
    place = results_folder({"results": results}).resolve()
    certificate = certificate_of(read_results(place, name))
    path = place / name / CERTIFICATE if out is None else Path(out)
    certificate.write(path)
    return path


def export(name: str, optuna: str, *, results: str | Path | None = None) -> dict[str, int]:
    """Write the searches of a comparison as studies of Optuna's; returns their trials by name.

    Args:
        name: of the comparison.
        optuna: address of a storage of Optuna's, such as ``sqlite:///FILE``.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.

    Raises:
        UserError: there is none of that name, it has searched nothing, there can be no such
            storage, or another study there has one of the names; nothing was written.
    """
    found = read_results(results_folder({"results": results}).resolve(), name)
    return {study.name: len(study.trials) for study in export_studies(found, optuna)}


def verify(
    certificate: str | Path,
    *,
    sample: int = 5,
    seed: int | None = None,
    trials: Sequence[str] = (),
    methods: MethodLike | Sequence[MethodLike] = (),
    overrides: Mapping[str, Any] | Sequence[str] = (),
    accept_new_code: bool = False,
    progress: bool | Callable[[str], object] = False,
) -> Verdict:
    """Check a certificate: what follows from its scores, then some trials trained again.

    Args:
        certificate: the file.
        sample: trials that are trained again, drawn at random from all methods in turn.
        seed: of the draw, to repeat one; default: nobody knows it before.
        trials: names of trials to train again, instead of a draw.
        methods: your copies of methods whose code came with the certificate; no other is run.
        overrides: where its data lie here, such as ``["data.name=npz:images.npz"]``.
        accept_new_code: check within bounds although code is another here.
        progress: whether to print what is found as it is found, or what takes these lines.

    Raises:
        UserError: it is no certificate, or its methods or data are not here.
    """
    tell = progress if callable(progress) else print if progress else log.info
    return verified(
        Path(certificate),
        tell,
        sample=sample,
        seed=seed,
        trials=trials,
        methods=_references(methods) if methods else (),
        overrides=override_texts(overrides),
        accept_new_code=accept_new_code,
    )


def compared(
    command: str, given: Mapping[str, Any], view: View, pair: Pair | None = None
) -> Results:
    """Run or resume a comparison or the search of one method, report it, and tell MLflow.

    Args:
        command: ``compare`` or ``tune``.
        given: the options that were given, see :func:`pfltune.studies.begin.comparison`.
        view: what is said and shown.
        pair: two searched knobs to draw against each other, of the search of one method.

    Raises:
        UserError, Halted, TrackingError: see :func:`compare`.
    """
    with released():
        job = begin.comparison(command, given)
        if pair is not None:
            _see_one_objective(job)
            checked_pair(pair, [knob.name for s in job.spaces.values() for knob in s.dimensions])
        run(job, given, view)
    return reported(job, view, pair)


def _see_one_objective(job: Comparison) -> None:
    """See that a pair of knobs can be drawn, which the report of a front has no picture of.

    Raises:
        UserError: there are several objectives.
    """
    if job.plan.budget.several:
        raise UserError("--pair is for a search with one objective; several give a front")


def run(job: Job, given: Mapping[str, Any], view: View) -> Record:
    """Run a job to its end, or what is left of it; returns its record."""
    watched = Watched(job, view.progress(job), view.voice)
    with resumable(job.command, job.name):
        (ran,) = run_sessions([watched], _house(job.results, given, view))
        if ran.error is not None:
            raise ran.error
    assert ran.record is not None
    return ran.record


def _house(results: Path, given: Mapping[str, Any], view: View) -> House:
    """What all jobs have in common."""
    kept = KeptTrials(results, view.voice.warn)
    return House(write_partition, kept, bool(given.get("accept_new_code")))


def reported(job: Job, view: View, pair: Pair | None = None) -> Results:
    """The report of a comparison that has ended: written, shown, and told to MLflow.

    Args:
        job: that has ended.
        view: what is said and shown.
        pair: two searched knobs to draw against each other, of the search of one method.

    Raises:
        TrackingError: MLflow cannot be told.
        Halted: no method has a figure.
    """
    with _reporting(job, view):
        found = read_found(job.results, job.name, pair=pair)
        write_found(found)
        view.show(found)
        attach_report(job.results, found.analysis, job.folder / "report", view.voice.warn)
    if not found.result.confirmed:
        raise Halted(f"no method has a figure: {_why_none(found)}")
    return found


def swept(plan: Sweep, given: Mapping[str, Any], view: View) -> SweepResults:
    """Run or resume a sweep, report it and each of its cells, and tell MLflow.

    Args:
        plan: which cells there are.
        given: the options that were given; see :func:`pfltune.studies.sweep.jobs_of`.
        view: what is said and shown.

    Raises:
        UserError, Halted, TrackingError: see :func:`sweep`.
    """
    results = writable_folder(results_folder(given))
    with released():
        jobs, failures = jobs_of(plan, given)
        if not jobs:
            raise UserError(f"no cell of {plan.name} can run: {next(iter(failures.values()))}")
        with locked(results / plan.name), resumable(plan.command, plan.name):
            plan.write(results / plan.name)
            labels = {cell.name: cell.label for cell in plan.cells}
            watched = _watched({labels[job.name]: job for job in jobs}, view)
            ran = run_sessions(watched, _house(results, given, view))
    failures |= {r.job.name: str(r.error) for r in ran if isinstance(r.error, UserError)}
    with _reporting(jobs[0], view):
        return _reported_sweep(plan, results, [r for r in ran if r.record], failures, view)


def _watched(jobs: Mapping[str, Job], view: View) -> list[Watched]:
    """Jobs that run together, each with its part of one progress and a voice that repeats nothing.

    Args:
        jobs: by what they are called.
        view: what is said and shown.
    """
    progress = view.sweep_progress({label: job.plan for label, job in jobs.items()})
    voice = Voice(once(view.voice.tell), view.voice.warn)
    return [Watched(job, progress.cells[label], voice) for label, job in jobs.items()]


def _reported_sweep(
    plan: Sweep, results: Path, ran: Sequence[Ran], failures: Mapping[str, str], view: View
) -> SweepResults:
    cells = _told_by_themselves(results, ran)
    found = SweepResults(read_sweep_result(results, plan, failures), results / plan.name)
    write_sweep(found.found, results)
    view.show(found)
    _attach_all(results, cells, ran, view)
    _see_whole(cells, failures, len(plan.cells), "cell")
    return found


def drawn(
    draws: Draws,
    given: Mapping[str, Any],
    view: View,
    make_first: Callable[[Draws, Mapping[str, Any]], Comparison] = first_of,
) -> DrawsResults:
    """Run or resume a comparison over draws of clients, report all and each, and tell MLflow.

    Args:
        draws: which there are.
        given: the options that were given.
        view: what is said and shown.
        make_first: makes the comparison on the first draw of them; the others are like it.

    Raises:
        UserError, Halted, TrackingError: see :func:`compare`.
    """
    results = writable_folder(results_folder(given))
    with released():
        first = make_first(draws, given)
        folder = results / draws.name
        with locked(folder), resumable("compare", draws.name), _written(draws, folder):
            ran = run_sessions(_watched_draws(draws, first, view), _house(results, given, view))
            if not any(each.record for each in ran):
                raise next(each.error for each in ran if each.error)
    failures = {r.job.name: str(r.error) for r in ran if isinstance(r.error, UserError)}
    with _reporting(first, view):
        return _reported_draws(draws, results, [r for r in ran if r.record], failures, view)


@contextmanager
def _written(draws: Draws, folder: Path) -> Iterator[None]:
    """Have it said in the folder which draws there are, unless none of them can begin."""
    before = read_draws(folder)
    draws.write(folder)
    try:
        yield
    except UserError:
        if before is not None:
            before.write(folder)
        else:
            draws.forget(folder)
        raise


def _watched_draws(draws: Draws, first: Comparison, view: View) -> list[Watched]:
    """The comparisons on each draw, with their part of one progress and what they wait for."""
    waits = [(first, None), *followers(draws, first)]
    watched = _watched({label(job.scenario.data_seed): job for job, _ in waits}, view)
    return [replace(one, after=after) for one, (_, after) in zip(watched, waits, strict=True)]


def _reported_draws(
    draws: Draws, results: Path, ran: Sequence[Ran], failures: Mapping[str, str], view: View
) -> DrawsResults:
    each = _told_by_themselves(results, ran)
    found = DrawsResults(read_draws_result(results, draws, failures), results / draws.name)
    write_draws(found.found, results)
    view.show(found)
    _attach_all(results, each, ran, view)
    _see_whole(each, failures, draws.partitions, "draw")
    return found


def _told_by_themselves(results: Path, ran: Sequence[Ran]) -> list[Results]:
    """The reports of comparisons that ran together, each written."""
    found = [read_found(results, each.job.name) for each in ran]
    for one in found:
        write_found(one)
    return found


def _see_whole(
    found: Sequence[Results], failures: Mapping[str, str], planned: int, part: str
) -> None:
    """See that nothing is missing in what was reported over several comparisons.

    Args:
        found: of each that ran.
        failures: why others could not run, by name.
        planned: how many there were to be.
        part: what one of them is called.

    Raises:
        Halted: some could not run, or no method of one has a figure.
    """
    if failures:
        raise Halted(f"{len(failures)} of {count(planned, part)} could not run")
    if lacking := next((one for one in found if not one.result.confirmed), None):
        raise Halted(f"a {part} has no figure: {_why_none(lacking)}")


def _why_none(found: Results) -> str:
    """Why no method of a comparison has a figure, in words."""
    unfit = [f"{method.title}: {method.unfit}" for method in found.result.methods if method.unfit]
    return "; ".join(unfit) or "every trial failed"


def _attach_all(
    results: Path, found: Sequence[Results | SensitivityResults], ran: Sequence[Ran], view: View
) -> None:
    """Give MLflow the report of each comparison or study that ran with others.

    Raises:
        TrackingError: MLflow cannot be told, or lacks something of one.
    """
    for one in found:
        if isinstance(one, SensitivityResults):
            _attach_study(results, one, view)
        else:
            attach_report(results, one.analysis, one.report.parent, view.voice.warn)
    lost = next((each.error for each in ran if isinstance(each.error, TrackingError)), None)
    if lost is not None:
        raise lost


def replayed(replay: Replay, given: Mapping[str, Any], view: View, named: bool) -> ClaimResults:
    """Run or resume the replay of a claim, report it and each of its parts, and tell MLflow.

    Args:
        replay: which parts there are.
        given: the options that were given.
        view: what is said and shown.
        named: whether the user named the claim, and with it whatever files it names.

    Raises:
        UserError, Halted, TrackingError: see :func:`claim`.
    """
    results = writable_folder(results_folder(given))
    with released():
        parts, failures = planned(replay, given, named)
        if not parts:
            raise UserError(f"no part of {replay.name} can run: {next(iter(failures.values()))}")
        with locked(results / replay.name), resumable("claim", replay.name):
            replay.write(results / replay.name)
            ran = _run_parts(parts, results, _house(results, given, view), view)
    failures |= {r.job.name: str(r.error) for r in ran if isinstance(r.error, UserError)}
    with _reporting(ran[0].job, view):
        told = [_told_by_itself(each, results) for each in ran if each.record]
        for draws in (part.draws for part in parts if part.draws):
            write_draws(read_draws_result(results, draws, failures), results)
        found = ClaimResults(read_replayed(results, replay, failures), results / replay.name)
        write_replayed(found.found, results)
        view.show(found)
        _attach_all(results, told, ran, view)
    if failures:
        raise Halted(f"not all of {replay.name} could run: {'; '.join(failures)}")
    return found


def _run_parts(parts: Sequence[Planned], results: Path, house: House, view: View) -> list[Ran]:
    """All comparisons together, then studies one by one."""
    steps = [step for part in parts for step in part.steps]
    compared = [step for step in steps if isinstance(step.job, Comparison)]
    studies = [step.job for step in steps if not isinstance(step.job, Comparison)]
    with ExitStack() as stack:
        for draws in (part.draws for part in parts if part.draws):
            stack.enter_context(locked(results / draws.name))
            stack.enter_context(_written(draws, results / draws.name))
        watched = _watched({step.label: step.job for step in compared}, view)
        waiting = [replace(w, after=s.after) for w, s in zip(watched, compared, strict=True)]
        ran = run_sessions(waiting, house) if waiting else []
    for job in studies:
        ran += run_sessions([Watched(job, view.progress(job), view.voice)], house)
    return ran


def _told_by_itself(ran: Ran, results: Path) -> Results | SensitivityResults:
    """The report of a part of a claim, written; MLflow is still to be told of it."""
    job, record = ran.job, ran.record
    if isinstance(job, Comparison):
        found = read_found(results, job.name)
        write_found(found)
        return found
    assert record is not None
    study = SensitivityResults(record, job.folder, study_trials(record, job.folder))
    write_sensitivity(record, study.cells, job.folder)
    return study


def _attach_study(results: Path, found: SensitivityResults, view: View) -> None:
    name = found.record.name
    told = Attachment(of_study(name, found.cells), found.table.reset_index())
    attach(results, name, found.record.id, told, found.report, view.voice.warn)


def _joined(scenarios: str | Path | Sequence[str | Path]) -> str:
    """Scenarios as the command line writes them."""
    several = [scenarios] if isinstance(scenarios, str | Path) else scenarios
    return ",".join(map(str, several))


@contextmanager
def resumable(command: str, name: str) -> Iterator[None]:
    """Note on whatever ends a job early how it goes on; a stranger's ``sys.exit`` ends no caller.

    Raises:
        Halted: something called ``sys.exit``.
    """
    try:
        yield
    except SystemExit as error:
        raise Halted(f"a method or library called sys.exit({error.code!r})") from error
    except (KeyboardInterrupt, Halted, TrackingError) as error:
        error.add_note(f"What is done is kept. Go on with: pfltune.{command}(resume={name!r})")
        raise


@contextmanager
def _reporting(job: Job, view: View) -> Iterator[None]:
    """Say that a report is written; who interrupts that is told how it is written after all."""
    try:
        with ending_when_interrupted():
            view.voice.tell("Writing the report")
            yield
    except KeyboardInterrupt:
        view.voice.tell(way_back(job))
        raise


@contextmanager
def released() -> Iterator[None]:
    """Leave no connection to Ray that was made within.

    Raises:
        UserError: this process is connected to Ray already, which a job would shut down; or this
            is not its main thread, which alone hears Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        raise UserError("a job runs in the main thread of a process, and this is another one")
    if _connected():
        raise UserError(
            "this process is connected to Ray already; call ray.shutdown() first, and give "
            "ray_address to run trials on that cluster"
        )
    try:
        yield
    finally:
        if _connected():
            sys.modules["ray"].shutdown()


def _see_one(command: Literal["compare", "tune"], given: Mapping[str, Any]) -> None:
    """See that options ask for one comparison.

    Raises:
        UserError: they ask for a sweep.
    """
    if sweep_of(command, given) is not None:
        raise UserError("several settings are a sweep: call pfltune.sweep")


def _connected() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


def _view(progress: bool | View) -> View:
    if isinstance(progress, bool):
        return Lines(print if progress else log.info)
    return progress


def _given(command: str, options: Mapping[str, Any], **own: Any) -> dict[str, Any]:
    """All that was given to a function, checked."""
    return checked(command, options) | {k: v for k, v in own.items() if v is not None}


def _references(methods: MethodLike | Sequence[MethodLike]) -> list[str]:
    """Methods as references: names, or files by their class.

    Raises:
        UserError: there is none, or a class that is in no file.
    """
    several = [methods] if isinstance(methods, str | type) else list(methods)
    if not several:
        raise UserError("methods is empty; `pfltune methods` lists what there is")
    return [each if isinstance(each, str) else reference_to(each) for each in several]
