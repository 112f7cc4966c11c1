from dataclasses import dataclass

from pfltune import Method


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It forgets the client."""

    def download(self, server):
        return server
