"""One open comparison or study: what is told of its trials, and what happens at its end."""

import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from pfltune.errors import Halted, TrackingError
from pfltune.federation.checkpoint import Checkpoints
from pfltune.federation.federation import Federation
from pfltune.knobs import Value
from pfltune.models.bundle import remove_bundle
from pfltune.models.keeping import Models, bundle_place
from pfltune.models.logged import told_to
from pfltune.ownership import release
from pfltune.record import Record
from pfltune.running.dealt import DealtTrials
from pfltune.running.finished import TrialStore
from pfltune.running.given import Given
from pfltune.running.job import DrawPartition, Job, Voice, Watched
from pfltune.running.ledger import Ledger
from pfltune.running.opening import begin, earlier_ledgers, open_journal, open_mirror
from pfltune.running.trial_log import TrialLog
from pfltune.search.dealer import Dealer
from pfltune.storage import open_storage
from pfltune.tracking.events import MethodEnded
from pfltune.tracking.journal import Journal
from pfltune.tracking.mirror import Mirror

HASTE_S = 10.0
"""How long a comparison that is stopped waits for an MLflow that does not answer."""


@dataclass
class Sitting:
    """A comparison that is open: all that belongs to it alone.

    Attributes:
        job: what it runs.
        record: what it was asked for.
        journal: the truth of what happened.
        ledger: what that says of trials.
        mirror: tells MLflow.
        dealer: says which trials there are.
        dealt: its trials.
        before: how many trials had ended, and how many had begun, when it was opened.
        finished: whether all of them have ended.
    """

    job: Job
    record: Record
    journal: Journal
    ledger: Ledger
    mirror: Mirror
    dealer: Dealer
    dealt: DealtTrials
    before: tuple[int, int]
    finished: bool = False

    def say_what_is_left(self, voice: Voice) -> None:
        """Tell what was done before and what is going to be."""
        ended, begun = self.before
        if not self.dealt.over and begun:
            voice.tell(
                f"Resuming {self.job.name}: {ended} trials have ended, "
                f"{begun - ended} go on from their checkpoints"
            )
        if not self.dealt.over:
            voice.tell(self.job.announcement())
        elif ended < len(self.ledger):
            voice.tell(
                f"All trials of {self.job.name} that were missing have been trained before, for "
                "another comparison: there is nothing to train"
            )

    def settle(self) -> None:
        """Tell what is known by now; when all trials have ended, tell that, and tidy up.

        Raises:
            Halted: the journal cannot be written.
        """
        self.dealt.settle()
        if not self.finished and self.dealt.over and self.ledger.ended() == len(self.ledger):
            self._finish()

    def _finish(self) -> None:
        chosen, fronts = self.dealer.chosen(), self.dealer.fronts()
        for method, best in self.dealer.best().items():
            if method not in self.ledger.methods_ended:
                each = [_plain(knobs) for knobs in chosen.get(method, ())]
                front = [dict(knobs) for knobs in fronts.get(method, ())]
                self.dealt.log.write(MethodEnded(method, _plain(best), chosen=each, front=front))
        self.finished = True
        self._tell_of_models()
        try:
            self._remove_checkpoints()
        except OSError as error:  # others still train
            self.dealt.log.warn(f"Checkpoints of {self.job.name} cannot be removed: {error}")

    def _tell_of_models(self) -> None:
        """Have MLflow told of the kept models, after all else."""
        asked = self.job.asked
        if asked.keep_models != "none":
            self.mirror.also(told_to(self.job.folder, self.record, asked.register_as))

    def _remove_checkpoints(self) -> None:
        place = self.job.trial_options.checkpoints
        ledgers = [self.ledger, *earlier_ledgers(self.job.folder, self.record)]
        for folder in {folder for ledger in ledgers for folder in ledger.folders()}:
            Checkpoints(open_storage(place, folder)).remove()
            remove_bundle(bundle_place(place, folder))
        release(open_storage(place))


def given_by(job: Job, federation: Federation) -> Given:
    """What the trials of a job have in common."""
    return Given(job.federations(federation), job.hardware.compute, job.trial_options)


def models_of(job: Job, record: Record) -> Models | None:
    """What keeps the models of a job; None where none are wanted."""
    which, place = job.asked.keep_models, job.trial_options.checkpoints
    return None if which == "none" else Models(which, record, job.folder, place)


@contextmanager
def open_sitting(
    watched: Watched,
    federation: Federation,
    draw: DrawPartition,
    store: TrialStore,
    accept_new_code: bool,
) -> Iterator[Sitting]:
    """Open a comparison whose folder is held; where it does not end, it says how it goes on.

    Args:
        watched: the job and who watches it.
        federation: what its scenario makes.
        draw: writes the partition's table and picture.
        store: finished trials of all comparisons.
        accept_new_code: go on although another program began it.

    Raises:
        UserError: something is not as it began.
    """
    job, voice = watched.job, watched.voice
    record = begin(job, federation, accept_new_code, voice)
    journal = open_journal(job, record, voice)
    ledger, dealer, finished = Ledger(), job.dealer(), store.of(record)
    mirror = open_mirror(job, record, federation, journal, voice, draw)
    for observe in (ledger.apply, watched.progress.apply, mirror.put):
        for event in journal.events:
            observe(event)
        journal.observe(observe)
    before = (ledger.ended(), len(ledger))
    unkept = set(ledger.names()) if record.changes else set()
    place = job.trial_options.checkpoints
    models = models_of(job, record)
    log = TrialLog(journal.append, ledger, finished, place, voice.tell, unkept, models)
    dealt = DealtTrials(dealer, ledger, log, finished)
    sitting = Sitting(job, record, journal, ledger, mirror, dealer, dealt, before)
    with _resumable(sitting, watched):
        yield sitting


@contextmanager
def _resumable(sitting: Sitting, watched: Watched) -> Iterator[None]:
    """Leave no run open when the job does not come to its end, and say how it goes on."""
    try:
        yield
    except BaseException as error:
        if not sitting.finished:
            sitting.mirror.interrupt()
        with suppress(TrackingError):
            sitting.mirror.close(HASTE_S)
        if not sitting.finished and isinstance(error, KeyboardInterrupt | Halted):
            watched.voice.tell(way_back(sitting.job))
        raise


def way_back(job: Job) -> str:
    """How a job goes on that did not come to its end, in a line."""
    usual = job.results == Path("results").resolve()
    flag = "" if usual else f" --results {shlex.quote(str(job.results))}"
    return f"What is done is kept. Go on with: {job.way_back}{flag}"


def _plain(knobs: Mapping[str, Value] | None) -> dict[str, Value] | None:
    return None if knobs is None else dict(knobs)
