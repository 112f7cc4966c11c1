from dataclasses import dataclass

from pfltune import Method, Update


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It takes one for the other."""

    def train(self, work, personal, down):
        return Update(down, personal, work.samples)
