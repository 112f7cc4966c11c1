"""Two grounds with the same digests give the same trials: whatever matters moves one of them."""

from dataclasses import replace

import pytest

from pfltune.federation.fingerprint import fingerprint
from pfltune.federation.searched_settings import NAMES
from pfltune.optimizers import Optimizer, Schedule


def with_protocol(ground, **changes):
    return replace(ground, protocol=ground.protocol.model_copy(update=changes))


CHANGES = {
    "rounds": lambda g: with_protocol(g, rounds=9),
    "evaluations": lambda g: with_protocol(g, evaluate_every=2),
    "unseen": lambda g: replace(g, unseen=frozenset({1})),
    "preprocessing": lambda g: replace(
        g, preprocessing=g.preprocessing.model_copy(update={"augment": ("flip",)})
    ),
    "backbone": lambda g: replace(g, backbone=g.backbone.model_copy(update={"heads": 4})),
    "classes": lambda g: replace(
        g, dataset=replace(g.dataset, class_names=(*g.dataset.class_names, "none"))
    ),
    "images": lambda g: replace(g, dataset=replace(g.dataset, images=255 - g.dataset.images)),
    "clients": lambda g: replace(g, clients=g.clients[::-1]),
    "weights": lambda g: replace(g, weights=g.build_backbone(seed=1).state_dict()),
}


@pytest.mark.parametrize("what", CHANGES)
def test_whatever_moves_a_trial_moves_a_digest(what, federation):
    assert fingerprint(CHANGES[what](federation)) != fingerprint(federation)


def test_where_weights_were_read_from_does_not(federation):
    elsewhere = federation.backbone.model_copy(update={"weights": "/elsewhere/w.safetensors"})
    assert fingerprint(replace(federation, backbone=elsewhere)) == fingerprint(federation)


VARIED = {
    **{name: (1, 2) for name in ("sampled_clients", "local_epochs", "batch_size")},
    "optimizer": (Optimizer(), Optimizer(momentum=0.9)),
    "schedule": (Schedule(), Schedule(kind="cosine")),
}


@pytest.mark.parametrize("name", NAMES)
def test_what_a_search_may_vary_does_not_since_each_trial_has_its_own(name, federation):
    """It stands in the key of a trial beside its knobs, see test_trial_spec.py."""
    one, other = (with_protocol(federation, **{name: value}) for value in VARIED[name])
    assert fingerprint(one) == fingerprint(other)
