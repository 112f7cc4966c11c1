"""MLflow's own figures of the machine: load, memory, disk, network, and GPUs where it sees them."""

from threading import Event

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor


class SystemMetrics:
    """Watches the machine that writes to MLflow, on one run, as long as that runs.

    It begins anew where it has ended, since MLflow's monitor gives up when the store is away once.

    Args:
        uri: the store's address.
    """

    def __init__(self, uri: str) -> None:
        self._uri = uri
        self._monitor: _Monitor | None = None

    def watch(self, run: str) -> None:
        """Begin, or see that it goes on."""
        if self._monitor is None or self._monitor.over.is_set():
            self._monitor = _Monitor(run, resume_logging=True, tracking_uri=self._uri)
            self._monitor.start()

    def stop(self) -> None:
        """End, with what was measured last."""
        if self._monitor is not None:
            self._monitor.finish()
            self._monitor = None


class _Monitor(SystemMetricsMonitor):
    """One that says when it has ended."""

    def __init__(self, run: str, resume_logging: bool, tracking_uri: str) -> None:
        super().__init__(run, resume_logging=resume_logging, tracking_uri=tracking_uri)
        self.over = Event()

    def monitor(self) -> None:
        """Watch until the run has ended, or until the store is away."""
        try:
            super().monitor()
        finally:
            self.over.set()
