"""Images that code makes."""

import numpy as np
from pydantic import Field

from pfltune import Chunk, DataSource, Decoded


class Stripes(DataSource):
    """Stripes that lie, stand or lean, in noise."""

    samples: int = Field(300, ge=30, description="images in all")

    def decode(self) -> Decoded:
        """Gray images of 8×8 pixels, all classes equally often."""
        rng = np.random.default_rng(1)
        labels = np.arange(self.samples) % 3
        y, x = np.mgrid[:8, :8]
        lines = np.stack([y, x, x + y])[labels] % 4 < 2
        gray = 120 * lines + rng.integers(0, 120, lines.shape)
        images = gray.astype(np.uint8)[:, None]
        return Decoded(("lying", "standing", "leaning"), [Chunk(images, labels)])
