"""What a comparison was asked for and what it runs with: comparison.json, written once and checked.

A comparison goes on only as it began. What may be given anew, since it touches no figure, stands in
:class:`Asked`; everything else is compared, and a difference is refused.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

from pydantic import Field, model_validator

from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.figures import Measure
from pfltune.goal import Goal, goal_of
from pfltune.knobs import Value
from pfltune.ownership import RECORDS, owner_of, recorded
from pfltune.program import ENGINE, Program
from pfltune.registry import short_name
from pfltune.scenario import Scenario
from pfltune.settings import RECORDED, Settings
from pfltune.space_file import AS_METHODS_SAY, SpaceOptions
from pfltune.stages import KeepModels
from pfltune.storage import open_storage
from pfltune.tracking.journal import JOURNAL

RECORD = RECORDS["comparison"]
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""What a comparison can be called, as a regular expression."""
SHOWN = 5
LARGEST = 64 * 1024 * 1024
"""Bytes of a record that is read; the digests of a comparison take some thousand."""


UNSETTLED = {
    *("id", "asked", "program", "changes", "titles", "methods", "limits", "defaults", "journal"),
    *("measures", "classes", "space_options", "tuned"),
}
"""Parts that decide no figure by themselves."""
Limits = tuple[float | None, float | None]


class Asked(Settings):
    """Options that touch no figure, as they were last given: they hold until they are given anew.

    Attributes:
        workers: trials side by side; None for as many as there is room for.
        gpus_per_trial: share of a GPU, ``auto``, or None for a whole one where there are any.
        ray_address: of a Ray cluster; None for this machine alone.
        checkpoints: folder or address of checkpoints; None for the comparison's own folder.
        checkpoint_seconds, checkpoint_rounds: how often they are written.
        trial_limit: seconds that the rounds of a trial may take in all.
        fresh: whether every trial is trained, those too that are known.
        system_metrics: whether MLflow watches the machine meanwhile.
        keep_models: of which confirmation trials the models are kept.
        register_as: name under which MLflow registers them; None if it shall not.
    """

    workers: int | None = Field(None, ge=1)
    gpus_per_trial: float | Literal["auto"] | None = None
    ray_address: str | None = None
    checkpoints: str | None = None
    checkpoint_seconds: float = Field(30.0, ge=0)
    checkpoint_rounds: int | None = Field(None, ge=1)
    trial_limit: float | None = Field(None, gt=0)
    fresh: bool = False
    system_metrics: bool = False
    keep_models: KeepModels = "none"
    register_as: str | None = Field(None, min_length=1, max_length=200)


class Computing(Settings):
    """How every trial computes, which moves the last bits.

    Attributes:
        threads: torch threads per trial.
        device: ``cpu`` or ``cuda``.
        precision: as asked for, or as ``auto`` was found.
        cohort: clients that train at once.
        deterministic: whether only kernels that repeat themselves are used.
    """

    threads: int = Field(ge=1, le=1024)
    device: Literal["cpu", "cuda"]
    precision: Literal["float32", "bfloat16"]
    cohort: int = Field(ge=1)
    deterministic: bool


class Sensitivity(Settings):
    """The budget of a sensitivity study."""

    lr: float = Field(gt=0)
    seeds: int = Field(ge=1)
    seed: int = Field(ge=0)


class Tuned(Settings):
    """The search of another comparison, which chose a method's values.

    Attributes:
        name, id: of that comparison.
        method: what it was called there.
        trials: search trials that it had there.
        differs: in what the scenario was another there, in words; empty if it was not.
    """

    name: str
    id: str
    method: str
    trials: int = Field(ge=0)
    differs: str = ""


class Grid(Settings):
    """The budget of a grid.

    Attributes:
        over: the values of each knob that is varied, in the order of the axes.
        seeds: of each cell.
        seed: that these are made of.
        test: whether trials are tested, too.
    """

    over: Mapping[str, tuple[Value, ...]] = Field(min_length=1)
    seeds: int = Field(ge=1)
    seed: int = Field(ge=0)
    test: bool = False


BUDGETS = {"sensitivity": Sensitivity, "grid": Grid}
"""Of the commands that search nothing."""
WHY_NOT_EXTENDED = {
    "sensitivity": "is a sensitivity study; it cannot be extended",
    "grid": "is a grid; for a larger one give its command with more values or seeds and another "
    "--name: what is known is not trained again",
}


class Change(Settings):
    """Another program took over, since the user accepted it.

    Attributes:
        at: when, as ISO 8601.
        differences: what was another, in words.
    """

    at: str
    differences: tuple[str, ...]


class Record(Settings):
    """A comparison, a search of one method, a grid, or a sensitivity study.

    Attributes:
        format: of this file.
        id: random; it stands in all that this comparison writes, and in nothing else.
        command: that began it.
        name: of its folder and of its experiment.
        scenario: what is compared on.
        methods: references of the methods, in the order of the table.
        titles: how they are written in a paper, by short name.
        fixed: knobs that the user holds, by short name of the method.
        tuned: whose search chose what is held, by short name of a method that was tuned elsewhere.
        chosen: configurations that are tested without a search, by short name: one for each study
            that chose them, None where all of its trials failed.
        budget: of the search and the confirmation, or of the grid or study.
        spaces: what was searched, by short name.
        space_options: what was asked for of that.
        limits: lowest and highest value that each knob can have, by short name and knob.
        defaults: what each knob is where nothing is asked for, by short name and knob.
        computing: how trials compute.
        asked: what touches no figure.
        measures: what is told of each client beside accuracy, in words.
        classes: names of the data set's classes, where these are more than their numbers.
        program: the code that made it.
        changes: when it was made by other code from then on.
        data: digests of images, labels, clients and start weights.
        journal: name of the file that says what has happened since it was last asked for more.
    """

    format: Literal[1] = 1
    id: str = Field(default_factory=lambda: uuid4().hex, pattern="^[0-9a-f]{32}$")
    command: Literal["compare", "tune", "grid", "sensitivity"]
    name: str
    scenario: Scenario
    methods: tuple[str, ...] = Field(min_length=1)
    titles: Mapping[str, str]
    fixed: Mapping[str, Mapping[str, Value]] = Field(default_factory=dict)
    tuned: Mapping[str, Tuned] = Field(default_factory=dict)
    chosen: Mapping[str, tuple[Mapping[str, Value] | None, ...]] = Field(default_factory=dict)
    budget: Budget | Sensitivity | Grid
    spaces: Mapping[str, Any] = Field(default_factory=dict)
    space_options: SpaceOptions = AS_METHODS_SAY
    limits: Mapping[str, Mapping[str, tuple[float | None, float | None]]] = Field(
        default_factory=dict
    )
    defaults: Mapping[str, Mapping[str, Value]] = Field(default_factory=dict)
    computing: Computing
    asked: Asked = Asked()
    measures: tuple[Measure, ...] = ()
    classes: tuple[str, ...] = ()
    program: Program
    changes: tuple[Change, ...] = ()
    data: Mapping[str, str]
    journal: str = Field(JOURNAL, pattern=r"^journal(-[1-9][0-9]*)?\.jsonl$")

    @model_validator(mode="after")
    def _budget_of_the_command(self) -> "Record":
        if type(self.budget) is not BUDGETS.get(self.command, Budget):
            raise ValueError(f"budget is not one of pfltune {self.command}")
        return self

    @model_validator(mode="after")
    def _chosen_by_each_study(self) -> "Record":
        studies = self.budget.studies if isinstance(self.budget, Budget) else 0
        for method, each in self.chosen.items():
            if len(each) != studies:
                raise ValueError(f"chosen has {len(each)} of {method}, and there are {studies}")
        return self

    @property
    def goal(self) -> Goal:
        """What it goes by."""
        return goal_of(self.scenario.protocol.metric, self.measures)

    @property
    def owner(self) -> str:
        """As it stands in marks and messages; no other comparison has the same."""
        return owner_of("comparison", self.name, self.id)

    @property
    def seal(self) -> str:
        """What the first digest of its journal begins with."""
        return self.seal_of(self.journal)

    def seal_of(self, journal: str) -> str:
        """The same of any of its journals by name; no other journal has the same."""
        return self.id if journal == JOURNAL else f"{self.id}/{journal}"

    def write(self, folder: Path) -> None:
        """Put it into the comparison's folder.

        Raises:
            OSError: it cannot be written.
        """
        open_storage(str(folder)).write(RECORD, self.text().encode())

    def text(self) -> str:
        """As JSON."""
        return json.dumps(self.model_dump(mode="json"), indent=2) + "\n"

    def going_on(self, now: "Record", accept_new_code: bool) -> "Record":
        """The record of a sitting that asks for ``now``: this one with what may be another.

        Raises:
            UserError: something is another that may not be; names it.
        """
        self._agree(now)
        found = self.program.changes(now.program)
        if found and not accept_new_code:
            raise UserError(
                f"{self.name} was begun by another program: {_some(found)}. One table is made by "
                "one program: go back to that one, choose another --name, or give "
                "--accept-new-code, which the report will say"
            )
        at = datetime.now().astimezone().isoformat(timespec="seconds")
        new = (Change(at=at, differences=tuple(found)),) if found else ()
        update = {"asked": now.asked, "program": now.program, "changes": (*self.changes, *new)}
        # A file of code may lie elsewhere now; what is in it was compared.
        elsewhere = {"methods": now.methods, "scenario": now.scenario}
        return self.model_copy(update={**update, **elsewhere})

    def extended(
        self, now: "Record", accept_new_code: bool, taken: Collection[str] = ()
    ) -> "Record":
        """The record of a sitting that asks for ``now``: all of this one, and what is more in it.

        It has a journal of its own, unless nothing is more.

        Args:
            now: what is asked for.
            accept_new_code: go on although another program began it.
            taken: names of journals that are there.

        Raises:
            UserError: something is less, or is another that may not be; names it.
        """
        _check_growth(self, now)
        same = self.going_on(_part_of(now, self), accept_new_code)
        if _settled(now) == _settled(self):
            return same
        names = (f"journal-{number}.jsonl" for number in count(2))
        free = next(name for name in names if name not in {self.journal, *taken})
        by_method = ("fixed", "tuned", "chosen", "spaces", "limits", "defaults", "measures")
        grown = ("command", "methods", "budget", "program", *by_method)
        update = {name: getattr(now, name) for name in grown}
        titles = {**now.titles, **self.titles}
        return same.model_copy(update={**update, "titles": titles, "journal": free})

    def _agree(self, now: "Record") -> None:
        old, new = _settled(self), _settled(now)
        changed = [
            f"{key} was {old.get(key, 'not there')!s}, would be {new.get(key, 'not there')!s}"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
        if changed:
            grows = isinstance(self.budget, Budget)
            more = "add to it with pfltune extend, " if grows else ""
            raise UserError(
                f"{self.name} began with other settings: {_some(changed)}. "
                f"Resume it with those, {more}or choose another --name"
            )


def read_record(folder: Path) -> Record | None:
    """The record in a comparison's folder; None if there is none.

    Raises:
        UserError: it is damaged.
    """
    return recorded(folder / RECORD, folder, Record, LARGEST, RECORDED)


def _some(texts: list[str]) -> str:
    more = f"; and {len(texts) - SHOWN} more" if len(texts) > SHOWN else ""
    return "; ".join(texts[:SHOWN]) + more


def _settled(record: Record) -> dict[str, Any]:
    """What decides the figures, flat."""
    kept = record.model_dump(mode="json", exclude=UNSETTLED)
    names = [short_name(method) for method in record.methods]
    return dict(flat({**kept, "methods": names, "scenario": record.scenario.by_content()}))


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Mappings in mappings as one: ``a.b`` and what is there."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def _check_growth(before: Record, now: Record) -> None:
    """See that nothing of ``before`` is missing in ``now``.

    Raises:
        UserError: something is; names it.
    """
    if not (isinstance(before.budget, Budget) and isinstance(now.budget, Budget)):
        raise UserError(f"{before.name} {WHY_NOT_EXTENDED[before.command]}")
    names = [short_name(method) for method in now.methods]
    if gone := [short_name(m) for m in before.methods if short_name(m) not in names]:
        raise UserError(f"{before.name} has {', '.join(gone)} by now; give the command again")
    before.budget.check_growth(now.budget)


def _part_of(now: Record, before: Record) -> Record:
    """What of ``now`` is said by ``before``, too."""
    names = {short_name(method) for method in before.methods}

    def kept(values: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in values.items() if name in names}

    program = now.program
    source = {name: d for name, d in program.source.items() if name in {*names, ENGINE}}
    gone = {short_name(method) for method in now.methods} - names
    # A method's wraps stand below its name; what belongs to none is the scenario's.
    files = {n: d for n, d in program.files.items() if n.partition(", wrap ")[0] not in gone}
    update = {
        "command": before.command,
        "methods": tuple(method for method in now.methods if short_name(method) in names),
        "fixed": kept(now.fixed),
        "tuned": kept(now.tuned),
        "chosen": before.chosen,  # a search that goes on may choose another
        "budget": before.budget,
        "spaces": kept(now.spaces),
        "limits": kept(now.limits),
        "defaults": kept(now.defaults),
        "program": program.model_copy(update={"source": source, "files": files}),
    }
    return now.model_copy(update=update)
