from dataclasses import dataclass

from pfltune import Method, Phase


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It trains a part that it lacks."""

    def phases(self):
        return (Phase("personal", self.lr),)
