from dataclasses import dataclass

from pfltune import Method, Phase, parts


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Only the head trains, and all is sent."""

    def personal_part(self, model):
        return parts.head(model)

    def phases(self):  # here
        return (Phase("personal", self.lr),)
