"""The sittings that run together: those that are open, and those that wait for another's choice.

A job that waits has its data dealt and its place in the pool from the beginning; only its record,
which says what is tested, is written once that is chosen.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

from pfltune.data.dataset import Dataset
from pfltune.errors import TrackingError, UserError
from pfltune.federation.federation import Federation
from pfltune.record import Record
from pfltune.running.affordable import see_affordable
from pfltune.running.dealt import DealtTrials
from pfltune.running.finished import TrialStore
from pfltune.running.given import Given
from pfltune.running.hardware import Hardware
from pfltune.running.job import After, DrawPartition, Job, Watched
from pfltune.running.sitting import Sitting, given_by, open_sitting
from pfltune.trials.training import configured_as


@dataclass
class Ran:
    """How a job went.

    Attributes:
        job: what was run.
        record: what it was run as; None if it could not begin.
        error: why it could not begin, or why MLflow lacks something of it.
    """

    job: Job
    record: Record | None = None
    error: UserError | TrackingError | None = None

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Keep what concerns this job alone, so that it does not stop others."""
        try:
            yield
        except (UserError, TrackingError) as error:
            self.error = error


@dataclass(frozen=True)
class House:
    """What all jobs that run together have in common.

    Attributes:
        draw: writes the partition's table and picture.
        store: finished trials of all comparisons.
        accept_new_code: go on although another program began a job.
    """

    draw: DrawPartition
    store: TrialStore
    accept_new_code: bool = False


@dataclass(frozen=True)
class Late:
    """A job that waits.

    Attributes:
        watched: the job and who watches it.
        ran: where it is noted how it went.
        after: what it waits for.
        federation: what its scenario makes.
    """

    watched: Watched
    ran: Ran
    after: After
    federation: Federation


def in_vain(after: After) -> UserError:
    """That a job waits for one that could not run."""
    return UserError(f"it waits for {after.first}, which could not run")


class Sittings:
    """All jobs of a session, each opened as soon as it can begin.

    Attributes:
        opened: those that are open, by name.
        dealt: their trials.
        given: what the trials of all are given, also of those that wait.
        hardware: of each.
        trials: of all together, as many as there can be; some are trained again for models.

    Args:
        house: what they have in common.
        stack: closes them.
    """

    def __init__(self, house: House, stack: ExitStack) -> None:
        self.opened: dict[str, Sitting] = {}
        self.dealt: dict[str, DealtTrials] = {}
        self.given: dict[str, Given] = {}
        self.hardware: list[Hardware] = []
        self.trials = 0
        self._house = house
        self._stack = stack
        self._late: list[Late] = []
        self._datasets: dict[str, Dataset] = {}

    def __bool__(self) -> bool:
        """Whether a job still waits."""
        return bool(self._late)

    def add(self, watched: Watched, ran: Ran) -> None:
        """Deal a job's data, and open it if it waits for nothing.

        Raises:
            UserError: it cannot begin, or is not as it began.
        """
        federation = self._federation(watched)
        job, after = watched.job, watched.after
        if after is None:
            self._open(watched, ran, federation)
        else:
            self._late.append(Late(watched, ran, after, federation))
        self.given[job.name] = given_by(job, federation)
        self.hardware.append(job.hardware)
        self.trials += job.plan.total_trials() * (1 if job.asked.keep_models == "none" else 2)

    def open_next(self) -> bool:
        """Open the next job that waits for something that is chosen by now.

        One that cannot begin after all is told of where it is noted how it went.

        Returns:
            Whether there was one.
        """
        late = next((each for each in self._late if self._can_begin(each.after)), None)
        if late is None:
            return False
        self._late.remove(late)
        with late.ran.noting():
            first = self.opened.get(late.after.first)
            choice = first.dealer.choices() if first else None
            if first is None or choice is None:
                raise in_vain(late.after)
            job = late.after.made(first.record, choice)
            late.ran.job = job
            sitting = self._open(replace(late.watched, job=job), late.ran, late.federation)
            sitting.say_what_is_left(late.watched.voice)
        return True

    def settle(self) -> None:
        """Tell what is known of all that are open.

        Raises:
            Halted: a journal cannot be written.
        """
        for sitting in list(self.opened.values()):
            sitting.settle()

    def _can_begin(self, after: After) -> bool:
        first = self.opened.get(after.first)
        return first is None or first.dealer.choices() is not None

    def _open(self, watched: Watched, ran: Ran, federation: Federation) -> Sitting:
        """A sitting whose known trials have been told."""
        house = self._house
        if federation.protocol.budget is not None:
            firsts = watched.job.first_trials()
            configured = {m: configured_as(m, knobs, federation) for m, knobs in firsts.items()}
            see_affordable(configured, federation.protocol, watched.job.trial_seeds())
        with ExitStack() as own:
            opened = open_sitting(
                watched, federation, house.draw, house.store, house.accept_new_code
            )
            sitting = own.enter_context(opened)
            sitting.dealt.has_work()
            self._stack.enter_context(own.pop_all())
        ran.record = sitting.record
        self.opened[watched.job.name] = sitting
        self.dealt[watched.job.name] = sitting.dealt
        return sitting

    def _federation(self, watched: Watched) -> Federation:
        """What a job's scenario makes; jobs on the same data set share its images."""
        job, voice = watched.job, watched.voice
        voice.tell(f"Preparing scenario {job.scenario.name}: data, clients, weights")
        federation = job.scenario.build(job.hardware.threads)
        for note in (*job.scenario.notes(), *job.notes):
            voice.tell(note)
        loaded = f"{job.scenario.data.model_dump_json()} at {job.scenario.backbone.image_size}"
        return replace(federation, dataset=self._datasets.setdefault(loaded, federation.dataset))
