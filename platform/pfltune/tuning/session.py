"""One sitting of a comparison or a study, from its folder over Ray Tune to a complete MLflow."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import click
from rich.console import Console

from pfltune.data.census import take_census
from pfltune.errors import Halted, TrackingError, UserError
from pfltune.federation.fingerprint import fingerprint
from pfltune.federation.ground import Federation
from pfltune.storage import open_storage
from pfltune.tracking.dataset import dataset_input
from pfltune.tracking.environment import environment_tags
from pfltune.tracking.journal import Journal
from pfltune.tracking.mirror import Mirror
from pfltune.tracking.store import Store
from pfltune.tuning.claim import RECORD, agree, claimed, record, recorded
from pfltune.tuning.dealing import DealtSearch
from pfltune.tuning.job import Job, Progress
from pfltune.tuning.ledger import Ledger
from pfltune.tuning.pool import worker_pool
from pfltune.tuning.stopping import stopping_by_signals
from pfltune.tuning.trials import run_trials

PATIENCE_S = 120.0
"""How long a finished comparison waits for an MLflow that does not answer."""
HASTE_S = 10.0
"""The same for one that is stopped."""


def run_session(job: Job, progress: Progress, console: Console) -> str:
    """Run a job to its end, or what is left of it; returns the id of its MLflow experiment.

    The journal in the job's folder is the truth: what it knows as ended is not run again, and
    MLflow is told all of it until it knows it too.

    Raises:
        UserError: a method does not fit, the name is taken, or the settings are not those that it
            began with.
        KeyboardInterrupt: the user stopped it.
        Halted: it cannot go on for now.
        TrackingError: it has ended, and MLflow could not be told.
    """
    job.scenario.check(job.firsts())
    with (
        claimed(job.folder),
        stopping_by_signals(_say_stopping) as stopping,
        worker_pool(job.hardware.workers, job.hardware.threads) as wait_for_pool,
    ):
        console.print(f"Preparing scenario {job.scenario.name}: data, clients, weights")
        federation = job.scenario.build()
        for note in job.scenario.notes():
            console.print(note, soft_wrap=True, highlight=False, markup=False)
        mirror = _open_records(job, federation, console)
        with _resumable(job, mirror, console):
            journal, ledger = Journal(job.folder / "journal.jsonl"), Ledger()
            for observe in (ledger.apply, progress.apply, mirror.put):
                for event in journal.events:
                    observe(event)
                journal.observe(observe)
            dealer = job.dealer()
            search = DealtSearch(dealer, ledger)
            if search.has_work():
                wait_for_pool()
                _say_what_is_left(job, ledger, console)
                run_trials(job, federation, search, ledger, journal, stopping, progress)
            for method, best in dealer.best().items():
                mirror.end_method(method, best)
            experiment = mirror.close(PATIENCE_S)
            open_storage(job.endurance.checkpoints).clear()
            return experiment


def _open_records(job: Job, federation: Federation, console: Console) -> Mirror:
    """Begin the job's folder and experiment, or see that they are this job's."""
    from pfltune.report.partition import write_partition  # it imports matplotlib

    store, before = Store(job.results), recorded(job.folder)
    digests = fingerprint(federation)
    settings = {**job.settings(), "data": digests}
    if before is None:
        store.reachable()
        if store.has_experiment(job.name):
            raise UserError(f"there is already an experiment {job.name!r}; choose another --name")
    else:
        agree(job.name, before, settings)
    text = record(job.folder, before or settings)
    census = take_census(federation.dataset, federation.clients)
    recipe = job.scenario.model_dump(include={"data", "partition", "split", "data_seed"})
    return Mirror(
        store,
        job.name,
        tags={"scenario": job.scenario.name, **environment_tags()},
        parents=job.parents(),
        artifacts={RECORD: text},
        files=write_partition(job.scenario, census, job.folder, console.print),
        on_trouble=partial(console.print, soft_wrap=True, highlight=False),
        data=dataset_input(job.scenario.data.name, digests["clients"], recipe, census),
    )


@contextmanager
def _resumable(job: Job, mirror: Mirror, console: Console) -> Iterator[None]:
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
        flag = "" if usual else f" --results {job.results}"
        console.print(
            f"What is done is kept. Go on with: pfltune {job.command} --resume {job.name}{flag}",
            soft_wrap=True,
            highlight=False,
        )
        raise


def _say_what_is_left(job: Job, ledger: Ledger, console: Console) -> None:
    if len(ledger):
        console.print(
            f"Resuming {job.name}: {ledger.ended()} trials have ended, "
            f"{len(ledger) - ledger.ended()} go on from their checkpoints",
            highlight=False,
        )
    console.print(job.announcement(), soft_wrap=True)


def _say_stopping() -> None:
    click.echo("\nStopping after the rounds that run now; Ctrl-C again stops at once", err=True)
