"""The progress of a sensitivity study: a line for each trial."""

from rich.console import Console

from pfltune.tracking.events import Event, TrialEnded, TrialStarted


class LineProgress:
    """One line for each trial that has ended.

    Args:
        trials: how many there are.
        console: where to show it.
    """

    def __init__(self, trials: int, console: Console) -> None:
        self._console = console
        self._total = trials
        self._parts: dict[str, str] = {}
        self._ended = 0

    def apply(self, event: Event) -> None:
        """Say how a trial ended."""
        if isinstance(event, TrialStarted):
            self._parts[event.trial] = str(event.knobs["personal"])
        elif isinstance(event, TrialEnded):
            self._ended += 1
            part = self._parts[event.trial]
            line = f"{self._ended:3d} of {self._total}  personal: {part:18} {_told(event)}"
            self._console.print(line, highlight=False)

    def start(self) -> None:
        """Nothing to show before a trial ends."""

    def close(self) -> None:
        """Every line stays."""


def _told(event: TrialEnded) -> str:
    if event.selected is None:
        return f"failed: {event.failure}"
    test = event.selected["test"]
    return f"test {100 * sum(test) / len(test):.2f} %"
