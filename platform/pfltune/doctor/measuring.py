"""What a round takes here: seconds, memory, and its share of what matrix products reach."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from pfltune import figures
from pfltune.devices import settle
from pfltune.doctor.cards import Card, card_of
from pfltune.doctor.finding import Finding, Place
from pfltune.doctor.ground import VIT_S, VIT_TINY, Workload, ground
from pfltune.doctor.prediction import CLIENTS, metered
from pfltune.federation.compute import Compute, Precision
from pfltune.federation.memory import whole_mb
from pfltune.federation.trial import FederatedTrial
from pfltune.isolation import on_threads
from pfltune.method import Method
from pfltune.running.gpu_share import USABLE, share_for
from pfltune.text import count

SIZES = {"cpu": 1024, "cuda": 8192}
"""Rows of the square matrices that are multiplied."""
LEAST_S = 0.3
ROUNDS = 3
SAMPLED = {"cpu": 2, "cuda": CLIENTS}
FAR_BELOW = 0.6
"""Share of what a data sheet promises below which something is at fault."""


@dataclass(frozen=True)
class Measured:
    """Rounds of federated averaging.

    Attributes:
        workload: on which.
        precision: of passes through the model.
        seconds: the least of a round.
        flops: of a round.
        peak_mb: of a round: held on the GPU, or by this process.
    """

    workload: Workload
    precision: Precision
    seconds: float
    flops: float
    peak_mb: float


def measured(place: Place) -> Measured:
    """Some rounds, on this device's own workload: a GPU is given a larger one, in bfloat16."""
    on_gpu = place.device == "cuda"
    workload = VIT_S if on_gpu else VIT_TINY
    precision: Precision = "bfloat16" if on_gpu else "float32"
    compute = Compute(place.device, precision, threads=place.threads)
    federation = ground(workload, SAMPLED[place.device], SAMPLED[place.device])
    trial = FederatedTrial(Method(), federation, 0, compute)
    peak = trial.step().metrics[figures.PEAK.name]  # the first round counts operations, too
    before, device = trial.totals.operations, trial.device
    seconds = min(_seconds(trial.step, device) for _ in range(ROUNDS))
    flops = (trial.totals.operations - before) / ROUNDS
    return Measured(workload, precision, seconds, flops, peak)


def room(place: Place, found: Measured) -> Finding:
    """The memory of a trial, and how many fit side by side."""
    whole = whole_mb(torch.device(place.device))
    told = f"a trial of {found.workload.title} takes {found.peak_mb:,.0f} MB at its peak"
    if place.device == "cuda":
        fitting = round(1 / share_for(found.peak_mb, whole))
        predicted = metered(found.workload, sampled=CLIENTS, cohort=1).peak / 1e6
        words = f"{told} ({predicted:,.0f} predicted); {count(fitting, 'trial')} fit on the GPU"
    else:
        predicted = 0.0
        fitting = int(USABLE * whole / found.peak_mb)
        words = f"{told}, all of the process counted; {count(fitting, 'trial')} fit into memory"
    measures = {"peak MB": found.peak_mb, "predicted MB": predicted, "trials": fitting}
    measures = {name: value for name, value in measures.items() if value}
    if not fitting or found.peak_mb > USABLE * whole:
        advice = "lower protocol.batch_size, or take a smaller backbone"
        return Finding("memory", "note", words, advice, measures)
    return Finding("memory", "ok", words, figures=measures)


def speed(place: Place, found: Measured) -> Finding:
    """What matrix products reach, and the share of it that a round does."""
    peaks = {p: matrix_peak(place, p) for p in ("float32", "bfloat16")}
    peak = peaks[found.precision]
    share = found.flops / found.seconds / peak
    words = (
        f"matrix products reach {_told(peaks['float32'])} in float32 and "
        f"{_told(peaks['bfloat16'])} in bfloat16; a round of {found.workload.title} in "
        f"{found.precision} takes {1e3 * found.seconds:,.0f} ms, {100 * share:.0f} % of that"
    )
    measures = {
        "float32 TFLOP/s": peaks["float32"] / 1e12,
        "bfloat16 TFLOP/s": peaks["bfloat16"] / 1e12,
        "round ms": 1e3 * found.seconds,
        "share of the peak": share,
    }
    card = card_of(torch.cuda.get_device_name()) if place.device == "cuda" else None
    if card is None:
        return Finding("speed", "ok", words, figures=measures)
    return _against(card, Finding("speed", "ok", words, figures=measures), found, peak)


def _against(card: Card, finding: Finding, found: Measured, peak: float) -> Finding:
    """The same beside what the data sheet promises and the roofline foresees."""
    foreseen = metered(found.workload, sampled=CLIENTS, cohort=1).seconds(card)
    words = f"{finding.words}; {1e3 * foreseen:,.0f} ms are the roofline of {card.title}"
    measures = {**finding.figures, "roofline ms": 1e3 * foreseen}
    if peak >= FAR_BELOW * card.bfloat16 * 1e12:
        return replace(finding, words=words, figures=measures)
    words += f", whose data sheet says {card.bfloat16:,.0f} TFLOP/s"
    advice = "look with nvidia-smi for other processes, a limit of power, or MIG"
    return Finding("speed", "note", words, advice, measures)


def matrix_peak(place: Place, precision: Precision) -> float:
    """Floating-point operations per second of products of large square matrices."""
    size, device = SIZES[place.device], torch.device(place.device)
    # Products of equal numbers would draw less power, and so be faster than any others.
    rng = torch.Generator().manual_seed(0)
    kind = getattr(torch, precision)
    matrix = torch.rand(size, size, generator=rng).to(device, kind)
    with on_threads(place.threads), torch.no_grad():
        seconds: list[float] = []
        while sum(seconds) < LEAST_S or len(seconds) < ROUNDS:
            seconds.append(_seconds(lambda: matrix @ matrix, device))
    return 2 * size**3 / min(seconds)


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    settle(device)
    began = time.perf_counter()
    call()
    settle(device)
    return time.perf_counter() - began


def _told(flops: float) -> str:
    return f"{flops / 1e12:,.3g} TFLOP/s"
