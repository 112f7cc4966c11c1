"""What happens to the trials of a comparison, as the journal keeps it and MLflow is told it."""

import json
import time
from dataclasses import dataclass, field, fields
from typing import Any, Literal, NotRequired, get_type_hints

from pydantic import BaseModel, ConfigDict, ValidationError, create_model
from typing_extensions import TypedDict

from pfltune.figures import Better
from pfltune.stages import Stage


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True)
class TrialStarted:
    """A trial began, for the first time.

    Attributes:
        trial: its name, unique within the comparison.
        method: short name of its method, as MLflow shows it.
        stage: what it is for.
        index: its number within method and stage.
        generation: the number of its generation; -1 outside the search.
        seed: of the federated trial.
        knobs: its configuration.
        time: in milliseconds since the epoch.
        reused: whether it is told from a trial that was trained before, as far as that goes.
        study: which of the independent searches of its method it is of.
    """

    trial: str
    method: str
    stage: Stage
    index: int
    generation: int
    seed: int
    knobs: dict[str, Any]
    time: int = field(default_factory=now_ms)
    reused: bool = False
    study: int = 0


@dataclass(frozen=True)
class RoundDone:
    """A round of a trial ended.

    Attributes:
        trial: its name.
        round: the number of the round, counted from 1.
        score: what the search maximises, as it is after this round.
        metrics: all figures of the round.
        time: in milliseconds since the epoch.
    """

    trial: str
    round: int
    score: float
    metrics: dict[str, float]
    time: int = field(default_factory=now_ms)


class MeasuredDict(TypedDict):
    """What a metric beside accuracy gave in the chosen round.

    Attributes:
        name: of the metric.
        better: its direction.
        val, test: one value per client, NaN where it says nothing; no test in a search trial.
    """

    name: str
    better: Better
    val: list[float]
    test: list[float]


class PooledDict(TypedDict):
    """What was measured of all clients' test samples together.

    Attributes:
        samples: how many there are.
        figures: of accuracy and of each metric that says something.
        confusion: cells that are not empty: the right class, the predicted one, how often.
        by_client: the same of each client, in the order of :attr:`Selected.clients`.
    """

    samples: int
    figures: dict[str, float]
    confusion: list[list[int]]
    by_client: NotRequired[list[list[list[int]]]]


class _Always(TypedDict):
    round: int
    val: list[float]
    test: list[float]


_OfAll = TypedDict("_OfAll", {"global": NotRequired[PooledDict]})  # no name for an attribute


class Selected(_Always, _OfAll):
    """The round of a trial that was chosen on validation, and how it stood there.

    Attributes:
        round: its number.
        val, test: accuracy of each client in [0, 1]; no test in a search trial.
        clients: their indices, in the order of the accuracies.
        samples: how many samples of each part a client has, in the same order.
        metrics: what the scenario's metrics gave, if it has any.
        pooled: what they gave on all clients' test samples together, if it has any.
        global: the same with the model that the server would hand to anybody.
        metric: what the round was chosen by, if that is not accuracy.
    """

    clients: NotRequired[list[int]]
    samples: NotRequired[dict[str, list[int]]]
    metrics: NotRequired[list[MeasuredDict]]
    pooled: NotRequired[PooledDict]
    metric: NotRequired[str]


@dataclass(frozen=True)
class TrialEnded:
    """A trial will run no further round.

    Attributes:
        trial: its name.
        outcome: how it ended.
        round: how far it came.
        failure: why it failed.
        selected: the round chosen on validation; None unless it finished.
        time: in milliseconds since the epoch.
        own_fault: whether a failure is of the trial itself and would come again: a divergence, an
            error of the method's code. Else it is the machine's: a lack of time, memory or disk, a
            process that died.
    """

    trial: str
    outcome: Literal["finished", "stopped early", "failed"]
    round: int
    failure: str = ""
    selected: Selected | None = None
    time: int = field(default_factory=now_ms)
    own_fault: bool = False


@dataclass(frozen=True)
class MethodEnded:
    """A method will get no further trial.

    Attributes:
        method: its short name.
        best: the configuration that the search chose, of a front the most accurate one on
            validation; None if every trial failed.
        time: in milliseconds since the epoch.
        chosen: what each of several independent searches chose, in their order; empty for one.
        front: all that it chose, where these are several.
    """

    method: str
    best: dict[str, Any] | None
    time: int = field(default_factory=now_ms)
    chosen: list[dict[str, Any] | None] = field(default_factory=list)
    front: list[dict[str, Any]] = field(default_factory=list)


TrialEvent = TrialStarted | RoundDone | TrialEnded
Event = TrialEvent | MethodEnded

_KINDS: dict[str, type[Event]] = {
    kind.__name__: kind for kind in (TrialStarted, RoundDone, TrialEnded, MethodEnded)
}
SELDOM = ("front",)
"""Lists of events that are left out where they are empty."""
_EXACTLY = ConfigDict(extra="forbid", strict=True)


def _model_of(kind: type[Event]) -> type[BaseModel]:
    # Of the dataclass itself, pydantic would strictly want an instance.
    hints = get_type_hints(kind)
    # What came with a later version has a default, and is missing in journals from before it.
    later: dict[str, Any] = {
        each.name: [] if each.default_factory is list else each.default
        for each in fields(kind)
        if isinstance(each.default, int) or each.default_factory is list
    }
    wanted: dict[str, Any] = {name: (hint, later.get(name, ...)) for name, hint in hints.items()}
    return create_model(kind.__name__, __config__=_EXACTLY, **wanted)


_MODELS = {name: _model_of(kind) for name, kind in _KINDS.items()}


def to_json(event: Event) -> str:
    """One line without its end; floats keep every bit, and may be NaN or infinite."""
    told = {name: value for name, value in vars(event).items() if value or name not in SELDOM}
    return json.dumps({"event": type(event).__name__, **told})


def from_json(line: str | bytes) -> Event:
    """The inverse of :func:`to_json`.

    Raises:
        ValueError: the line is anything else.
    """
    content = json.loads(line)
    if not isinstance(content, dict):
        raise ValueError("it is no JSON object")
    kind = content.pop("event", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ValueError(f"there is no event {kind!r}")
    try:
        return _KINDS[kind](**dict(_MODELS[kind].model_validate(content)))
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{kind}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
