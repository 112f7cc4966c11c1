"""All that the figures of a trial depend on, and the key that is made of it."""

import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from pfltune.federation.fingerprint import given_in
from pfltune.federation.searched_settings import settings_in, settings_of, without_settings
from pfltune.knobs import Value
from pfltune.program import ENGINE, SUGGESTING, Program
from pfltune.record import Computing, Record
from pfltune.registry import short_name
from pfltune.seal import digest
from pfltune.settings import Settings
from pfltune.stages import Stage, sees_test


class TrialSpec(Settings):
    """Two trials with the same specification have the same figures.

    Attributes:
        format: of what a key is made of.
        engine, code: digests of pfltune's own code and of the method's.
        plugins: digests of the code that strangers brought into the scenario, by what it is called.
        versions: of the libraries that can move a figure, and of Python.
        processor: its name and the vector instructions in use.
        data: digests of what the trial is given.
        test: whether the trial is given test indices.
        knobs: of the method, all of them.
        settings: of the protocol, those that a search may vary, see
            :mod:`pfltune.federation.searched_settings`.
        seed: of the federated trial.
        computing: threads, device, precision, clients at once.
    """

    format: Literal[1] = 1
    engine: str
    code: str
    plugins: Mapping[str, str] = Field(default_factory=dict)
    versions: Mapping[str, str]
    processor: str
    data: Mapping[str, str]
    test: bool
    knobs: Mapping[str, Value]
    settings: Mapping[str, Value]
    seed: int
    computing: Computing

    @classmethod
    def of(
        cls,
        record: Record,
        stage: Stage,
        method: str,
        knobs: Mapping[str, Value],
        seed: int,
    ) -> "TrialSpec":
        """That of a trial of a comparison; runs none of the method's code.

        Args:
            record: of the comparison.
            stage: of the trial.
            method: reference of one of its methods.
            knobs: those that are not as the method has them by default, others too.
            seed: of the trial.

        Raises:
            KeyError: the record does not know the method, or pfltune wrote it before it kept
                trials.
        """
        name = short_name(method)
        made_with = (record.program, record.data, record.computing)
        protocol, complete = record.scenario.protocol, complete_knobs(record, name, knobs)
        whole = {**complete, **settings_of(protocol, complete)}
        return cls.made(*made_with, stage, name, whole, seed)

    @classmethod
    def made(
        cls,
        program: Program,
        data: Mapping[str, str],
        computing: Computing,
        stage: Stage,
        name: str,
        knobs: Mapping[str, Value],
        seed: int,
    ) -> "TrialSpec":
        """That of a trial without a comparison.

        Args:
            program: that it is of, with the method's code.
            data: digests of the federation.
            computing: how it computes.
            stage: of the trial.
            name: short name of the method.
            knobs: all of them, in their types; settings of the protocol too.
            seed: of the trial.
        """
        return cls(
            engine=program.source[ENGINE],
            code=program.source[name],
            plugins=program.plugins,
            versions={n: v for n, v in program.versions.items() if n not in SUGGESTING},
            processor=program.processor,
            data=given_in(sees_test(stage), data),
            test=sees_test(stage),
            knobs=without_settings(knobs),
            settings=settings_in(knobs),
            seed=seed,
            computing=computing,
        )

    @property
    def key(self) -> str:
        """32 hexadecimal digits; the same for equal specifications and for no others."""
        return digest(json.dumps(self.model_dump(), sort_keys=True).encode())

    @property
    def repeats(self) -> bool:
        """Whether its figures come again to the last bit."""
        return self.computing.device == "cpu" or self.computing.deterministic

    @property
    def common(self) -> "TrialSpec":
        """What it has in common with the other trials of its method in a comparison."""
        data = {name: found for name, found in self.data.items() if name != "clients"}
        empty: dict[str, Mapping[str, Value]] = {"knobs": {}, "settings": {}}
        return self.model_copy(update={"data": data, "test": True, "seed": 0, **empty})


def complete_knobs(record: Record, name: str, knobs: Mapping[str, Value]) -> dict[str, Value]:
    """All knobs of a trial, in their types, and what settings of the scenario it was given.

    Args:
        record: of its comparison.
        name: short name of its method.
        knobs: those that are not as the method has them by default, others too.

    Raises:
        KeyError: the record does not know the method or a knob of it.
    """
    defaults = record.defaults[name]
    given = {**defaults, **record.fixed.get(name, {}), **without_settings(knobs)}
    # 1 is 1.0 where it is a number, not where it is a count.
    own = {knob: type(defaults[knob])(value) for knob, value in given.items()}
    return {**own, **settings_in(knobs)}
