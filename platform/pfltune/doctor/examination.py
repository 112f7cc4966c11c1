"""All checks of a machine, one after the other; none keeps the others from being made."""

from collections.abc import Callable, Iterator
from functools import partial

from pfltune.doctor import folders, machine, services, training, versions
from pfltune.doctor.finding import Finding, Place
from pfltune.errors import Halted, UserError, told
from pfltune.federation.compute import Compute
from pfltune.text import redacted

Check = Callable[[Place], Finding]
FIRST: dict[str, Check] = {
    "versions": versions.versions,
    "processor": machine.processor,
    "GPU": machine.gpus,
    "folders": folders.folders,
    "equality": training.equality,
    "repetition": training.repetition,
}
LAST: dict[str, Check] = {"Ray": services.ray_starts, "MLflow": services.mlflow_keeps}


def examine(place: Place, quick: bool = False) -> Iterator[Finding]:
    """What each check finds, as it ends.

    Args:
        place: what is looked at.
        quick: whether memory and speed are left out.
    """
    Compute(place.device, deterministic=True).prepare()  # before a GPU is first used
    for name, check in FIRST.items():
        yield _found(name, partial(check, place))
    if not quick:
        yield from _measured(place)
    for name, check in LAST.items():
        yield _found(name, partial(check, place))


def _measured(place: Place) -> Iterator[Finding]:
    """Memory and speed of the same rounds, before Ray and MLflow take memory of their own."""
    from pfltune.doctor import measuring

    try:
        found = measuring.measured(place)
    except Exception as error:
        yield _failed("memory", error)
        return
    yield _found("memory", partial(measuring.room, place, found))
    yield _found("speed", partial(measuring.speed, place, found))


def _found(name: str, check: Callable[[], Finding]) -> Finding:
    try:
        return check()
    except Exception as error:
        return _failed(name, error)


def _failed(name: str, error: Exception) -> Finding:
    """Errors of our own say what to do."""
    if isinstance(error, UserError | Halted):
        return Finding(name, "wrong", redacted(str(error)))
    advice = "file an issue with this page, and what --debug shows"
    return Finding(name, "wrong", redacted(told(error)), advice)
