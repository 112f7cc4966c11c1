from dataclasses import dataclass

from pfltune import Method, Update


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Each client has an objective of its own."""

    def train(self, work, down, personal):
        share = 1 / work.samples
        trained = work.fit(down, self.phases(), lambda loss, p, _: (1 + share) * loss(p))  # here
        return Update(trained, personal, work.samples)
