"""What trials run on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch

from pfltune.errors import UserError
from pfltune.federation.autotune import Asked, fastest
from pfltune.federation.compute import Compute
from pfltune.federation.memory import whole_mb
from pfltune.method import Method
from pfltune.record import Computing
from pfltune.registry import title_of
from pfltune.running.gpu_share import gpu_share
from pfltune.running.pool import Machines
from pfltune.scenario import Scenario
from pfltune.text import count

GpuShare = float | Literal["auto"] | None
"""Of a GPU for each trial; None for a whole one where there are any."""
STATES_SHARE = 0.25
"""Share of the machine's memory that all trials together may fill with personal states."""


@dataclass(frozen=True)
class Hardware:
    """What trials run on; recorded, since device, precision and threads move the last bits.

    Attributes:
        workers: trials side by side.
        threads: torch threads per trial.
        gpus_per_trial: share of a GPU that a trial is given.
        compute: how each trial computes.
        address: of the Ray cluster; None for this machine alone.
        memory_mb: of the largest machine of that cluster; None where nobody knows.
    """

    workers: int
    threads: int
    gpus_per_trial: float
    compute: Compute
    address: str | None = None
    memory_mb: float | None = None

    def computing(self) -> Computing:
        """What of it moves the last bits."""
        return Computing(
            threads=self.threads,
            device=self.compute.device,
            precision=self.compute.precision,
            cohort=self.compute.cohort,
            deterministic=self.compute.deterministic,
        )

    def see_room(self, servers: Mapping[str, float]) -> None:
        """See that what servers hold has room in memory.

        On a cluster nobody knows which trials share a machine: there a single one must have room on
        the largest machine, and of the memory of GPUs nothing is known.

        Args:
            servers: MB of their first state, by title of the method.

        Raises:
            UserError: it has not.
        """
        device = torch.device(self.compute.device)
        if self.address is None:
            share = self.gpus_per_trial if device.type == "cuda" else 0.0
            of_one = max(1, int(1 / share)) if share else self.workers
            see_room(servers, whole_mb(device), min(of_one, self.workers))
        elif device.type == "cpu" and self.memory_mb is not None:
            see_room(servers, self.memory_mb, 1)

    @classmethod
    def choose(
        cls,
        scenario: Scenario,
        methods: Iterable[Method],
        machines: Machines,
        workers: int | None,
        threads: int,
        device: str,
        gpus_per_trial: GpuShare,
        precision: Asked,
        deterministic: bool,
    ) -> "Hardware":
        """Fill in what was left open: a GPU per trial, room for workers, the faster precision.

        Raises:
            UserError: more GPU than there is.
        """
        gpus = machines.gpus if device == "cuda" else 0
        asked = gpus_per_trial if isinstance(gpus_per_trial, float) else float(gpus > 0)
        if asked > gpus:
            raise UserError(
                f"--gpus-per-trial {asked:g} asks for a GPU share that is not there: trials would "
                f"run on {device} with {gpus} GPUs; possible: 0 to {gpus}"
            )
        cores = max(1, machines.cores // threads)
        compute = choose_compute(
            scenario, threads, device, precision, deterministic, workers or cores, machines
        )
        share = asked
        if gpus and gpus_per_trial == "auto":
            share = gpu_share(list(methods), scenario.without_clients(), compute)
        room = min(cores, int(gpus / share)) if share else cores
        return cls(workers or room, threads, share, compute, machines.address, machines.memory_mb)


def see_room(servers: Mapping[str, float], whole: float, at_once: int) -> None:
    """See that a server's state has room twice, as while it aggregates, in each of some trials.

    Args:
        servers: MB of their first state, by title of the method.
        whole: MB of the memory that they are in.
        at_once: trials that share it.

    Raises:
        UserError: one has not.
    """
    for title, size in servers.items():
        if 2 * size * at_once > whole:
            fitting = int(whole / (2 * size))
            instead = f"--workers {fitting} at most, or " if fitting else ""
            raise UserError(
                f"{title}: the server would hold {size / 1e3:.1f} GB, and twice that while it "
                f"aggregates, in each of {count(at_once, 'trial')} at once; there are "
                f"{whole / 1e3:.1f} GB: {instead}fewer clients or a smaller backbone"
            )


def pick_device(asked: str | None, gpus: int) -> str:
    """The device asked for, or the GPU where there is one.

    Raises:
        UserError: unknown, or a GPU where there is none.
    """
    if asked is None:
        return "cuda" if gpus else "cpu"
    if asked not in ("cpu", "cuda"):
        raise UserError(f"unknown device {asked!r}; choose from: cpu, cuda")
    if asked == "cuda" and not gpus:
        raise UserError("--device cuda: there is no GPU; choose from: cpu")
    return asked


def precision_for(methods: Iterable[Method], asked: Asked) -> Asked:
    """``asked``, where it is ``auto`` as far as every method can do with the answer.

    Raises:
        UserError: bfloat16 was asked for, and a method says that it needs float32.
    """
    needing = next((method for method in methods if method.needs_float32), None)
    if needing is None or asked == "float32":
        return asked
    if asked == "bfloat16":
        always = type(needing)().needs_float32
        title = title_of(type(needing)) + ("" if always else " with these knobs")
        raise UserError(f"--precision bfloat16: {title} needs float32; choose from: auto, float32")
    return "float32"


def choose_compute(
    scenario: Scenario,
    threads: int,
    device: str,
    precision: Asked,
    deterministic: bool = False,
    workers: int = 1,
    machines: Machines | None = None,
) -> Compute:
    """How trials of this scenario compute.

    On a cluster it is measured on one of its machines, since this one may have no GPU.
    """
    room = round(STATES_SHARE * whole_mb(torch.device("cpu")) / workers)
    plain = Compute(device=device, state_mb=room, deterministic=deterministic, threads=threads)
    federation = scenario.without_clients()
    if machines is None or machines.address is None:
        return fastest(precision, plain, federation)
    import ray

    gpus = 1 if device == "cuda" else 0
    measure = ray.remote(fastest).options(num_cpus=threads, num_gpus=gpus)
    return ray.get(measure.remote(precision, plain, federation))
