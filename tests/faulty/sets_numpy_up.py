from dataclasses import dataclass

import numpy as np

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It sets numpy up for the whole process."""

    def download(self, server, client):  # here
        np.seterr(all="raise")
        return server
