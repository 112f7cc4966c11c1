from dataclasses import dataclass

from pfltune import Method, Phase

CALLS = []


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its rate falls with each call, whoever calls."""

    def phases(self):
        CALLS.append(1)
        return (Phase("all", self.lr / len(CALLS)),)
