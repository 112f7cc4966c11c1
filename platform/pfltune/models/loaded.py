"""A client's model ready to answer."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pfltune.federation.compute import Compute
from pfltune.federation.local import EVALUATION_BATCHES
from pfltune.method import Tensors
from pfltune.models.assembled import Classifier, classifier_of
from pfltune.models.code import see_code
from pfltune.models.kept import ClientFigures, KeptModel, ModelFolder
from pfltune.models.pictures import as_images


@dataclass(frozen=True)
class Predictions:
    """What a model says to some images.

    Attributes:
        labels: the most probable class of each, int64 (images,).
        names: what these classes are called.
        probabilities: of all classes, float32 (images, classes).
    """

    labels: np.ndarray
    names: list[str]
    probabilities: np.ndarray


class LoadedModel:
    """The model of one client, as it was in the selected round of its trial.

    Args:
        manifest: what it is; the code that it needs has been compared.
        client: whose it is.
        tensors: what it is made of.

    Attributes:
        manifest: see above.
        client: see above.
    """

    def __init__(self, manifest: KeptModel, client: int, tensors: Tensors) -> None:
        self.manifest = manifest
        self.client = client
        self._tensors = tensors

    @cached_property
    def module(self) -> Classifier:
        """uint8 images (batch, channels, height, width) to logits; ``model`` is in it."""
        return classifier_of(self.manifest, self._tensors)

    @property
    def class_names(self) -> tuple[str, ...]:
        """One per class."""
        return self.manifest.bundle.class_names

    @property
    def figures(self) -> ClientFigures:
        """How it did on the client's own samples."""
        return self.manifest.figures(self.client)

    def logits(self, images: Any) -> Tensor:
        """What the model says, float32 (images, classes), in the precision of its trial.

        Args:
            images: see :func:`pfltune.models.pictures.as_images`.

        Raises:
            UserError: they are no images, or of other colours.
        """
        computing, batch = self.manifest.computing, self.manifest.scenario.protocol.batch_size
        ready = as_images(images, self.manifest.bundle.image)
        compute = Compute(device="cpu", precision=computing.precision)
        with torch.inference_mode(), compute.arithmetic():
            pieces = ready.split(EVALUATION_BATCHES * batch)
            return torch.cat([self.module(piece) for piece in pieces])

    def predict(self, images: Any) -> Predictions:
        """The class of each image, see :meth:`logits`.

        Raises:
            UserError: they are no images, or of other colours.
        """
        logits = self.logits(images)
        labels = logits.argmax(1)
        names = [self.class_names[label] for label in labels.tolist()]
        return Predictions(labels.numpy(), names, logits.softmax(1).numpy())


def loaded_client(
    folder: ModelFolder, client: int | None = None, accept_new_code: bool = False
) -> LoadedModel:
    """A client's model of a kept one; the first client's if none is named.

    Raises:
        UserError: there is no such client, the code that it needs is another here, or a file is
            damaged.
    """
    manifest = folder.manifest
    see_code(manifest, accept_new_code)
    chosen = manifest.clients[0].client if client is None else client
    return LoadedModel(manifest, chosen, folder.tensors(chosen))
