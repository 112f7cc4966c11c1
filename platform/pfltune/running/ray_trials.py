"""All trials of one or more sittings as one experiment of Ray Tune."""

import os
from collections.abc import Iterable
from tempfile import TemporaryDirectory

from ray import tune
from ray.tune.error import TuneError
from ray.tune.experiment import Trial

from pfltune.errors import Halted
from pfltune.running.callback import JournalCallback
from pfltune.running.dealt import DealtTrials
from pfltune.running.given import candidate_of, sitting_of
from pfltune.running.ray_folder import MARK
from pfltune.running.ray_search import DealtSearch
from pfltune.running.scheduler import RungScheduler
from pfltune.running.sittings import Sittings
from pfltune.running.stopping import Stopping
from pfltune.running.trainable import FederatedTrainable

RETRIES = 3
"""How often a trial is started again in a row without getting any further."""


def run_trials(sittings: Sittings, stopping: Stopping) -> None:
    """Train every trial that has not ended and is not known, of those that open meanwhile too.

    Raises:
        KeyboardInterrupt: the user stopped it.
        Halted: it cannot go on for now.
    """
    dealt = sittings.dealt
    trainable = tune.with_parameters(FederatedTrainable, given=sittings.given)
    resources = {
        "cpu": max(each.threads for each in sittings.hardware),
        "gpu": max(each.gpus_per_trial for each in sittings.hardware),
    }
    # Tune keeps nothing that anybody reads again: journal and checkpoints are our own.
    with TemporaryDirectory(
        prefix="tune-", dir=os.environ.get(MARK), ignore_cleanup_errors=True
    ) as scratch:
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=DealtSearch(dealt, sittings),
                scheduler=RungScheduler(dealt, stopping, [sittings.settle]),
                num_samples=sittings.trials,
                reuse_actors=True,
                trial_dirname_creator=_trial_folder,
            ),
            run_config=tune.RunConfig(
                name="tune",
                storage_path=scratch,
                verbose=0,
                callbacks=[JournalCallback(dealt)],
                failure_config=tune.FailureConfig(max_failures=RETRIES),
            ),
        )
        try:
            tuner.fit()
        except TuneError as error:
            raise _halted(dealt.values()) or error from None


def _halted(dealt: Iterable[DealtTrials]) -> Halted | None:
    found = (trials.log.halted for trials in dealt)
    return next((halted for halted in found if halted), None)


def _trial_folder(trial: Trial) -> str:
    return f"{sitting_of(trial)}-{candidate_of(trial).folder}"
