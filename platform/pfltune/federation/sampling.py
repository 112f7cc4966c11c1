"""Which clients train in a round: the same for every method that is compared with one seed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np

from pfltune.errors import UserError
from pfltune.plugins import Plugin, Seam, Section, at_hand, must_have_hooks, running


@dataclass(frozen=True)
class Sampling:
    """What there is to choose from in a round.

    Attributes:
        round: number of the round, counted from 1.
        clients: those that may train.
        samples: of each of them, its number of training samples.
        count: clients that are to train, as the scenario says.
        rng: seeded for this trial and round; the only source of chance.
    """

    round: int
    clients: tuple[int, ...]
    samples: Mapping[int, int]
    count: int
    rng: np.random.Generator


class Sampler(Plugin):
    """Chooses the clients of a round; a kind is a subclass.

    It sees nothing of methods, states or losses, so that every method meets the same clients in the
    same rounds.
    """

    noun = "sampler"
    key = "kind"
    hooks = ("sample",)
    kind: str

    def sample(self, sampling: Sampling) -> Iterable[int]:
        """Some of ``sampling.clients``: each once, at least one, ``sampling.count`` at most."""
        raise NotImplementedError

    def sampled(self, sampling: Sampling) -> list[int]:
        """The clients of a round in order.

        Raises:
            UserError: a stranger's sampler fails, or its answer is not what it must be.
        """
        with running(self):
            return _checked(list(self.sample(sampling)), sampling, self.called)


class Uniform(Sampler):
    """Every client as likely as every other, without replacement (McMahan 2017, 1602.05629)."""

    kind: Literal["uniform"] = "uniform"

    def sample(self, sampling: Sampling) -> Iterable[int]:
        """See :meth:`Sampler.sample`."""
        drawn = sampling.rng.choice(sampling.clients, sampling.count, replace=False)
        return [int(client) for client in drawn]


def _checked(chosen: list[int], sampling: Sampling, whose: str) -> list[int]:
    wrong = set(chosen) - set(sampling.clients)
    if wrong:
        odd = min(wrong, key=repr)
        raise UserError(
            f"{whose}: {odd!r} is no client that may train in round {sampling.round}; there are "
            f"{len(sampling.clients)}"
        )
    if len(set(chosen)) < len(chosen) or not 1 <= len(chosen) <= sampling.count:
        raise UserError(
            f"{whose}: chose {[int(c) for c in chosen]} in round {sampling.round}; it must be 1 to "
            f"{sampling.count} different clients"
        )
    return sorted(int(client) for client in chosen)


SEAM = Seam("sampler", "pfltune.samplers", Sampler, at_hand({"uniform": Uniform}), must_have_hooks)
AnySampler = Annotated[Sampler, Section(SEAM, default="uniform", brief=True)]
