from dataclasses import dataclass

from pfltune import Method, Phase, Update


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Each client has a rate of its own."""

    def train(self, work, down, personal):
        rate = self.lr / (1 + work.client)
        trained = work.fit(down, (Phase("all", rate),))  # here
        return Update(trained, personal, work.samples)
