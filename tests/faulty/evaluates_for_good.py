from dataclasses import dataclass

from pfltune import Method, parts


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It shrinks the head at each evaluation."""

    def personal_part(self, model):
        return parts.head(model)

    def assemble(self, down, personal):  # here
        for tensor in personal.values():
            tensor.mul_(0.99)
        return {**down, **personal}
