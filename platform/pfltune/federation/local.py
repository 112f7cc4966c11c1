"""Local training and prediction of one client, over plain tensors."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor, nn

from pfltune.data.images import Images
from pfltune.federation.compute import Compute
from pfltune.federation.cut import Cut, Run, cut_of
from pfltune.federation.descent import Descent, Factor
from pfltune.federation.federation import Rounds
from pfltune.federation.flops import FlopCounter
from pfltune.federation.functional import FunctionalModel
from pfltune.federation.operations import Counts, Operations
from pfltune.federation.passes import reads_again
from pfltune.federation.remembered import Remembered
from pfltune.federation.roles import Roles, is_frozen
from pfltune.federation.step_loss import StepBatch, StepLoss
from pfltune.isolation import aside
from pfltune.method import Objective, Outputs, Phase, Tensors

EVALUATION_BATCHES = 4
"""A batch of evaluation in training batches: without gradients it takes no more memory."""


class LocalTrainer:
    """Runs a client's phases and predictions on one grafted model.

    The model supplies the architecture and the frozen weights; everything else is handed in.

    Args:
        model: the grafted model.
        roles: its division.
        images: the data on the model's device.
        protocol: batch size and local epochs.
        seed: the trial's seed; data order depends on (seed, round, client, epoch).
        compute: the precision of forward passes.
        counted: operations of steps that are known already.

    Attributes:
        operations: what local steps compute, counted once for each kind of step.
        spent: what a trial with a budget had spent of it before this round, as a share.
    """

    def __init__(
        self,
        model: nn.Module,
        roles: Roles,
        images: Images,
        protocol: Rounds,
        seed: int,
        compute: Compute | None = None,
        counted: Counts | None = None,
    ) -> None:
        self.model = model
        self.roles = roles
        self.images = images
        self.protocol = protocol
        self.seed = seed
        self.operations = Operations(self, counted)
        self.spent: float | None = None
        self._forward: int | None = None
        self._function = FunctionalModel(model)
        self._compute = compute or Compute()
        self._training: bool | None = None
        self._cuts: dict[frozenset[str], Cut | None] = {}
        self._frozen_modules = [module for module in model.modules() if is_frozen(module)]

    def fit(
        self,
        start: Tensors,
        phases: Iterable[Phase],
        batches: Callable[[Phase], Iterator[tuple[Tensor, ...]]],
        objective: Objective,
        context: Tensors,
        factor: Factor,
        on_step: Callable[[Tensor], None],
        samples: Tensor,
    ) -> Tensors:
        """Descend from ``start`` through ``phases``; the arguments are left as they are.

        Args:
            start: shared and personal tensors by name.
            phases: what moves, at which rate, for how long.
            batches: yields the sample indices of each of a phase's steps, one tensor a batch.
            objective: what each step descends.
            context: handed to the objective.
            factor: what a schedule multiplies rates by.
            on_step: told the objective's value of each step, still on the device.
            samples: the client's training samples.
        """
        self.set_training(True)
        tensors = {name: value.detach().clone() for name, value in start.items()}
        for phase in phases:
            moving = {n: tensors[n].requires_grad_() for n in self.moving(phase, tensors)}
            leaves = list(moving.values())
            descent = self.descent(leaves, phase, factor)
            known = self._remembered(phase, tensors, moving, samples)
            for chosen in batches(phase):
                loss = self.loss_on(chosen, tensors) if known is None else known.loss_on(chosen)
                value = objective(loss, moving, context)
                descent.step(torch.autograd.grad(value, leaves, materialize_grads=True))
                on_step(value.detach())
            for tensor in leaves:
                tensor.requires_grad_(False)
        return tensors

    def descent(self, leaves: list[Tensor], phase: Phase, factor: Factor) -> Descent:
        """What moves ``leaves`` in a phase; the scenario says what the phase leaves open."""
        return Descent.of(leaves, phase, self.protocol, factor)

    def loss_on(self, batches: tuple[Tensor, ...], rest: Tensors) -> StepLoss:
        """The mean cross-entropy on ``batches``, read and augmented once, as a function of tensors.

        Args:
            batches: the sample indices of each batch.
            rest: the tensors of the client that a caller leaves out.
        """
        data = (self.images.batch(chosen, training=True) for chosen in batches)
        return StepLoss([StepBatch(self, rest, x, y) for x, y in data])

    def answers(self, tensors: Tensors, indices: Tensor) -> tuple[Tensor, Tensor]:
        """What the model says to the samples ``indices``, and what is right, on the device.

        Returns:
            Logits, float32 (samples, classes), and labels, int64 (samples,).
        """
        self.set_training(False)
        logits, labels = [], []
        with torch.inference_mode():
            for chosen in indices.split(self.evaluation_batch):
                x, y = self.images.batch(chosen)
                logits.append(self.logits(tensors, x))
                labels.append(y)
            return torch.cat(logits), torch.cat(labels)

    def outputs(self, tensors: Tensors, indices: Tensor) -> Outputs:
        """The same with features, as constants that an objective may be handed."""
        self.set_training(False)
        found = []
        with torch.no_grad():
            for chosen in indices.split(self.evaluation_batch):
                x, y = self.images.batch(chosen)
                found.append((*self.logits_and_features(tensors, x), y))
        return Outputs(*(torch.cat(parts) for parts in zip(*found, strict=True)))

    def forward_operations(self, tensors: Tensors, indices: Tensor) -> int:
        """Of the model's answer for one sample, counted once."""
        if self._forward is None:
            self._forward = self.forward_flops(tensors, indices[:1])
        return self._forward

    def forward_flops(self, tensors: Tensors, sample: Tensor) -> int:
        """Floating-point operations of the model's answer for one sample, by torch's counter.

        A multiplication with an addition counts as two. Only matrix products, convolutions and
        attention are counted.
        """
        self.set_training(False)
        x, _ = self.images.batch(sample)
        with torch.inference_mode(), FlopCounter() as counter:
            self.logits(tensors, x)
        return counter.total

    def logits(self, tensors: Tensors, x: Tensor, run: Run | None = None) -> Tensor:
        """The answer (batch, classes) of the client's model in float32.

        Args:
            tensors: the client's.
            x: images, or what ``run`` reads.
            run: the end of the model, where that alone is to answer.
        """
        with self._compute.arithmetic():
            return self._function(tensors, x, run).float()

    def logits_and_features(
        self, tensors: Tensors, x: Tensor, run: Run | None = None
    ) -> tuple[Tensor, Tensor]:
        """The same, and what the head reads (batch, width) in float32."""
        with self._compute.arithmetic():
            logits, features = self._function.with_features(tensors, x, run)
            return logits.float(), features.float()

    def set_training(self, training: bool) -> None:
        """Put the model into training or evaluation mode; frozen modules stay in the latter."""
        if self._training == training:
            return
        self._training = training
        self.model.train(training)
        for module in self._frozen_modules:
            module.eval()

    def _remembered(
        self, phase: Phase, tensors: Tensors, moving: Tensors, samples: Tensor
    ) -> Remembered | None:
        """Answers for a phase that reads samples more than once, where not all has to be done anew.

        Args:
            phase: the phase.
            tensors: the client's.
            moving: those of them that move.
            samples: the client's training samples.
        """
        once = not reads_again(phase, self.protocol, len(samples))
        if once or self.images.preprocessing.augment:
            return None
        names = frozenset(moving)
        if names not in self._cuts:
            x, _ = self.images.batch(samples[:1])
            with aside("cut"), self._compute.arithmetic():
                self._cuts[names] = cut_of(self._function, tensors, moving, x)
        cut = self._cuts[names]
        return None if cut is None else Remembered(self, cut, tensors, names, samples)

    def given(self, module: nn.Module, tensors: Tensors, chosen: Tensor) -> Tensor:
        """What a module of the client's model is given for some samples, without gradients."""
        with torch.no_grad(), self._compute.arithmetic():
            inputs = (self.images.batch(each)[0] for each in chosen.split(self.evaluation_batch))
            return torch.cat([self._function.given(module, tensors, x) for x in inputs])

    @property
    def evaluation_batch(self) -> int:
        """Samples that a pass without gradients reads at once."""
        return EVALUATION_BATCHES * self.protocol.batch_size

    def moving(self, phase: Phase, tensors: Tensors) -> list[str]:
        """The names that a phase trains; what a method keeps beside the model's is personal."""
        own = [n for n, t in tensors.items() if n not in self.roles.names and t.is_floating_point()]
        trained = self.roles.part(phase.part)
        return [n for n in trained if n in tensors] + (own if phase.part != "shared" else [])
