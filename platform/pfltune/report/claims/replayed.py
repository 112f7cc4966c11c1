"""What the replay of a claim has found so far: its parts read, and the verdicts on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pfltune import figures
from pfltune.claim_file import Claim, Footing
from pfltune.draws import read_draws
from pfltune.errors import UserError
from pfltune.layers import LAYERS, PERSONAL
from pfltune.orderings import Ordering, Subject
from pfltune.registry import canonical, short_name
from pfltune.replays import Part, Replay
from pfltune.report.claims.verdicts import Rows, Verdict, untested, verdicts
from pfltune.report.results import (
    ComparisonResult,
    MethodResult,
    ToldTrial,
    begun_journal,
    confirmed_run,
    find_record,
    read_results,
    told_trials,
)
from pfltune.text import plain


@dataclass(frozen=True)
class Ground:
    """What was found on one footing.

    Attributes:
        part: of the replay.
        draws: the methods, or the kinds of layers, on each draw of the clients.
        results: the comparison on each draw; none of a study or of what is missing.
        ended, planned: trials.
        missing: why there is nothing; empty where there is something.
    """

    part: Part
    draws: tuple[Rows, ...] = ()
    results: tuple[ComparisonResult, ...] = ()
    ended: int = 0
    planned: int = 0
    missing: str = ""

    @property
    def is_partial(self) -> bool:
        """Whether something is still to come."""
        return not self.missing and self.ended < self.planned


@dataclass(frozen=True)
class Replayed:
    """A claim and what its replay says of it.

    Attributes:
        replay: what was asked for.
        grounds: what was found, footing by footing.
        verdicts: of each footing on each ordering that it can speak of, ordering by ordering.
    """

    replay: Replay
    grounds: tuple[Ground, ...]
    verdicts: tuple[Verdict, ...]

    @property
    def claim(self) -> Claim:
        """What was replayed."""
        return self.replay.claim

    def footings(self, of: Subject) -> tuple[Footing, ...]:
        """Those that were asked for and speak of methods, or of layers."""
        named = (ground.part.footing for ground in self.grounds)
        return tuple(each for each in named if (each == "sensitivity") == (of == "layers"))

    def pairs(self, of: Subject) -> tuple[Ordering, ...]:
        """The orderings of methods, or of layers."""
        return tuple(pair for pair in self.claim.pairs if pair.of == of)

    @property
    def missing(self) -> dict[str, str]:
        """Why parts have nothing to say, by name."""
        return {ground.part.name: ground.missing for ground in self.grounds if ground.missing}

    def verdict(self, pair: Ordering, footing: Footing) -> Verdict | None:
        """The verdict of one footing; None where it does not speak of the ordering."""
        both = (v for v in self.verdicts if v.pair == pair and v.footing == footing)
        return next(both, None)


def read_replayed(
    results: Path, replay: Replay, failures: Mapping[str, str] | None = None
) -> Replayed:
    """What a replay has found so far.

    Args:
        results: the results folder.
        replay: its record.
        failures: why parts could not run, by name, where that is known.
    """
    known = failures or {}
    grounds = tuple(_ground(results, replay.claim, part, known) for part in replay.parts)
    return Replayed(replay, grounds, tuple(judged(replay.claim.pairs, grounds)))


def judged(pairs: Sequence[Ordering], grounds: Sequence[Ground]) -> Iterable[Verdict]:
    """What each footing says of the orderings that it can speak of."""
    found: dict[tuple[Ordering, Footing], Verdict] = {}
    for ground in grounds:
        footing = ground.part.footing
        asked = [pair for pair in pairs if speaks_of(footing, pair)]
        told = (
            untested(footing, asked, ground.missing)
            if ground.missing
            else verdicts(footing, ground.draws, asked)
        )
        found |= {(verdict.pair, footing): verdict for verdict in told}
    for pair in pairs:
        for ground in grounds:
            if (pair, ground.part.footing) in found:
                yield found[pair, ground.part.footing]


def speaks_of(footing: Footing, pair: Ordering) -> bool:
    """Whether an ordering is decided on this footing.

    Bytes, steps and memory are of trials of the scenario's own rounds.
    """
    if pair.of == "layers":
        return footing == "sensitivity"
    if pair.figure != figures.TEST.name:
        return footing == "trials"
    return footing != "sensitivity"


def _ground(results: Path, claim: Claim, part: Part, failures: Mapping[str, str]) -> Ground:
    try:
        draws = read_draws(results / part.name)
        names = draws.names if draws else (part.name,)
        for name in (part.name, *names):
            if name in failures:
                return Ground(part, missing=plain(failures[name]))
        if part.footing == "sensitivity":
            return _study(results, part)
        return _compared(claim, part, [read_results(results, name) for name in names])
    except UserError as error:
        return Ground(part, missing=plain(str(error)))


def _compared(claim: Claim, part: Part, results: Sequence[ComparisonResult]) -> Ground:
    """The methods on each draw of the clients."""
    names = {method: short_name(canonical(method)) for method in claim.methods}
    there = [{method.name: method for method in result.methods} for result in results]
    draws = tuple({text: own[n] for text, n in names.items() if n in own} for own in there)
    ended, planned = (sum(getattr(r, what) for r in results) for what in ("ended", "planned"))
    return Ground(part, draws, tuple(results), ended, planned)


def _study(results: Path, part: Part) -> Ground:
    """A row for each kind of layer that is personal alone."""
    record = find_record(results, part.name)
    trials, _ = told_trials(begun_journal(results / part.name, record).events)
    rows = {layer: _layer(layer, trials) for layer in LAYERS}
    ended = sum(trial.ended is not None for trial in trials)
    planned = record.budget.seeds * len(PERSONAL)
    return Ground(part, (rows,), (), ended, planned)


def _layer(layer: str, trials: Iterable[ToldTrial]) -> MethodResult:
    own = [trial for trial in trials if trial.started.knobs["personal"] == layer]
    done = [trial for trial in own if trial.outcome == "finished"]
    return MethodResult(
        name=layer,
        title=LAYERS[layer],
        best={},
        runs=tuple(map(confirmed_run, done)),
        search_trials=0,
        failed_trials=sum(trial.outcome == "failed" for trial in own),
        search_steps=0.0,
        failures=(),
        ended=len(done),
    )
