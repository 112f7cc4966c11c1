"""What pfltune's own Tune callbacks have in common."""

from ray.tune import Callback


class DriverCallback(Callback):
    """A callback that holds things open in the driver: a terminal, a store.

    Tune pickles its callbacks with the experiment; such things cannot be pickled and need not be,
    since a restored driver opens its own. What must survive goes through ``get_state``.
    """

    def __getstate__(self) -> dict:
        return {}
