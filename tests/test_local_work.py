"""What a method can ask of a client and of the server: data of a step, counts, outputs, draws."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pfltune.backbones import TimmBackbone
from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.federation.trial import FederatedTrial
from pfltune.federation.work import ServerRound
from pfltune.method import Method, Update, gradient
from pfltune.testing.federations import tiny_federation

FEATURES = 16


class OwnLoss(Method):
    """The loss written with labels, logits and the mean of the batch."""

    def objective(self, loss, params, context):
        batch = loss.batch()
        said = batch.outputs(params)
        return batch.mean(F.cross_entropy(said.logits, said.labels, reduction="none"))


class Centres(Method):
    """Features are pulled to the mean of their class, which comes as a constant of the client."""

    def train(self, work, down, personal):
        said = work.outputs(down)
        belongs = F.one_hot(said.labels, 3).float()
        means = belongs.T @ said.features / work.class_counts.clamp_min(1).unsqueeze(1)
        context = {"means": means, "counts": work.class_counts.float()}
        trained = work.fit(down, self.phases(), self.objective, context)
        return Update(trained, {}, work.samples)

    def objective(self, loss, params, context):
        batch = loss.batch()
        said = batch.outputs(params)
        own = F.one_hot(said.labels, 3).float() @ context["means"]
        pull = batch.mean((said.features - own).square().mean(1))
        return loss(params) + pull / context["counts"].sum()


class Recorder(Method):
    """Notes what a client is told of itself."""

    def train(self, work, down, personal):
        fitted = work.fit(down, self.phases())
        told = (work.client, work.round, work.samples, work.val_samples, work.steps, work.rate)
        SEEN.append((*told, work.class_counts.tolist()))
        return Update(fitted, {}, work.samples)


SEEN: list = []


def ended(method, cohort=1, **protocol):
    federation = tiny_federation(sampled_clients=3, rounds=2, **protocol)
    trial = FederatedTrial(method, federation, 0, Compute(cohort=cohort))
    for _ in trial.run():
        pass
    return trial


def furthest(a, b):
    return max(float((t - b[n]).abs().max()) for n, t in a.items())


def test_a_loss_written_with_the_batch_is_the_loss():
    assert furthest(ended(OwnLoss()).server, ended(Method()).server) < 1e-6


@pytest.mark.parametrize("method", [OwnLoss(), Centres()], ids=lambda m: type(m).__name__)
def test_clients_with_batches_of_other_lengths_train_at_once_as_one_by_one(method):
    alone, together = ended(method), ended(method, cohort=3)
    assert not together.hindrances
    assert furthest(together.server, alone.server) < 1e-5


def test_a_client_knows_its_round_its_samples_and_its_classes():
    SEEN.clear()
    trial = ended(Recorder(), schedule={"kind": "step", "every": 1, "factor": 0.5})
    data = trial.federation.dataset
    assert [seen[1] for seen in SEEN] == [1, 1, 1, 2, 2, 2]
    for client, number, samples, val, steps, rate, counts in SEEN:
        split = trial.federation.clients[client]
        assert (samples, val) == (len(split.train), len(split.val))
        assert steps == -(-samples // 8)
        assert rate == 0.5 ** (number - 1)
        assert counts == torch.bincount(data.labels[split.train], minlength=3).tolist()


def test_outputs_are_those_of_the_model_on_all_training_images():
    trial = ended(Method())
    work = trial._crew.work(2, "training", 2)
    said = work.outputs(trial.server)
    model = trial.federation.build_backbone(0).eval()
    model.load_state_dict(trial.server)
    split = trial.federation.clients[2]
    images = trial.federation.dataset.images[split.train].float() / 127.5 - 1
    features = model.forward_head(model.forward_features(images), pre_logits=True)
    assert torch.equal(said.labels, trial.federation.dataset.labels[split.train])
    assert said.features.shape == (len(split.train), FEATURES)
    torch.testing.assert_close(said.features, features)
    torch.testing.assert_close(said.logits, model.head(features))
    assert not said.features.is_inference(), "an objective may be handed them"


def test_a_model_without_one_head_has_no_features():
    backbone = TimmBackbone(
        model="deit_tiny_distilled_patch16_224",
        image_size=8,
        patch_size=4,
        width=16,
        depth=1,
        heads=2,
    )
    federation = tiny_federation(backbone=backbone)
    trial = FederatedTrial(OwnLoss(), federation, 0)
    with pytest.raises(UserError, match="has several heads, head, head_dist"):
        trial.step()


def test_the_servers_draws_depend_on_seed_and_round_alone():
    drawn = {
        key: torch.rand(2, generator=ServerRound(*key, clients=4).generator()).tolist()
        for key in ((0, 1), (0, 2), (1, 1))
    }
    assert len({tuple(values) for values in drawn.values()}) == 3
    again = ServerRound(0, 1, clients=9).generator()
    assert torch.rand(2, generator=again).tolist() == drawn[0, 1]


def test_the_server_is_told_round_and_clients():
    told = []

    class Asks(Method):
        def aggregate(self, server, uploads, work):
            told.append((work.round, work.clients))
            return super().aggregate(server, uploads, work)

    ended(Asks())
    assert told == [(1, 4), (2, 4)]
    told.clear()
    apart = replace(tiny_federation(rounds=1), unseen=frozenset({3}))
    FederatedTrial(Asks(), apart, 0).step()
    assert told == [(1, 3)], "who never trains is none of the N that SCAFFOLD and FedDyn divide by"


def test_the_backbone_of_these_tests_has_a_linear_head():
    assert isinstance(tiny_federation().build_backbone(0).head, nn.Linear)


class OwnLoop(Method):
    """Steps of its own on the mean of the batch."""

    def train(self, work, down, personal):
        model = down
        for loss in work.batches():
            batch = loss.batch()

            def value(tensors, batch=batch):
                said = batch.outputs(tensors)
                each = F.cross_entropy(said.logits, said.labels, reduction="none")
                return batch.mean(each)

            slope = gradient(value, model)
            batch.mean(torch.ones(len(batch.labels)))  # asked for again: no second step
            model = {name: t - 0.1 * slope[name] for name, t in model.items()}
        STEPS.append(work.steps)
        return Update(model, {}, work.samples)


STEPS: list = []


def test_a_loop_of_its_own_over_batches_counts_its_steps_and_has_a_loss():
    STEPS.clear()
    trial = FederatedTrial(OwnLoop(), tiny_federation(rounds=1, sampled_clients=4), 0)
    report = trial.step()
    assert [-(-len(c.train) // 8) for c in trial.federation.clients] == STEPS
    assert report.metrics["train/total_steps"] == sum(STEPS)
    assert report.metrics["train/loss"] > 0
