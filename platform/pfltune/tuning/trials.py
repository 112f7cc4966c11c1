"""All trials of a job as one experiment of Ray Tune."""

import os
from tempfile import TemporaryDirectory

from ray import tune
from ray.tune.error import TuneError
from ray.tune.experiment import Trial

from pfltune.federation.ground import Federation
from pfltune.tracking.journal import Journal
from pfltune.tuning.callback import JournalCallback
from pfltune.tuning.candidate import Candidate
from pfltune.tuning.dealing import DealtSearch
from pfltune.tuning.job import Job, Progress
from pfltune.tuning.ledger import Ledger
from pfltune.tuning.ray_folder import MARK
from pfltune.tuning.scheduler import RungScheduler
from pfltune.tuning.stopping import Stopping
from pfltune.tuning.trainable import FederatedTrainable

RETRIES = 3
"""How often a trial is started again in a row without getting any further."""


def run_trials(
    job: Job,
    federation: Federation,
    search: DealtSearch,
    ledger: Ledger,
    journal: Journal,
    stopping: Stopping,
    progress: Progress,
) -> None:
    """Run every trial that has not ended yet.

    Raises:
        KeyboardInterrupt: the user stopped it.
        Halted: it cannot go on for now.
    """
    hardware, endurance = job.hardware, job.endurance
    trainable = tune.with_parameters(
        FederatedTrainable,
        grounds=job.grounds(federation),
        compute=hardware.compute,
        endurance=endurance,
    )
    callback = JournalCallback(journal, ledger, endurance.checkpoints)
    # Tune keeps nothing that anybody reads again: journal and checkpoints are our own.
    with TemporaryDirectory(
        prefix="tune-", dir=os.environ.get(MARK), ignore_cleanup_errors=True
    ) as scratch:
        resources = {"cpu": hardware.threads, "gpu": hardware.gpus_per_trial}
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=search,
                scheduler=RungScheduler(job.plan, ledger, stopping),
                num_samples=job.plan.total_trials(),
                reuse_actors=True,
                trial_dirname_creator=_trial_folder,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                verbose=0,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
            ),
        )
        progress.start()
        try:
            tuner.fit()
        except TuneError as error:
            raise callback.halted or error from None
        finally:
            progress.close()


def _trial_folder(trial: Trial) -> str:
    return Candidate.from_config(trial.config).name
