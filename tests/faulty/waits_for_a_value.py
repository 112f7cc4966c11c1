from dataclasses import dataclass

from pfltune import Method
from pfltune.method import squared_distance


@dataclass(frozen=True, kw_only=True)
class Faulty(Method):
    """Its server looks how far it has moved."""

    def aggregate(self, server, uploads, work):
        after = super().aggregate(server, uploads, work)
        if squared_distance(after, server) > 100:  # here
            return server
        return after
