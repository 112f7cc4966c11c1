"""How a sitting begins: its record, its journal and its mirror, each this comparison's own."""

from collections.abc import Iterator
from pathlib import Path

from pfltune.data.census import take_census
from pfltune.errors import ForeignExperiment, UserError
from pfltune.federation.federation import Federation
from pfltune.federation.fingerprint import fingerprint
from pfltune.ownership import claim, published, see_claim, see_own_ground
from pfltune.program import Program
from pfltune.record import RECORD, Record, read_record
from pfltune.running.job import DrawPartition, Job, Voice
from pfltune.running.ledger import Ledger
from pfltune.storage import open_storage
from pfltune.tracking.dataset import dataset_input
from pfltune.tracking.environment import environment_tags, source_tags
from pfltune.tracking.journal import Journal
from pfltune.tracking.mirror import Mirror
from pfltune.tracking.runs import own_experiment
from pfltune.tracking.store import Store, reason
from pfltune.tracking.system import SystemMetrics
from pfltune.tracking.views import Views


def begin(job: Job, federation: Federation, accept_new_code: bool, voice: Voice) -> Record:
    """The record of this sitting, in the folder before anything else is written.

    Raises:
        UserError: the folder, the experiment or the place of checkpoints is not this job's, or it
            did not begin like this.
    """
    before = read_record(job.folder)
    device, brought = job.hardware.compute.device, job.scenario.strangers()
    program = Program.of(job.plan.methods, device, brought)
    parts = {
        **job.recorded(),
        "program": program,
        "data": fingerprint(federation),
        "classes": federation.dataset.class_names,
    }
    if before is None:
        record = Record.model_validate(parts)
    else:
        now = Record.model_validate({**parts, "id": before.id, "changes": before.changes})
        taken = [path.name for path in job.folder.glob("journal*.jsonl")]
        record = (
            before.extended(now, accept_new_code, taken)
            if job.extends
            else before.going_on(now, accept_new_code)
        )
    _see_store(job, record, begins=before is None, voice=voice)
    place = job.trial_options.checkpoints
    instead = "choose another --checkpoints"
    checkpoints = (open_storage(place), record.owner, place, instead)
    if "://" not in place and not Path(place).is_relative_to(job.folder):
        see_own_ground(Path(place), record.owner, instead)
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


def open_journal(job: Job, record: Record, voice: Voice) -> Journal:
    """The journal in the job's folder, without what is damaged of it."""
    journal = Journal(job.folder / record.journal, record.seal)
    if journal.damage:
        damage = journal.damage
        kept = journal.keep_damaged()
        voice.tell(
            f"{damage}. What stands before it holds, the rest is run again; the file as it was is "
            f"kept as {kept.name}"
        )
    return journal


def earlier_ledgers(folder: Path, record: Record) -> Iterator[Ledger]:
    """What a comparison knew of trials before it was asked for more, each time."""
    for path in sorted(folder.glob("journal*.jsonl")):
        if path.name != record.journal:
            ledger = Ledger()
            for event in Journal(path, record.seal_of(path.name)).events:
                ledger.apply(event)
            yield ledger


def open_mirror(
    job: Job,
    record: Record,
    federation: Federation,
    journal: Journal,
    voice: Voice,
    draw: DrawPartition,
) -> Mirror:
    """A mirror of the journal in MLflow, with the partition drawn beside it."""
    census = take_census(federation.dataset, federation.clients)
    settings = job.scenario.by_content()
    recipe = {name: settings[name] for name in ("data", "partition", "split", "data_seed")}
    with published(job.folder, record.owner, "move it away", beside=True) as draft:
        files = [path.name for path in draw(job.scenario, census, draft, voice.tell)]
    store = Store(job.results)
    tags = {**job.tags, **environment_tags(), **source_tags(job.way_back)}
    return Mirror(
        store,
        job.name,
        record.id,
        tags={"scenario": job.scenario.name, **tags},
        parents=record.titles,
        artifacts={RECORD: record.text()},
        files=[job.folder / name for name in files],
        on_trouble=voice.tell,
        data=dataset_input(federation.dataset.name, record.data["clients"], recipe, census),
        settle=journal.sync,
        sitting=record.journal,
        note=_at_first(job),
        system=SystemMetrics(store.uri) if job.asked.system_metrics else None,
        views=Views(record.command, job.searched(), job.plan.rung_rounds(), record.goal),
        fits=job.plan.fits,
    )


def _at_first(job: Job) -> str:
    """The description of a comparison in MLflow until it has a report."""
    return (
        f"Running, or interrupted: `{job.way_back}` goes on with it. "
        f"`pfltune report {job.name}` writes what is known so far."
    )
