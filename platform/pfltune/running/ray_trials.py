"""All trials of a job as one experiment of Ray Tune."""

import os
from tempfile import TemporaryDirectory

from ray import tune
from ray.tune.error import TuneError
from ray.tune.experiment import Trial

from pfltune.federation.federation import Federation
from pfltune.running.callback import JournalCallback
from pfltune.running.job import Job, Progress
from pfltune.running.ledger import Ledger
from pfltune.running.ray_folder import MARK
from pfltune.running.ray_search import DealtSearch
from pfltune.running.scheduler import RungScheduler
from pfltune.running.stopping import Stopping
from pfltune.running.trainable import FederatedTrainable
from pfltune.search.candidate import Candidate
from pfltune.tracking.journal import Journal

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
    hardware, trial_options = job.hardware, job.trial_options
    trainable = tune.with_parameters(
        FederatedTrainable,
        federations=job.federations(federation),
        compute=hardware.compute,
        trial_options=trial_options,
    )
    callback = JournalCallback(journal, ledger, trial_options.checkpoints)
    # Tune keeps nothing that anybody reads again: journal and checkpoints are our own.
    with TemporaryDirectory(
        prefix="tune-", dir=os.environ.get(MARK), ignore_cleanup_errors=True
    ) as scratch:
        resources = {"cpu": hardware.threads, "gpu": hardware.gpus_per_trial}
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=search,
                scheduler=RungScheduler(search.brackets, stopping),
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
