"""What stands still in a phase is computed once, and everything ends as if it were not."""

import random
from dataclasses import dataclass, replace
from typing import ClassVar
from unittest.mock import patch

import pytest
import torch
from replay import spied
from torch import nn

from pfltune import parts
from pfltune.data.images import Preprocessing
from pfltune.federation import remembered
from pfltune.federation.compute import Compute
from pfltune.federation.local import LocalTrainer
from pfltune.federation.passes import reads_again
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Phase, Update
from pfltune.methods.fedalt import FedAlt
from pfltune.methods.fedbabu import FedBABU
from pfltune.methods.fedlora import FedLoRA
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedrep import FedRep
from pfltune.methods.linear_probe import LinearProbe
from pfltune.registry import available_methods, make_method
from pfltune.testing.federations import small_federation
from pfltune.testing.runs import repeatable, state_of

EPOCHS = 3
TOLERANCE = 1e-6


class Run:
    """Two rounds of a trial: where it ends, and how many steps began at a cut."""

    def __init__(self, method, federation, precision="float32"):
        trial = FederatedTrial(method, federation, 0, Compute(precision=precision))
        predicted, trainer, self.short = spied(trial), trial._trainer, 0

        def counting(answer):
            def spy(tensors, x, run=None):
                self.short += run is not None
                return answer(tensors, x, run)

            return spy

        for name in ("logits", "logits_and_features"):
            setattr(trainer, name, counting(getattr(trainer, name)))
        self.figures = [repeatable(trial.step().metrics) for _ in range(2)]
        self.tensors = {**state_of(trial), **predicted}
        self.steps = trial.totals.steps, trial.totals.adaptation_steps
        self.operations = trial.totals.operations

    @classmethod
    def plain(cls, *given):
        """The same without anything remembered."""
        with patch.object(LocalTrainer, "_remembered", lambda *_: None):
            return cls(*given)

    def furthest(self, other):
        pairs = [(t, other.tensors[n]) for n, t in self.tensors.items() if t.numel()]
        return max(float((a - b).abs().max()) for a, b in pairs)


def trained_for(epochs, **rules):
    return small_federation(local_epochs=epochs, **rules)


@dataclass(frozen=True, kw_only=True)
class Middle(Method):
    """A stranger's: a vector that a hook adds in front of the second block, and the head, stay."""

    def graft(self, model):
        vector = nn.Parameter(torch.zeros(16))
        model.blocks[1].register_parameter("mine", vector)
        model.blocks[1].register_forward_pre_hook(lambda block, args: (args[0] + block.mine,))

    def personal_part(self, model):
        return ["blocks.1.mine", *parts.head(model)]

    def phases(self):
        return (Phase("personal", self.lr, EPOCHS), Phase("shared", self.lr, 1))


@dataclass(frozen=True, kw_only=True)
class Featured(FedPer):
    """A head that trains alone on a loss of features, and on that of the model as it began."""

    def phases(self):
        return (Phase("personal", self.lr, EPOCHS),)

    def objective(self, loss, params, context):
        batch, body = loss.batch(), {n: t for n, t in context.items() if not n.startswith("head.")}
        said, before = batch.outputs(params), loss({**body, **params})
        return (
            batch.mean(said.logits.square().sum(1) * said.features.mean(1)) + loss(params) + before
        )


@dataclass(frozen=True, kw_only=True)
class Probed(LinearProbe):
    """A head that trains on another backbone, too: that of the model, turned around."""

    def train(self, work, down, personal):
        name = "patch_embed.proj.weight"
        turned = {name: self.known[0].flip(0)}
        trained = work.fit(down, self.phases(), self.objective, {**turned, **personal})
        return Update(trained, personal, work.samples)

    def graft(self, model):
        super().graft(model)
        self.known[:] = [model.patch_embed.proj.weight.detach()]

    def objective(self, loss, params, context):
        return loss(params) + loss({**params, **context})

    known: ClassVar[list] = []


QUICK = {
    "fedrep": (FedRep(head_epochs=EPOCHS, lr=0.1), {}, EPOCHS, 1),
    "fedalt": (FedAlt(personal="blocks.1,head", personal_epochs=EPOCHS, lr=0.1), {}, EPOCHS, 1),
    "probe": (LinearProbe(lr=0.1), {"local_epochs": EPOCHS}, EPOCHS, 0),
    "lora of a block": (
        FedLoRA(layers="blocks.1.mlp", lr=0.1),
        {"local_epochs": EPOCHS},
        EPOCHS,
        0,
    ),
    "a stranger's": (Middle(lr=0.1), {}, EPOCHS, 1),
    "another's": (Probed(lr=0.1), {"local_epochs": EPOCHS}, EPOCHS, 0),
    "features": (Featured(lr=0.1), {}, 2 * EPOCHS, -EPOCHS),
}
"""Method, rules, answers from a cut in so many epochs, and epochs without any."""


@pytest.mark.parametrize("case", QUICK)
def test_what_stands_still_is_computed_once_and_all_ends_the_same(case):
    method, rules, short, rest = QUICK[case]
    run, plain = (make(method, small_federation(**rules)) for make in (Run, Run.plain))
    assert run.short * (short + rest) == run.steps[0] * short
    assert plain.short == 0
    assert run.furthest(plain) <= TOLERANCE
    assert run.steps == plain.steps
    assert run.operations == plain.operations, "what is asked for counts, not what is done"


def test_what_a_client_adapts_before_an_evaluation_is_too():
    run, plain = (make(FedBABU(lr=0.1), small_federation()) for make in (Run, Run.plain))
    assert run.short == run.steps[1] > 0
    assert run.furthest(plain) <= TOLERANCE
    assert run.figures == plain.figures


def test_so_it_is_in_half_precision():
    given = FedRep(lr=0.1), small_federation(), "bfloat16"
    run, plain = Run(*given), Run.plain(*given)
    assert run.short
    assert run.furthest(plain) <= 1e-3


# ------------------------------------------------------------------ where nothing may be remembered


class Rep(FedRep):
    """FedRep on a model that something is done to."""

    def graft(self, model):
        self.change(model)


class Dropout(Rep):
    def change(self, model):
        model.pos_drop = nn.Dropout(0.2)


class LayerDrop(Rep):
    """Draws from Python's generator, which every round of a trial begins anew."""

    def change(self, model):
        model.blocks[0].register_forward_hook(
            lambda _m, args, out: out if random.random() < 0.99 else args[0]
        )


class BatchNorm(Rep):
    def change(self, model):
        model.patch_embed.proj = nn.Sequential(model.patch_embed.proj, nn.BatchNorm2d(16))


class Coupled(Rep):
    """An image's features depend on the batch."""

    def change(self, model):
        model.blocks[0].register_forward_hook(lambda _m, _a, out: out - out.mean(0, keepdim=True))


class Reading(Rep):
    """The body reads the head without a gradient."""

    def change(self, model):
        model.blocks[0].register_forward_hook(
            lambda _m, _a, out: out + model.head.weight.detach().mean()
        )


class Tempered(Rep):
    """What is done to the head's answer is not the head's."""

    def change(self, model):
        model.register_forward_hook(lambda _m, _a, out: out / 2)


class Handed(FedAlt):
    """What moves reads what a hook has kept of a block before it."""

    def graft(self, model):
        kept = []
        model.blocks[0].register_forward_hook(lambda _m, _a, out: kept.append(out.detach()))
        model.blocks[1].register_forward_hook(lambda _m, _a, out: out + kept[-1].mean(1, True))


ALT = {"personal": "blocks.1,head", "personal_epochs": EPOCHS, "lr": 0.1}


@pytest.mark.parametrize(
    "method",
    [
        *(kind(lr=0.1) for kind in (Dropout, LayerDrop, BatchNorm, Coupled, Reading, Tempered)),
        Handed(**ALT),
        FedAlt(**{**ALT, "personal": "norm,head"}),
    ],
    ids=lambda method: type(method).__name__,
)
def test_a_model_of_which_that_cannot_be_known_trains_as_ever(method):
    """To the last bit: that it was tried out leaves no trace in draws and statistics."""
    run, plain = (make(method, small_federation()) for make in (Run, Run.plain))
    assert run.short == 0
    assert run.furthest(plain) == 0
    assert run.figures == plain.figures


def test_augmented_images_are_read_anew():
    flipped = replace(small_federation(), preprocessing=Preprocessing(augment=("flip",)))
    run, plain = (make(FedRep(lr=0.1), flipped) for make in (Run, Run.plain))
    assert run.short == 0
    assert run.furthest(plain) == 0


def test_where_there_is_no_room_nothing_is_kept(monkeypatch):
    """The head of the tiny model reads 16 numbers of an image; the largest client has 22 images."""
    plain = Run.plain(FedRep(lr=0.1), small_federation())
    monkeypatch.setattr(remembered, "ROOM_MB", 21 * 16 * 4 / 1e6)
    run = Run(FedRep(lr=0.1), small_federation())
    assert 0 < 3 * run.short < 2 * run.steps[0], "two epochs of three, of the smaller clients"
    assert run.furthest(plain) <= TOLERANCE


@pytest.mark.parametrize(
    ("phase", "again"),
    [
        (Phase("all", 0.1), False),
        (Phase("all", 0.1, epochs=2), True),
        (Phase("all", 0.1, epochs=5, steps=2), False),
        (Phase("all", 0.1, epochs=5, steps=3), True),
        (Phase("all", 0.1, batches=2), True),
        (Phase("all", 0.1, epochs=2, share=0.5), False),
    ],
)
def test_what_is_read_once_needs_no_memory(phase, again):
    assert reads_again(phase, small_federation().protocol, 16) == again


@pytest.mark.thorough
@pytest.mark.parametrize("name", available_methods())
def test_every_method_ends_the_same_whatever_is_remembered(name):
    method = make_method(name, {})
    run, plain = (make(method, small_federation(local_epochs=2)) for make in (Run, Run.plain))
    assert run.furthest(plain) <= TOLERANCE
    assert run.steps == plain.steps
