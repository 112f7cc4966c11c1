"""What tests of data sets share: loading, refusals, and files in their publishers' formats."""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile

import numpy as np
import pytest
from PIL import Image

from pfltune.data.catalog import load_dataset
from pfltune.data.settings import Data
from pfltune.errors import UserError

IMAGE_SIZE = 5
"""The backbone's, at which folders are decoded where nothing else is said."""


def load(name, **settings):
    return load_dataset(Data(name=str(name), **settings), IMAGE_SIZE)


def refusal(name, **settings) -> str:
    """The one line that a user reads when a data set is refused."""
    with pytest.raises(UserError) as caught:
        load(name, **settings)
    message = str(caught.value)
    assert "\n" not in message
    return message


def pixels(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def entries(root):
    """Names of the cache's entries, and of whatever was left half-written."""
    cache = root / "cache"
    return sorted(p.name for p in cache.glob("*") if p.suffix != ".lock") if cache.exists() else []


def save_image(path, values, mode=None):
    """Write an array, or anything that Pillow can save, as an image file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = values if isinstance(values, Image.Image) else Image.fromarray(values)
    (image.convert(mode) if mode else image).save(path)
    return path


def image_tree(root, counts, size=6):
    """Colour images below ``root``: ``counts`` maps a folder such as art/cup to their number."""
    for number, (folder, count) in enumerate(counts.items()):
        for image in range(count):
            values = pixels(size, size, 3, seed=1000 * number + image)
            save_image(root / folder / f"{image}.png", values)
    return root


def python2_pickle(value) -> bytes:
    """A pickle with strings as Python 2 wrote them, and CIFAR's files hold them."""

    def save_bytes(pickler, text):
        pickler.write(pickle.BINSTRING + struct.pack("<i", len(text)) + text)
        pickler.memoize(text)

    file = io.BytesIO()
    pickler = pickle._Pickler(file, 2)
    pickler.dispatch = {**pickler.dispatch, bytes: save_bytes}
    pickler.dump(value)
    return file.getvalue().replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")


def tar_gz(path, members):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def idx_gz(values) -> bytes:
    """An array of bytes in MNIST's format, gzipped."""
    head = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return gzip.compress(head + values.astype(np.uint8).tobytes())


def md5(content) -> str:
    content = content if isinstance(content, bytes) else content.read_bytes()
    return hashlib.md5(content).hexdigest()
