"""One client of a method without a rule of its own descends as torch's own optimizers do."""

import torch
import torch.nn.functional as F
from torch import nn

from pfltune.federation.federation import Federation, Rounds
from pfltune.federation.hindrance import of_model
from pfltune.federation.roles import is_frozen
from pfltune.federation.setup import set_up
from pfltune.federation.trial import FederatedTrial
from pfltune.isolation import contained
from pfltune.method import Method, Phase
from pfltune.testing.broken import Broken
from pfltune.testing.federations import Sizes, small_federation
from pfltune.testing.runs import run, trial_of
from pfltune.testing.subject import Subject

TRAINING = ("objective", "init_server", "init_client", "download", "train", "aggregate")
OWN_RULES = (*TRAINING, "wraps")
TOLERANCE = 1e-5


def is_plain_sgd_on_one_client(subject: Subject) -> str | None:
    """One client without a rule of the method's own descends as torch's optimizers do"""
    own = [hook for hook in OWN_RULES if getattr(subject.cls, hook) is not getattr(Method, hook)]
    if own:
        return f"has a rule of its own: {', '.join(own)}"
    trial = trial_of(subject, small_federation((Sizes(20, 5, 5),), rounds=2))
    if of_model(trial._trainer.model):
        return "its model draws or keeps statistics"
    run(trial)
    expected = _by_hand(trial)
    found = {**trial.server, **trial.personal[0]}
    far = [n for n, t in found.items() if not torch.allclose(t, expected[n], 0, TOLERANCE)]
    if far:
        raise Broken(
            "the weights that torch.optim finds on the client's batches",
            f"others in {far[0]}",
            "let phases() say all that is trained",
            "phases",
        )
    return None


def _by_hand(trial: FederatedTrial) -> dict[str, torch.Tensor]:
    with contained(type(trial.method).__name__, {"threads": 1}, seed=0):
        federation = trial.federation
        model = _model(trial.method, federation)
        for number in range(1, federation.protocol.rounds + 1):
            draw = trial._crew.work(0, "training", number).draw()
            for phase in trial.method.phases():
                batches = [chosen[0] for chosen in draw(phase)]
                _descend(model, trial, phase, number, batches)
        return model.state_dict()


def _model(method: Method, federation: Federation) -> nn.Module:
    bare = federation.build_backbone(0)
    model = set_up(method, bare, 1, 0, torch.device("cpu")).model.train()
    for module in filter(is_frozen, model.modules()):
        module.eval()
    return model


def _descend(
    model: nn.Module, trial: FederatedTrial, phase: Phase, number: int, batches: list[torch.Tensor]
) -> None:
    names = set(trial.roles.part(phase.part))
    moving = [p for name, p in model.named_parameters() if name in names]
    optimizer = _optimizer(moving, phase, number, trial.federation.protocol)
    for chosen in batches:
        x, y = trial._trainer.images.batch(chosen, training=True)
        model.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()


def _optimizer(
    moving: list[nn.Parameter], phase: Phase, number: int, protocol: Rounds
) -> torch.optim.Optimizer:
    chosen = phase.optimizer or protocol.optimizer
    decay = chosen.weight_decay if phase.weight_decay is None else phase.weight_decay
    lr = phase.lr * (phase.schedule or protocol.schedule).in_round(number, protocol.rounds)
    if chosen.kind == "adamw":
        return torch.optim.AdamW(moving, lr, weight_decay=decay)
    return torch.optim.SGD(
        moving, lr, chosen.momentum, weight_decay=decay, nesterov=chosen.nesterov
    )
