"""Optuna's samplers: what each can search, and what it learns from."""

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from pfltune.budget import SamplerName
from pfltune.errors import UserError
from pfltune.registry import short_name
from pfltune.search.plan import Plan
from pfltune.search.space import SearchSpace


@dataclass(frozen=True)
class Kind:
    """One of Optuna's samplers.

    Attributes:
        make: it, given a seed and the number of random trials that it begins with.
        whole: whether it learns from trials alone that ran all their rounds, so that with halving
            it would learn from few of them.
        conditions: whether it suggests knobs that only some configurations have.
        choices: whether it suggests choices, too, or numbers alone.
        package: that must be installed for it beside Optuna.
    """

    make: Callable[[int, int], Any]
    whole: bool = False
    conditions: bool = False
    choices: bool = True
    package: str = ""


def _tpe(seed: int, startup: int) -> Any:
    from optuna.samplers import TPESampler

    return TPESampler(seed=seed, n_startup_trials=startup, constant_liar=True)


def _random(seed: int, _: int) -> Any:
    from optuna.samplers import RandomSampler

    return RandomSampler(seed=seed)


def _qmc(seed: int, _: int) -> Any:
    from optuna.exceptions import ExperimentalWarning
    from optuna.samplers import QMCSampler

    with warnings.catch_warnings(action="ignore", category=ExperimentalWarning):
        return QMCSampler(seed=seed, scramble=True, warn_independent_sampling=False)


def _gp(seed: int, startup: int) -> Any:
    from optuna.samplers import GPSampler

    return GPSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)


def _cmaes(seed: int, startup: int) -> Any:
    from optuna.samplers import CmaEsSampler

    return CmaEsSampler(seed=seed, n_startup_trials=startup, warn_independent_sampling=False)


SAMPLERS: Mapping[SamplerName, Kind] = {
    "tpe": Kind(_tpe, conditions=True),
    "random": Kind(_random, conditions=True),
    "qmc": Kind(_qmc),
    "gp": Kind(_gp, whole=True),
    "cmaes": Kind(_cmaes, whole=True, choices=False, package="cmaes"),
}
"""By name: Parzen estimators of good and bad trials; independent draws, the control of all others;
a scrambled Sobol sequence, which learns nothing either; a Gaussian process; an evolution strategy.

What learns from whole trials alone is Optuna's own doing: GPSampler reads completed trials, and
CmaEsSampler leaves pruned ones out of its populations."""


def check_sampler(plan: Plan, spaces: Mapping[str, SearchSpace]) -> None:
    """See that a plan's sampler can search these spaces, and learns from their trials.

    Raises:
        UserError: it cannot; says what would do.
    """
    name = plan.budget.sampler
    kind = SAMPLERS[name]
    if kind.package and find_spec(kind.package) is None:
        raise UserError(
            f"--sampler {name} needs the package {kind.package}, which is not installed: "
            f"pip install 'pfltune[samplers]'"
        )
    if kind.whole and (rungs := plan.all_rungs()):
        raise UserError(
            f"--sampler {name} learns from trials alone that run {_all_of(plan)}, and halving "
            f"stops most of them {_at(plan, rungs[0])}: give --no-halving, or --generation 1"
        )
    for method, space in spaces.items():
        for unfit in _unfit(kind, space):
            raise UserError(
                f"--sampler {name} {unfit}; hold it, as in {short_name(method)}[knob=value], or "
                "take tpe or random"
            )


def _unfit(kind: Kind, space: SearchSpace) -> Iterator[str]:
    for dimension in space.varied():
        if dimension.when and not kind.conditions:
            condition = dimension.needs()
            yield f"searches a box, and {dimension.name} is there only with {condition}"
        if dimension.choices is not None and not kind.choices:
            yield f"searches numbers, and {dimension.name} has choices"


def _all_of(plan: Plan) -> str:
    """The whole of a trial, in words."""
    budget = plan.protocol.budget
    return f"all {plan.protocol.rounds} rounds" if budget is None else f"until {budget} are spent"


def _at(plan: Plan, rung: float) -> str:
    """Where a rung is, in words."""
    return f"after round {rung}" if plan.protocol.budget is None else f"at {rung:.2g} of it"
