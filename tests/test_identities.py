"""Which methods are the same algorithm, and beside which values of their knobs.

Equal means equal to the last bit: the server's tensors, the clients', those with which each client
predicts in each round, and every figure that a round reports. A comparison table must not count
one algorithm twice, so the docstrings of the methods name these identities.
"""

import pytest
from byhand import HEAD, flat, well_conditioned
from replay import spied

from pfltune.errors import UserError
from pfltune.federation.trial import FederatedTrial
from pfltune.methods.apfl import APFL
from pfltune.methods.ditto import Ditto
from pfltune.methods.fedalt import FedAlt
from pfltune.methods.fedavg import FedAvg
from pfltune.methods.fedavg_ft import FedAvgFT
from pfltune.methods.fedavgm import FedAvgM
from pfltune.methods.fedbabu import FedBABU
from pfltune.methods.fedbn import FedBN
from pfltune.methods.fedper import FedPer
from pfltune.methods.fedprox import FedProx
from pfltune.methods.fedrep import FedRep
from pfltune.methods.fedsim import FedSim
from pfltune.methods.local import Local
from pfltune.methods.per_fedavg import PerFedAvg
from pfltune.methods.vanilla_attention import VanillaAttention

LR = 0.1


class Outcome:
    """What two rounds of a method leave behind.

    Attributes:
        server: the server's tensors.
        personal: those of all clients, by client and name.
        predicting: those with which each client predicted, by round, client and name.
        metrics: the figures of each round, without seconds and memory.
    """

    def __init__(self, method, federation, reproducible):
        trial = FederatedTrial(method, federation, seed=0)
        self.predicting = spied(trial)
        self.metrics = [reproducible(trial.step().metrics) for _ in range(2)]
        self.server, self.personal = trial.server, flat({}, trial.personal)

    def accuracies(self):
        """Those figures of each round that speak of accuracy."""
        accuracies = ("val/", "test/")
        return [{n: v for n, v in m.items() if n.startswith(accuracies)} for m in self.metrics]


@pytest.fixture(scope="module")
def ground(make_federation):
    return well_conditioned(make_federation)


@pytest.fixture(scope="module")
def outcome(ground, reproducible):
    """``outcome(method)`` runs it for two rounds; made once for each method."""
    made = {}

    def run(method):
        if method not in made:
            made[method] = Outcome(method, ground, reproducible)
        return made[method]

    return run


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FedPer(lr=LR), FedSim(lr=LR, personal="head")),
        (FedBN(lr=LR), FedSim(lr=LR, personal="norm")),
        (VanillaAttention(lr=LR), FedSim(lr=LR, personal="head,attn")),
        (Local(lr=LR), FedSim(lr=LR, personal="all")),
        (FedRep(lr=LR, head_epochs=2), FedAlt(lr=LR, personal="head", personal_epochs=2)),
        (FedProx(lr=LR, mu=0.0), FedAvg(lr=LR)),
    ],
    ids=lambda method: type(method).__name__,
)
def test_two_names_of_one_algorithm(one, other, outcome, differing):
    a, b = outcome(one), outcome(other)
    assert a.metrics == b.metrics
    assert not differing(a.server, b.server)
    assert not differing(a.personal, b.personal)
    assert not differing(a.predicting, b.predicting)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (FedPer(lr=LR), FedSim(lr=LR, personal="norm")),
        (FedBN(lr=LR), FedAvg(lr=LR)),
        (VanillaAttention(lr=LR), FedSim(lr=LR, personal="attn")),
        (Local(lr=LR), FedAvg(lr=LR)),
        (FedRep(lr=LR, head_epochs=2), FedAlt(lr=LR, personal="head", personal_epochs=1)),
        (FedRep(lr=LR, head_epochs=1), FedPer(lr=LR)),
        (FedProx(lr=LR, mu=1.0), FedAvg(lr=LR)),
        (FedBABU(lr=LR), FedPer(lr=LR)),
    ],
    ids=lambda method: type(method).__name__,
)
def test_different_algorithms_differ(one, other, outcome):
    """They predict with other tensors, by far more than the last bit."""
    assert distance(outcome(one).predicting, outcome(other).predicting) > 1e-3


def distance(a, b):
    """The largest difference between tensors of the same name."""
    assert a.keys() == b.keys()
    return max((a[name] - b[name]).abs().max().item() for name in a)


@pytest.mark.parametrize("lam", [0.0, 1.0])
def test_dittos_server_is_fedavgs(lam, outcome, differing):
    assert not differing(outcome(Ditto(lr=LR, lam=lam)).server, outcome(FedAvg(lr=LR)).server)


def test_dittos_personal_models_are_locals_if_nothing_pulls_them(outcome, differing):
    """With λ = 0 the objective is f_c(v), on Local's batches."""
    ditto, local = outcome(Ditto(lr=LR, lam=0.0)), outcome(Local(lr=LR))
    assert not differing(ditto.personal, local.personal)
    assert not differing(ditto.predicting, local.predicting)
    assert ditto.accuracies() == local.accuracies()


def test_dittos_personal_models_are_others_if_something_pulls_them(outcome):
    pulled = outcome(Ditto(lr=LR, lam=1.0))
    assert distance(pulled.personal, outcome(Local(lr=LR)).personal) > 1e-3


@pytest.mark.parametrize(
    "method",
    [*(APFL(lr=LR, alpha=a) for a in (0.0, 0.5, 1.0)), APFL(lr=LR, alpha=0.5, learn_alpha=True)],
    ids=["0", "0.5", "1", "learned"],
)
def test_apfls_server_is_fedavgs(method, outcome, differing):
    assert not differing(outcome(method).server, outcome(FedAvg(lr=LR)).server)


def test_apfl_predicts_as_fedavg_if_nothing_is_personal(outcome, differing):
    """With α = 0, v̄ = w."""
    apfl, fedavg = outcome(APFL(lr=LR, alpha=0.0)), outcome(FedAvg(lr=LR))
    assert not differing(apfl.predicting, fedavg.predicting)
    assert apfl.accuracies() == fedavg.accuracies()


def test_apfl_predicts_as_local_if_everything_is_personal(outcome, differing):
    """With α = 1, v̄ = v, and v takes the steps of plain SGD on f_c(v)."""
    apfl, local = outcome(APFL(lr=LR, alpha=1.0)), outcome(Local(lr=LR))
    v = {name.replace("/apfl.", "/"): t for name, t in apfl.personal.items()}
    assert not differing({n: t for n, t in v.items() if not n.endswith("/alpha")}, local.personal)
    assert not differing(apfl.predicting, local.predicting)
    assert apfl.accuracies() == local.accuracies()


@pytest.mark.parametrize("other", [FedAvg(lr=LR), Local(lr=LR)], ids=["fedavg", "local"])
def test_apfl_predicts_otherwise_if_something_is_personal(other, outcome):
    mixed = outcome(APFL(lr=LR, alpha=0.5))
    assert distance(mixed.predicting, outcome(other).predicting) > 1e-3


def test_the_server_of_fedavg_ft_is_fedavgs(outcome, differing):
    method = FedAvgFT(lr=LR, finetune_epochs=2, finetune_lr=LR)
    assert not differing(outcome(method).server, outcome(FedAvg(lr=LR)).server)


def test_fedavgm_without_momentum_is_fedavg(outcome):
    """x + 1·(mean - x) = mean but for the last bits, so equal here means to 1e-6."""
    found, fedavg = outcome(FedAvgM(lr=LR, momentum=0.0)), outcome(FedAvg(lr=LR))
    assert distance(found.predicting, fedavg.predicting) < 1e-6


@pytest.mark.parametrize("knobs", [{"momentum": 0.5}, {"momentum": 0.0, "server_lr": 0.5}])
def test_fedavgm_with_momentum_or_another_rate_is_not(knobs, outcome):
    found, fedavg = outcome(FedAvgM(lr=LR, **knobs)), outcome(FedAvg(lr=LR))
    assert distance(found.predicting, fedavg.predicting) > 1e-3


def heads(trial):
    """The head that each client has before it adapts or predicts."""
    for client, personal in enumerate(trial.personal):
        model = trial.method.assemble(trial.method.download(trial.server, client), personal)
        yield {name: model[name] for name in HEAD}


def test_fedbabus_clients_always_adapt_from_the_first_head(ground, differing):
    first = ground.build_backbone(seed=0).state_dict()
    trial = FederatedTrial(FedBABU(lr=LR), ground, seed=0)
    for _ in trial.run():
        assert all(not differing(head, {n: first[n] for n in HEAD}) for head in heads(trial))


def test_fedpers_clients_do_not_keep_the_first_head(ground, differing):
    first = ground.build_backbone(seed=0).state_dict()
    trial = FederatedTrial(FedPer(lr=LR), ground, seed=0)
    list(trial.run())
    assert any(differing(head, {n: first[n] for n in HEAD}) for head in heads(trial))


@pytest.fixture(scope="module")
def whole(make_federation):
    """Each client reads all its training data as one batch, so that D = D′ whatever the order."""
    return well_conditioned(make_federation, batch_size=64)


def test_per_fedavg_approaches_fedavg_as_its_inner_step_vanishes(whole, run_trial):
    """∇f(w - α·∇f(w)) = ∇f(w) - α·∇²f(w)·∇f(w) + O(α²): the difference falls as α does."""
    fedavg = run_trial(FedAvg(lr=LR), whole, rounds=1).trial.server

    def off(alpha):
        method = PerFedAvg(lr=LR, inner_lr=alpha)
        return distance(run_trial(method, whole, rounds=1).trial.server, fedavg)

    assert off(0.0) < 1e-6
    assert off(0.1) > 1e-3
    assert off(0.01) / off(0.001) == pytest.approx(10, rel=0.2)


@pytest.mark.parametrize("method", [FedSim, FedAlt])
def test_a_part_that_the_model_lacks_is_named_with_those_it_has(method, federation):
    with pytest.raises(UserError) as caught:
        FederatedTrial(method(personal="head,atn"), federation, seed=0)
    message = str(caught.value)
    assert "'atn'" in message
    assert "did you mean 'attn'" in message
    for choice in ("all", "head", "norm", "attn", "mlp", "pos_embed", "blocks"):
        assert f" {choice}," in message


@pytest.mark.parametrize("personal", ["", " ", ",", "head,", ",head", "head,,attn", "."])
def test_an_empty_word_names_no_part(personal, federation):
    with pytest.raises(UserError, match=r"unknown part of the model '\.?'.*choose from.* head,"):
        FederatedTrial(FedSim(personal=personal), federation, seed=0)


@pytest.mark.parametrize("personal", ["attn, head", "head,attn,head"])
def test_order_spaces_and_repetition_of_the_words_do_not_matter(personal, federation):
    plain = FederatedTrial(FedSim(personal="head,attn"), federation, seed=0)
    assert FederatedTrial(FedSim(personal=personal), federation, seed=0).roles == plain.roles


def test_fedalt_needs_something_that_is_shared(federation):
    with pytest.raises(UserError, match=r"FedAlt trains its shared part, which has no parameters"):
        FederatedTrial(FedAlt(personal="all"), federation, seed=0)
