"""The views of MLflow's pages that are kept with a comparison's experiment.

MLflow 3 opens an experiment in its GenAI pages with name, time and duration as the only columns.
A view is a tag of the experiment, in the form in which its pages keep what their user has saved, so
that it stands in their menu "Views", too; an address names the pages and the view.
"""

import json
import re
import zlib
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pfltune.goal import ACCURACY, Goal
from pfltune.knobs import Knob
from pfltune.tracking.layouts import Layout, cells, curves, methods, trials, tuning

KIND = {"mlflow.experimentKind": "custom_model_development"}
SHARED = "mlflow.sharedViewState."
METHODS, CURVES, TRIALS = "methods", "curves", "trials"
TUNING, GRID, PARTS = "tuning", "grid", "parts"
LONGEST_KEY = 200
TABLES = (METHODS, TRIALS)
OF_KNOBS = {"compare": TUNING, "tune": TUNING, "grid": GRID, "sensitivity": PARTS}
"""The views of what a method's knobs do, by the command that made the comparison."""
FIRST_CHOICE = {**OF_KNOBS, "compare": METHODS}


@dataclass(frozen=True)
class Views:
    """The views of one comparison.

    Attributes:
        command: that it was begun with.
        searched: the knobs that its trials vary, by short name of the method; conditions on what
            is held are met and left out.
        rungs: rounds after which trials are stopped early, ascending; all trials reach the first.
        goal: what it goes by.
    """

    command: str = "compare"
    searched: Mapping[str, tuple[Knob, ...]] = field(default_factory=dict)
    rungs: tuple[int, ...] = ()
    goal: Goal = ACCURACY

    def tags(self) -> dict[str, str]:
        """Tags of the experiment: its kind and its views, in the order of the menu."""
        kept = enumerate(reversed(list(self.layouts())))
        return KIND | {
            SHARED + _key(name): _saved(name, layout, place) for place, (name, layout) in kept
        }

    def layouts(self) -> Iterator[tuple[str, Layout]]:
        """Each view by its name."""
        yield METHODS, methods(self.goal)
        yield CURVES, curves(self.goal)
        varied = {method: knobs for method, knobs in self.searched.items() if knobs}
        kind = OF_KNOBS[self.command]
        for method, knobs in varied.items():
            yield kind if len(varied) == 1 else f"{kind}-{method}", self._of_knobs(method, knobs)
        yield TRIALS, trials(varied.values(), self.goal)

    def _of_knobs(self, method: str, knobs: tuple[Knob, ...]) -> Layout:
        if self.command == "grid":
            return cells("grid", method, knobs, self.goal, "val")
        if self.command == "sensitivity":
            return cells("confirm", method, knobs, self.goal, "test")
        return tuning(method, knobs, self.rungs, self.goal)


PLAIN = Views()
"""Those of a comparison of which nothing is known."""


def page(experiment: str, view: str = METHODS) -> str:
    """The part of an address, after the server's, at which the runs of an experiment are shown."""
    mode = "TABLE" if view in TABLES else "CHART"
    asked = f"workflowType=machine_learning&compareRunsMode={mode}&viewStateShareKey={view}"
    return f"/#/experiments/{experiment}/runs?{asked}"


def kept_views(tags: Mapping[str, str]) -> dict[str, str]:
    """The views that an experiment has, those of its users too: the key of each by its name."""
    kept = {tag: value for tag, value in tags.items() if tag.startswith(SHARED)}
    keys = {tag: tag.removeprefix(SHARED) for tag in kept}
    return {_name(value) or keys[tag]: keys[tag] for tag, value in kept.items()}


def fitting(command: str, views: Iterable[str]) -> str:
    """Which of the views is opened first after a command."""
    wanted = FIRST_CHOICE[command]
    return next((view for view in views if view.partition("-")[0] == wanted), METHODS)


def _key(name: str) -> str:
    """A name of the characters that MLflow's tags and an address can have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-")[:LONGEST_KEY]


def _saved(name: str, layout: Layout, place: int) -> str:
    """A view as MLflow keeps it; the one that was made last comes first in its menu."""
    state = b64encode(zlib.compress(json.dumps(layout).encode(), 9)).decode()
    told = {"name": name, "createdAt": place, "updatedAt": place, "state": f"deflate;{state}"}
    return json.dumps(told)


def _name(saved: str) -> str | None:
    """What a view is called; None of one that was shared without a name."""
    try:
        told = json.loads(saved)
    except ValueError:
        return None
    return told["name"] if isinstance(told, dict) and isinstance(told.get("name"), str) else None
