"""A pytest plugin that plants faults into every method that is replayed by hand, see replay.py.

Each call of ``ByHand.check`` first runs as it is, and then once for each fault that can be planted
into its method; what became of them is written to the file that PLANTED names.
"""

import inspect
import json
import os
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import pytest
from replay import ByHand

from pfltune.method import Method
from pfltune.testing.runs import differing, state_of, with_hooks

ORIGINAL = ByHand.check
FOUND = {}


def no_sample_weights(method):
    """All clients count alike."""
    return _trained(method, lambda update, _, __: replace(update, weight=1.0))


def flipped_sign(method):
    """What a client sends goes the other way."""

    def flipped(update, down, _):
        change = update.change or not update.upload.keys() <= down.keys()
        upload = {
            n: (-t if change else 2 * down[n] - t) if t.is_floating_point() else t
            for n, t in update.upload.items()
        }
        return replace(update, upload=upload)

    return _trained(method, flipped)


def forgotten_personal_part(method):
    """What a client has learned for itself is lost."""
    return _trained(method, lambda update, _, personal: replace(update, personal=dict(personal)))


def phases_reversed(method):
    """The last phase comes first."""
    if len(method.phases()) < 2:
        return None
    hook = type(method).phases
    return with_hooks(method, phases=lambda self: hook(self)[::-1])


def rate_off(method):
    """Every phase goes a hundredth too far."""
    hook = type(method).phases
    return with_hooks(
        method, phases=lambda self: tuple(replace(p, lr=1.01 * p.lr) for p in hook(self))
    )


def adaptation_dropped(method):
    """Clients do not adapt before an evaluation."""
    return with_hooks(method, adapt=lambda self: ()) if method.adapt() else None


def objective_dropped(method):
    """Nothing but the loss is descended."""
    if type(method).objective is Method.objective:
        return None
    return with_hooks(method, objective=Method.objective)


def context_dropped(method):
    """Half of what an objective is handed as constants is lost."""
    if type(method).objective is Method.objective:
        return None
    hook = type(method).objective

    def halved(self, loss, params, context):
        less = {n: t / 2 if t.is_floating_point() else t for n, t in context.items()}
        return hook(self, loss, params, less)

    return with_hooks(method, objective=halved)


def class_counts_off(method):
    """The client has its images of other classes."""

    class Off:
        def __init__(self, work):
            self.work = work

        def __getattr__(self, name):
            return getattr(self.work, name)

        @property
        def class_counts(self):
            return self.work.class_counts.roll(1)

    hook = type(method).train
    return with_hooks(
        method, train=lambda self, work, down, personal: hook(self, Off(work), down, personal)
    )


def _trained(method, change):
    hook = type(method).train

    def train(self, work, down, personal):
        return change(hook(self, work, down, personal), down, personal)

    return with_hooks(method, train=train)


FAULTS = (
    no_sample_weights,
    flipped_sign,
    forgotten_personal_part,
    phases_reversed,
    rate_off,
    adaptation_dropped,
    objective_dropped,
    context_dropped,
    class_counts_off,
)


def pytest_configure():
    patch.object(ByHand, "check", check).start()


def pytest_collection_modifyitems(config, items):
    """Only what replays by hand is run: all else has been tested without faults already."""
    chosen = [item for item in items if replays(item.function)]
    left = [item for item in items if item not in chosen]
    items[:] = chosen
    config.hook.pytest_deselected(items=left)


def replays(test):
    """Whether a test, or a function that it names, calls the check."""
    named = [test, *(test.__globals__.get(name) for name in test.__code__.co_names)]
    return any(inspect.isfunction(f) and ".check(" in inspect.getsource(f) for f in named)


def pytest_unconfigure():
    told = [(module, fault, fate) for (module, fault), fate in FOUND.items()]
    Path(os.environ["PLANTED"]).write_text(json.dumps(told))


def check(hand, method, *args, **named):
    """The check, and then with the faults that have shown nowhere yet in this method.

    Where all of them have, it is left out: without faults it has been tested already.
    """
    module = type(method).__module__
    mutants = {
        (module, fault.__name__): mutant
        for fault in FAULTS
        if FOUND.get((module, fault.__name__), "idle") == "idle"
        and (mutant := fault(method)) is not None
    }
    if not mutants:
        pytest.skip("every fault has shown in this method")
    with patch.object(hand, "rounds", cache(hand.rounds)):  # the reference has no faults
        trial = ORIGINAL(hand, method, *args, **named)
        FOUND.update({k: _fate(hand, trial, m, args, named) for k, m in mutants.items()})
    return trial


def cache(function):
    """The function, which is asked for one thing only, carried out once."""
    kept = []

    def cached(*args):
        kept[:] = kept or [function(*args)]
        return kept[0]

    return cached


def _fate(hand, trial, mutant, args, named):
    """``caught``, ``missed``, or ``idle`` for a fault that changes nothing of the trial's end."""
    try:
        faulty = ORIGINAL(hand, mutant, *args, **named)
    except Exception:
        return "caught"
    return "missed" if differing(state_of(trial), state_of(faulty)) else "idle"
