from dataclasses import dataclass

from pfltune import Method, Update


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It counts its rounds on itself."""

    def train(self, work, down, personal):  # here
        rounds = getattr(self, "rounds", 0) + 1
        object.__setattr__(self, "rounds", rounds)
        update = super().train(work, down, personal)
        upload = {n: t + 0.01 * rounds * t for n, t in update.upload.items()}
        return Update(upload, update.personal, update.weight)
