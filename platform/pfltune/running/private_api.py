"""What pfltune uses of Ray although it is no public interface, in one place.

Each may change with any release: pyproject.toml bounds the versions from above, and a new version
is let in when the tests pass with it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray._private import ray_constants, services
from ray._private.node import Node
from ray._raylet import (  # type: ignore[attr-defined]
    AuthenticationMode,
    AuthenticationTokenLoader,
    Config,
    GcsClient,
    get_authentication_mode,
)
from ray.exceptions import AuthenticationError

# Tune asks a trainable for one when it pauses a trial; only its own base class can make it else.
from ray.train._internal.checkpoint_manager import _TrainingResult as TrainingResult
from ray.tune.experiment import Trial

__all__ = ["TrainingResult", "ask", "bare", "on_loopback", "reread_environment", "stop_trial"]

UNUSED = ("start_api_server", "start_log_monitor", "start_monitor")
"""What starts the dashboard's server, the autoscaler, and what carries workers' output around."""


@contextmanager
def on_loopback() -> Iterator[None]:
    """A Ray that starts within it listens on 127.0.0.1 only.

    ``ray.init(_node_ip_address="127.0.0.1")`` does not: Ray replaces that address by one that other
    machines reach, unless clusters are switched off. The variable that does so is read when Ray is
    imported, which is too early for us.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


@contextmanager
def bare() -> Iterator[None]:
    """A Ray that starts within it lacks three processes that are of no use on one machine.

    Each is a Python that imports Ray, seconds of a processor at every start. Ray starts the
    dashboard's for reports of usage alone, which are switched off, and the others whatever it is
    asked for.
    """
    before = {name: getattr(Node, name) for name in UNUSED}
    for name in UNUSED:
        setattr(Node, name, lambda *_, **__: None)
    try:
        yield
    finally:
        for name, start in before.items():
            setattr(Node, name, start)


def reread_environment() -> None:
    """Have Ray see what the environment says of it now; it looked when it was imported."""
    Config.initialize("")
    AuthenticationTokenLoader.instance().reset_cache()


def ask(address: str, seconds: float) -> None:
    """Ask a Ray cluster something: with a wrong token ``ray.init`` would end this process.

    Raises:
        AuthenticationError: it wants another token.
        RuntimeError: nobody answers.
    """
    loader = AuthenticationTokenLoader.instance()
    wanted = get_authentication_mode() == AuthenticationMode.TOKEN
    if wanted and not loader.has_token(ignore_auth_mode=True):
        raise AuthenticationError("there is no token here")  # Ray would abort this process
    known = services.canonicalize_bootstrap_address(address, None)
    if known is not None:
        GcsClient(known).get_all_node_info(timeout=seconds)


def stop_trial(controller: Any, trial: Trial) -> None:
    """End a paused trial; a scheduler can otherwise only decide about one that has a result."""
    controller.stop_trial(trial)
