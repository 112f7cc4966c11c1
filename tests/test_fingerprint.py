"""Two grounds with the same digests give the same trials: whatever matters moves one of them."""

from dataclasses import replace

import pytest

from pfltune.federation.fingerprint import fingerprint


def with_protocol(ground, **changes):
    return replace(ground, protocol=ground.protocol.model_copy(update=changes))


CHANGES = {
    "batch size": lambda g: with_protocol(g, batch_size=4),
    "epochs": lambda g: with_protocol(g, local_epochs=2),
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
