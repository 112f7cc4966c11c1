"""Whether trials come out as they must here."""

import math

import torch

from pfltune.doctor.finding import Finding, Place
from pfltune.federation.compute import Compute, Precision
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Tensors
from pfltune.registry import make_method, title_of
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import differing, some, state_of
from pfltune.text import listed

METHODS = ("fedavg", "fedperfix", "fedrep")
"""A whole model, one that is grafted, and one that trains in two phases."""
TOLERANCE = 1e-4
COHORT = 2


def equality(place: Place) -> Finding:
    """Trials end alike on CPU and GPU, and with clients one by one and at once."""
    ways = [Compute(place.device, cohort=COHORT)]
    if place.device != "cpu":
        ways.insert(0, Compute(place.device))
    far = {}
    for name in METHODS:
        expected = _ended(name, Compute())
        for way in ways:
            told = f"{title_of(type(make_method(name, {})))} on {way.device}, {way.cohort} at once"
            far[told] = _distance(_ended(name, way), expected)
    worst = max(far, key=lambda told: far[told])
    figures = {f"distance of {told}": d for told, d in far.items() if math.isfinite(d)}
    against = "the CPU's one by one"
    if not far[worst] <= TOLERANCE:
        words = f"{worst}: {far[worst]:.1e} away from {against}; allowed are {TOLERANCE:g}"
        advice = "compare with --device cpu, and file an issue with this page"
        return Finding("equality", "wrong", words, advice, figures)
    methods = listed([title_of(type(make_method(name, {}))) for name in METHODS])
    on = "at once" if place.device == "cpu" else f"on {place.device}, one by one and at once"
    words = f"{methods} with clients {on} end at most {far[worst]:.1e} away from {against}"
    return Finding("equality", "ok", words, figures=figures)


def repetition(place: Place) -> Finding:
    """With ``--deterministic`` two trials of one seed are the same to the last bit."""
    precisions: tuple[Precision, ...] = ("float32",)
    if place.device != "cpu":
        precisions = ("float32", "bfloat16")
    for precision in precisions:
        way = Compute(place.device, precision, deterministic=True)
        first, second = (_ended("fedperfix", way) for _ in range(2))
        if changed := differing(first, second):
            words = f"two trials in {precision} with --deterministic differ in {some(changed)}"
            advice = "file an issue with this page; tables will not repeat to the last digit"
            return Finding("repetition", "wrong", words, advice)
    words = f"two trials with --deterministic are the same bits in {listed(precisions)}"
    return Finding("repetition", "ok", words)


def _ended(name: str, way: Compute) -> Tensors:
    """Server and clients after a small trial, on the CPU."""
    trial = FederatedTrial(make_method(name, {}), small_federation(), 0, way)
    for _ in trial.run():
        pass
    return {name: tensor.cpu() for name, tensor in state_of(trial).items()}


def _distance(found: Tensors, expected: Tensors) -> float:
    """The largest between two numbers; infinite where one is NaN, which ``max`` passes over."""
    far = [(found[n].double() - t.double()).abs().max() for n, t in expected.items()]
    return float(torch.stack(far).max().nan_to_num(nan=torch.inf))
