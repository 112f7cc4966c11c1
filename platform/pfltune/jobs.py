"""Jobs carried out: run or resumed, reported, and told to MLflow.

Each of them begins with what was given and ends with what was found, whoever asked for it.
"""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from pfltune.draws import Draws, label, read_draws
from pfltune.errors import Halted, TrackingError, UserError
from pfltune.record import Record
from pfltune.replays import Replay
from pfltune.report.attachment import Attachment, attach, attach_grid, attach_report
from pfltune.report.claims.notebook import ClaimResults
from pfltune.report.claims.replayed import read_replayed
from pfltune.report.claims.writer import write_replayed
from pfltune.report.description import of_study
from pfltune.report.draws import read_draws_result
from pfltune.report.draws_notebook import DrawsResults
from pfltune.report.draws_writer import write_draws
from pfltune.report.grid_results import GridResults
from pfltune.report.grid_writer import write_grid
from pfltune.report.notebook import Results, SensitivityResults, SweepResults
from pfltune.report.partition import write_partition
from pfltune.report.results import is_without_figures
from pfltune.report.sensitivity import study_trials, write_sensitivity
from pfltune.report.sweep import read_sweep_result, write_sweep
from pfltune.report.tuning.tuned import Pair, checked_pair
from pfltune.report.writer import read_found, write_found
from pfltune.running.folder_lock import locked
from pfltune.running.job import Job, Voice, Watched, once
from pfltune.running.session import run_sessions
from pfltune.running.sitting import way_back
from pfltune.running.sittings import House, Ran
from pfltune.running.stopping import ending_when_interrupted
from pfltune.studies import begin
from pfltune.studies.claims import Planned, planned
from pfltune.studies.comparison import Comparison
from pfltune.studies.draws import first_of, followers
from pfltune.studies.options import results_folder
from pfltune.studies.sweep import jobs_of
from pfltune.sweeps import Sweep
from pfltune.text import count
from pfltune.tracking.store import writable_folder
from pfltune.trials.kept import KeptTrials
from pfltune.views import View


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
        UserError, Halted, TrackingError: see :func:`pfltune.compare`.
    """
    with released():
        job = begin.comparison(command, given)
        if pair is not None:
            _see_one_objective(job)
            checked_pair(pair, [knob.name for s in job.spaces.values() for knob in s.dimensions])
        run(job, given, view)
    return reported(job, view, pair)


def extended(given: Mapping[str, Any], view: View) -> Results:
    """Add to a comparison, report it, and tell MLflow.

    Args:
        given: the options that were given, see :func:`pfltune.studies.begin.extension`.
        view: what is said and shown.

    Raises:
        UserError, Halted, TrackingError: see :func:`pfltune.extend`.
    """
    with released():
        job = begin.extension(given)
        run(job, given, view)
    return reported(job, view)


def gridded(given: Mapping[str, Any], view: View) -> GridResults:
    """Run or resume a grid, report it, and tell MLflow.

    Args:
        given: the options that were given, see :func:`pfltune.studies.begin.grid`.
        view: what is said and shown.

    Raises:
        UserError, Halted, TrackingError: see :func:`pfltune.grid`.
    """
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


def studied(given: Mapping[str, Any], view: View) -> SensitivityResults:
    """Run or resume a sensitivity study, report it, and tell MLflow.

    Args:
        given: the options that were given, see :func:`pfltune.studies.begin.study`.
        view: what is said and shown.

    Raises:
        UserError, Halted, TrackingError: see :func:`pfltune.sensitivity`.
    """
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
        UserError, Halted, TrackingError: see :func:`pfltune.sweep`.
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
        UserError, Halted, TrackingError: see :func:`pfltune.compare`.
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
    if not unfit and is_without_figures(found.result):
        return f"no client has a test {found.result.goal.noun}"
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
        UserError, Halted, TrackingError: see :func:`pfltune.claim`.
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


def _connected() -> bool:
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())
