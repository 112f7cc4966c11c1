"""Local optimizers and schedules, against torch.optim; at once as one by one."""

import math

import pytest
import torch
import torch.nn.functional as F
from byhand import well_conditioned
from pydantic import ValidationError

from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.method import Method, Optimizer, Phase, Schedule
from pfltune.testing.federations import Sizes, tiny_federation

LR = 0.05
OPTIMIZERS = {
    "momentum": Optimizer(momentum=0.9),
    "nesterov": Optimizer(momentum=0.5, nesterov=True, weight_decay=0.01),
    "decay": Optimizer(weight_decay=0.1),
    "adamw": Optimizer(kind="adamw", weight_decay=0.05),
}


def of_torch(which, moving, lr):
    if which.kind == "adamw":
        return torch.optim.AdamW(moving, lr=lr, weight_decay=which.weight_decay)
    options = {"momentum": which.momentum, "nesterov": which.nesterov}
    return torch.optim.SGD(moving, lr=lr, weight_decay=which.weight_decay, **options)


def by_hand(federation, which, rates):
    """One client's model after a new optimizer of torch's in each round."""
    model, data = federation.build_backbone(0).train(), federation.dataset
    trial = FederatedTrial(Method(lr=LR), federation, 0)
    for number, rate in enumerate(rates, start=1):
        optimizer = of_torch(which, list(model.parameters()), LR * rate)
        for (chosen,) in trial._crew.work(0, "training", number).draw()(Phase("all", LR)):
            model.zero_grad()
            images = data.images[chosen].float() / 127.5 - 1
            F.cross_entropy(model(images), data.labels[chosen]).backward()
            optimizer.step()
    return model.state_dict()


def ended(method, federation, cohort=1):
    trial = FederatedTrial(method, federation, 0, Compute(cohort=cohort))
    for _ in trial.run():
        pass
    return trial


def furthest(a, b):
    return max(float((t - b[n]).abs().max()) for n, t in a.items())


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_scenarios_optimizer_steps_as_torchs(name):
    which = OPTIMIZERS[name]
    federation = tiny_federation((Sizes(20, 5, 5),), rounds=2, local_epochs=2, optimizer=which)
    expected = by_hand(federation, which, (1, 1))
    assert furthest(ended(Method(lr=LR), federation).server, expected) < 1e-6


def test_a_methods_own_optimizer_and_schedule_come_before_the_scenarios():
    class Own(Method):
        def phases(self):
            fast = Schedule(kind="step", every=1, factor=0.1)
            return (Phase("all", self.lr, optimizer=OPTIMIZERS["momentum"], schedule=fast),)

    rules = {"rounds": 2, "optimizer": OPTIMIZERS["adamw"], "schedule": {"kind": "cosine"}}
    federation = tiny_federation((Sizes(20, 5, 5),), **rules)
    expected = by_hand(federation, OPTIMIZERS["momentum"], (1, 0.1))
    assert furthest(ended(Own(lr=LR), federation).server, expected) < 1e-6


def without_key_biases(tensors):
    """Attention does not depend on them, so AdamW makes whole steps of mere rounding."""
    width = 16
    return {
        name: torch.cat([t[:width], t[2 * width :]]) if name.endswith("qkv.bias") else t
        for name, t in tensors.items()
    }


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_clients_with_fewer_steps_wait_without_moving(name, make_federation):
    rules = {"rounds": 2, "sampled_clients": 3, "local_epochs": 2, "optimizer": OPTIMIZERS[name]}
    federation = well_conditioned(make_federation, **rules)
    alone, together = (ended(Method(lr=0.01), federation, cohort) for cohort in (1, 3))
    assert not together.hindrances
    found, expected = map(without_key_biases, (together.server, alone.server))
    assert furthest(found, expected) < 1e-5


def test_a_scenario_with_plain_sgd_is_as_before():
    rules = {"rounds": 2, "optimizer": Optimizer(), "schedule": Schedule()}
    plain, same = tiny_federation(rounds=2), tiny_federation(**rules)
    assert furthest(ended(Method(), plain).server, ended(Method(), same).server) == 0


def test_schedules_are_factors_of_the_round():
    cosine, step = Schedule(kind="cosine"), Schedule(kind="step", every=2, factor=0.1)
    assert [cosine.in_round(r, 4) for r in (1, 3)] == [1, (1 + math.cos(math.pi / 2)) / 2]
    assert 0 < cosine.in_round(4, 4) < 0.2, "the last round still trains"
    assert [step.in_round(r, 9) for r in (1, 2, 3, 5)] == [1, 1, 0.1, 0.1**2]
    assert {Schedule().in_round(r, 9) for r in range(1, 10)} == {1}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"kind": "adamw", "momentum": 0.9}, "momentum=0.9 has no effect; it needs kind=sgd"),
        ({"nesterov": True}, "nesterov=true has no effect; it needs kind=sgd and momentum>0"),
        ({"kind": "adamw", "nesterov": True}, "nesterov=true has no effect"),
        ({"momentum": 1.0}, "less than or equal to 0.999"),
        ({"kind": "adam"}, "'sgd' or 'adamw'"),
    ],
)
def test_what_does_not_fit_together_is_refused(wrong, words):
    with pytest.raises(ValidationError, match=words):
        Optimizer(**wrong)


def test_adaptation_and_personalisation_begin_anew_at_the_whole_rate():
    trial = FederatedTrial(Method(), tiny_federation(rounds=4), 0)
    factors = {
        purpose: trial._crew.work(0, purpose, 4).factor(Schedule(kind="cosine"))
        for purpose in ("training", "adaptation", "personalisation/0")
    }
    assert factors.pop("training") < 0.2
    assert set(factors.values()) == {1.0}
