from dataclasses import dataclass

from pfltune import Method, Update, parts


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """It sends a personal tensor under another name."""

    def personal_part(self, model):
        return parts.head(model)

    def train(self, work, down, personal):  # here
        update = super().train(work, down, personal)
        head = update.personal["head.weight"]
        return Update({**update.upload, "extra": head}, update.personal, update.weight)

    def aggregate(self, server, uploads, work):
        for _ in uploads:
            pass
        return server
