"""One sitting of a comparison or a study, from its folder over Ray Tune to a complete MLflow."""

import shlex
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from pfltune.data.census import take_census
from pfltune.errors import ForeignExperiment, Halted, TrackingError, UserError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.federation import Federation
from pfltune.federation.fingerprint import fingerprint
from pfltune.ownership import claim, published, release, see_claim
from pfltune.program import Program
from pfltune.record import RECORD, Record, read_record
from pfltune.running.folder_lock import locked
from pfltune.running.job import DrawPartition, Job, Progress, Voice
from pfltune.running.ledger import Ledger
from pfltune.running.pool import worker_pool
from pfltune.running.ray_search import DealtSearch
from pfltune.running.ray_trials import run_trials
from pfltune.running.stopping import stopping_by_signals
from pfltune.storage import open_storage
from pfltune.tracking.dataset import dataset_input
from pfltune.tracking.environment import environment_tags
from pfltune.tracking.events import MethodEnded
from pfltune.tracking.journal import JOURNAL, Journal
from pfltune.tracking.mirror import Mirror
from pfltune.tracking.runs import own_experiment
from pfltune.tracking.store import Store, reason

STOPPING = "\nStopping after the rounds that run now; Ctrl-C again stops at once"
PATIENCE_S = 120.0
"""How long a finished comparison waits for an MLflow that does not answer."""
HASTE_S = 10.0
"""The same for one that is stopped."""


def run_session(
    job: Job, progress: Progress, voice: Voice, draw: DrawPartition, accept_new_code: bool = False
) -> Record:
    """Run a job to its end, or what is left of it; returns its record.

    The journal in the job's folder is the truth: what it knows as ended is not run again, and
    MLflow is told all of it until it knows it too.

    Args:
        job: what to run.
        progress: shows where it stands.
        voice: says what happens.
        draw: writes the partition's table and picture.
        accept_new_code: go on although another program began it.

    Raises:
        UserError: a method does not fit, the name is taken, or something is not as it began.
        KeyboardInterrupt: the user stopped it.
        Halted: it cannot go on for now.
        TrackingError: it has ended, and MLflow could not be told.
    """
    job.scenario.check(job.firsts())
    begins = read_record(job.folder) is None  # one that has ended already needs no Ray
    with (
        locked(job.folder),
        stopping_by_signals(partial(voice.warn, STOPPING)) as stopping,
        worker_pool(job.hardware.workers, job.hardware.threads, early=begins) as wait_for_pool,
    ):
        voice.tell(f"Preparing scenario {job.scenario.name}: data, clients, weights")
        federation = job.scenario.build(job.hardware.threads)
        for note in job.scenario.notes():
            voice.tell(note)
        record = _begin(job, federation, accept_new_code, voice)
        journal = _journal(job, record, voice)
        mirror = _mirror(job, record, federation, journal, voice, draw)
        with _resumable(job, mirror, voice):
            ledger = Ledger()
            for observe in (ledger.apply, progress.apply, mirror.put):
                for event in journal.events:
                    observe(event)
                journal.observe(observe)
            dealer = job.dealer()
            search = DealtSearch(dealer, ledger)
            if search.has_work():
                wait_for_pool()
                _say_what_is_left(job, ledger, voice)
                run_trials(job, federation, search, ledger, journal, stopping, progress)
            for method, best in dealer.best().items():
                if method not in ledger.methods_ended:
                    journal.append(MethodEnded(method, None if best is None else dict(best)))
            mirror.close(PATIENCE_S)
            _tidy_up(job, ledger)
            return record


def _begin(job: Job, federation: Federation, accept_new_code: bool, voice: Voice) -> Record:
    """The record of this sitting, in the folder before anything else is written.

    Raises:
        UserError: the folder, the experiment or the place of checkpoints is not this job's, or it
            did not begin like this.
    """
    before = read_record(job.folder)
    device, brought = job.hardware.compute.device, job.scenario.strangers()
    program = Program.of(job.plan.methods, device, brought)
    parts = {**job.recorded(), "program": program, "data": fingerprint(federation)}
    if before is None:
        record = Record.model_validate(parts)
    else:
        now = Record.model_validate({**parts, "id": before.id, "changes": before.changes})
        record = before.going_on(now, accept_new_code)
    _see_store(job, record, begins=before is None, voice=voice)
    place = job.trial_options.checkpoints
    checkpoints = (open_storage(place), record.owner, place, "choose another --checkpoints")
    try:
        see_claim(*checkpoints)
        record.write(job.folder)
        claim(*checkpoints)
    except OSError as error:
        raise UserError(f"{place} cannot be written: {reason(error)}") from error
    return record


def _see_store(job: Job, record: Record, begins: bool, voice: Voice) -> None:
    """See that the experiment of this name is this comparison's, or that there is none.

    One that goes on need not find MLflow: the mirror waits for it, and looks again.
    """
    store = Store(job.results)
    try:
        store.reachable()
    except UserError:
        if begins:
            raise
        return
    try:
        known = own_experiment(store, job.name, record.id)
    except ForeignExperiment as error:
        raise UserError(str(error)) from error
    if known is not None and known.lifecycle_stage != "active":
        voice.tell(f"The experiment {job.name!r} was deleted in MLflow: it is restored")


def _journal(job: Job, record: Record, voice: Voice) -> Journal:
    journal = Journal(job.folder / JOURNAL, record.id)
    if journal.damage:
        damage = journal.damage
        kept = journal.keep_damaged()
        voice.tell(
            f"{damage}. What stands before it holds, the rest is run again; the file as it was is "
            f"kept as {kept.name}"
        )
    return journal


def _mirror(
    job: Job,
    record: Record,
    federation: Federation,
    journal: Journal,
    voice: Voice,
    draw: DrawPartition,
) -> Mirror:
    census = take_census(federation.dataset, federation.clients)
    settings = job.scenario.by_content()
    recipe = {name: settings[name] for name in ("data", "partition", "split", "data_seed")}
    with published(job.folder, record.owner, "move it away") as draft:
        files = [path.name for path in draw(job.scenario, census, draft, voice.tell)]
    return Mirror(
        Store(job.results),
        job.name,
        record.id,
        tags={"scenario": job.scenario.name, **environment_tags()},
        parents=record.titles,
        artifacts={RECORD: record.text()},
        files=[job.folder / name for name in files],
        on_trouble=voice.tell,
        data=dataset_input(federation.dataset.name, record.data["clients"], recipe, census),
        settle=journal.sync,
    )


def _tidy_up(job: Job, ledger: Ledger) -> None:
    """Remove what is left of checkpoints; all trials have ended."""
    place = job.trial_options.checkpoints
    for trial in ledger.names():
        Checkpoints(open_storage(place, trial)).remove()
    release(open_storage(place))


@contextmanager
def _resumable(job: Job, mirror: Mirror, voice: Voice) -> Iterator[None]:
    """Leave no run open when the job does not come to its end, and say how it goes on."""
    try:
        yield
    except BaseException as error:
        mirror.interrupt()
        with suppress(TrackingError):
            mirror.close(HASTE_S)
        if not isinstance(error, KeyboardInterrupt | Halted | TrackingError):
            raise
        usual = job.results == Path("results").resolve()
        flag = "" if usual else f" --results {shlex.quote(str(job.results))}"
        voice.tell(
            f"What is done is kept. Go on with: pfltune {job.command} --resume {job.name}{flag}"
        )
        raise


def _say_what_is_left(job: Job, ledger: Ledger, voice: Voice) -> None:
    if len(ledger):
        voice.tell(
            f"Resuming {job.name}: {ledger.ended()} trials have ended, "
            f"{len(ledger) - ledger.ended()} go on from their checkpoints"
        )
    voice.tell(job.announcement())
