"""Start weights from brief central training, which is done once and kept."""

import hashlib
import json
from pathlib import Path

import torch
import torch.nn.functional as F
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from pfltune.backbones import Backbone
from pfltune.data.home import data_root, writing_in
from pfltune.data.images import Images
from pfltune.devices import processor_name
from pfltune.method import Tensors
from pfltune.randomness import isolated, torch_rng
from pfltune.settings import Settings
from pfltune.storage import write_whole

# Part of every key: to be raised when the same recipe would end in other weights.
FORMAT = 1


class WarmStart(Settings):
    """Brief central training on samples set aside for it, which no client ever holds."""

    share: float = Field(gt=0, lt=0.9, description="share of the data set that is set aside")
    epochs: int = Field(ge=1, description="passes over that share")
    lr: float = Field(gt=0, description="learning rate of AdamW, falling to zero along a cosine")
    batch_size: int = Field(64, ge=1)
    weight_decay: float = Field(0.05, ge=0)


def warm_start(
    backbone: Backbone, recipe: WarmStart, images: Images, indices: Tensor, classes: int, seed: int
) -> Tensors:
    """The weights of :func:`train_warm_start`, which are kept below the folder of data.

    The key is everything that moves them, the images and the machine's kind of processor included.

    Raises:
        UserError: they cannot be written.
    """
    folder = data_root() / "warm-starts"
    path = folder / f"{_key(backbone, recipe, images, indices, classes, seed)}.safetensors"
    kept = _read(path)
    if kept is not None:
        return kept
    with writing_in(folder, path.stem):
        kept = _read(path)
        if kept is not None:  # another process was faster
            return kept
        weights = train_warm_start(backbone, recipe, images, indices, classes, seed)
        write_whole(path, save(weights))
        return weights


def train_warm_start(
    backbone: Backbone, recipe: WarmStart, images: Images, indices: Tensor, classes: int, seed: int
) -> Tensors:
    """Weights after training on ``indices``, the same for the same arguments and thread count.

    Returns the model's ``state_dict``.
    """
    channels = images.preprocessing.channels(images.pixels.shape[1])
    model = backbone.build(classes, channels, seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay
    )
    steps = recipe.epochs * -(-len(indices) // recipe.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    with isolated(seed, "warm-start"):
        model.train()
        for epoch in range(recipe.epochs):
            rng = torch_rng(seed, "warm-start-order", epoch)
            order = indices[torch.randperm(len(indices), generator=rng)]
            for chosen in order.split(recipe.batch_size):
                x, y = images.batch(chosen, training=True)
                optimizer.zero_grad()
                F.cross_entropy(model(x), y).backward()
                optimizer.step()
                schedule.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def _read(path: Path) -> Tensors | None:
    try:
        return load_file(path)
    except (OSError, SafetensorError):
        return None


def _key(
    backbone: Backbone, recipe: WarmStart, images: Images, indices: Tensor, classes: int, seed: int
) -> str:
    settings = {
        "format": FORMAT,
        "backbone": backbone.identity(),
        "recipe": recipe.model_dump(),
        "preprocessing": images.preprocessing.model_dump(),
        "size": images.size,
        "classes": classes,
        "seed": seed,
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": processor_name("cpu"),
    }
    content = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for part in (images.pixels[indices], images.labels[indices], indices):
        content.update(str(tuple(part.shape)).encode())
        content.update(part.contiguous().numpy().data)
    return content.hexdigest()[:32]
