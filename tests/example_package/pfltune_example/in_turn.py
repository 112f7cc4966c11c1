"""Clients that take turns."""

from pfltune import Sampler, Sampling


class InTurn(Sampler):
    """One after the other, as many in a round as the scenario says."""

    def sample(self, sampling: Sampling) -> list[int]:
        """Those whose turn it is."""
        first = (sampling.round - 1) * sampling.count
        turns = range(first, first + sampling.count)
        return [sampling.clients[turn % len(sampling.clients)] for turn in turns]
