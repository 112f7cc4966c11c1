"""Which trials of a certificate are trained again."""

import random
from collections.abc import Sequence

from pfltune.audit.certificate import CertifiedTrial
from pfltune.errors import unknown


def drawn(trials: Sequence[CertifiedTrial], sample: int, seed: int) -> list[CertifiedTrial]:
    """Trials at random, from one method after the other, so that none is left out.

    Those that a machine ended are left out, since they do not come again.

    Args:
        trials: all of them.
        sample: how many; all of them if there are no more.
        seed: of the draw; whoever issued the certificate must not have known it.
    """
    rng = random.Random(seed)
    stacks: dict[str, list[CertifiedTrial]] = {}
    for trial in trials:
        if trial.repeats:
            stacks.setdefault(trial.method, []).append(trial)
    for stack in stacks.values():
        rng.shuffle(stack)
    methods = rng.sample(sorted(stacks), len(stacks))
    most = max(map(len, stacks.values()), default=0)
    turns = [stacks[m][turn] for turn in range(most) for m in methods if turn < len(stacks[m])]
    return turns[:sample]


def chosen(trials: Sequence[CertifiedTrial], names: Sequence[str]) -> list[CertifiedTrial]:
    """Trials by name, each once.

    Raises:
        UserError: there is none of a name.
    """
    known = {trial.name: trial for trial in trials}
    for name in names:
        if name not in known:
            raise unknown("trial", name, known)
    return [known[name] for name in dict.fromkeys(names)]
