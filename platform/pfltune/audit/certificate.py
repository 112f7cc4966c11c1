"""The certificate of a comparison: one small file by which a stranger can check its table."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from pfltune.audit.kept import ACCURACIES, ROUND
from pfltune.errors import UserError
from pfltune.knobs import Value
from pfltune.record import Record
from pfltune.scenario import apply_override
from pfltune.seal import digest
from pfltune.settings import Settings, validated
from pfltune.stages import Stage, trial_name
from pfltune.storage import write_whole
from pfltune.text import plain

KIND = "pfltune certificate"
LARGEST = 64 * 1024 * 1024
"""Bytes of a file that is read; a certificate has some hundred for each trial."""
DIGEST = "^[0-9a-f]{32}$"


class CertifiedTrial(Settings):
    """One trial, as far as it went.

    Attributes:
        method: short name.
        stage: what it was for.
        index: number within method, study and stage.
        study: which of the independent searches of its method it is of.
        generation: number of its generation; -1 in the confirmation.
        seed: of the federated trial.
        knobs: all of them, defaults included.
        outcome: how it ended.
        failure: why it failed.
        own_fault: whether it would fail again; else it was the machine that failed.
        scores: what a search maximises, after each round.
        mb: what it had sent after each round, where a search hears of it; else nothing.
        ahead: what would be spent of its budget after one more, see
            :attr:`pfltune.ranking.Standing.ahead`; empty for a trial without a budget.
        figures: those of its end, see :func:`pfltune.audit.kept.certified_names`.
        curve: digest of all its figures that repeat, see :func:`pfltune.audit.kept.curve`.
        seconds: that it took, for people.
    """

    method: str
    stage: Stage
    index: int = Field(ge=0)
    study: int = Field(0, ge=0)
    generation: int = Field(ge=-1)
    seed: int = Field(ge=0)
    knobs: Mapping[str, Value]
    outcome: Literal["finished", "stopped early", "failed"]
    failure: str = ""
    own_fault: bool = False
    scores: tuple[float, ...]
    mb: tuple[float, ...] = ()
    ahead: tuple[float, ...] = ()
    figures: Mapping[str, float]
    curve: str = Field(pattern=DIGEST)
    seconds: float = Field(ge=0)

    @model_validator(mode="after")
    def _says_how_it_ended(self) -> "CertifiedTrial":
        if self.outcome == "failed":
            return self
        if not self.scores:
            raise ValueError(f"{self.outcome} without a round")
        lacking = [name for name in (ROUND, ACCURACIES[0]) if name not in self.figures]
        if self.outcome == "finished" and lacking:
            raise ValueError(f"finished without {lacking[0]}")
        return self

    @property
    def name(self) -> str:
        """As in journal and report."""
        return trial_name(self.method, self.stage, self.index, self.study)

    @property
    def rounds(self) -> int:
        """How far it got; a failed one failed in the round after that."""
        return len(self.scores)

    @property
    def score(self) -> float:
        """At its end; 0 before the first round."""
        return self.scores[-1] if self.scores else 0.0

    @property
    def repeats(self) -> bool:
        """Whether it can be had again: not where the machine ended it."""
        return self.outcome != "failed" or self.own_fault


class Row(Settings):
    """A row of the table.

    Attributes:
        method: short name.
        seeds: of the confirmation trials that ran to their end.
        figures: means over these seeds; ``seeds/std`` is the sample standard deviation over them of
            the test figure that the table is ranked by, for two and more.
    """

    method: str
    seeds: tuple[int, ...]
    figures: Mapping[str, float]


class Certificate(Settings):
    """What a comparison was, and what it found.

    Attributes:
        kind, format: of the file.
        issued: when, as ISO 8601.
        record: what it was asked for and ran with. What touches no figure is left out; a method's
            file stands without its folder.
        trials: all of them.
        table: that follows from them, in the order of the methods.
    """

    kind: Literal["pfltune certificate"] = "pfltune certificate"
    format: Literal[1] = 1
    issued: str
    record: Record
    trials: tuple[CertifiedTrial, ...] = Field(min_length=1)
    table: tuple[Row, ...]

    def to_bytes(self) -> bytes:
        """As canonical JSON with the digest of itself, which says that it is whole, not true."""
        content = self.model_dump(mode="json")
        return canonical({**content, "digest": digest(canonical(content))}) + b"\n"

    def write(self, path: Path) -> None:
        """Put it into a file, over an older certificate of the same comparison and nothing else.

        Raises:
            UserError: something else is there, or it cannot be written.
        """
        self._see_place(path)
        try:
            write_whole(path, self.to_bytes())
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error

    def _see_place(self, path: Path) -> None:
        if not (path.exists() or path.is_symlink()):
            return
        instead = f"{path} is there and is no certificate of {self.record.name}; name another --out"
        try:
            known = read_certificate(path)
        except UserError as error:
            raise UserError(instead) from error
        if path.is_symlink() or known.record.id != self.record.id:
            raise UserError(instead)


def canonical(content: Mapping[str, Any]) -> bytes:
    """JSON of which there is one for each content."""
    return json.dumps(
        content, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def read_certificate(path: Path, overrides: Sequence[str] = ()) -> Certificate:
    """A certificate in a file, as data: nothing that it names is run.

    Args:
        path: of the file.
        overrides: of its scenario, such as ``data.name=npz:here.npz``.

    Raises:
        UserError: it is none, or not whole; or its scenario names code, and no override another.
    """
    content = _whole(path)
    scenario = content["record"]["scenario"]
    _see_no_code(scenario, [override.partition("=")[0] for override in overrides])
    for override in overrides:
        apply_override(scenario, override)
    return validated(Certificate, content, str(path))


def _whole(path: Path) -> dict[str, Any]:
    """What is in a file, once it is seen to be what was written."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    if len(data) > LARGEST:
        raise UserError(f"{path} is no certificate: it is too large")
    try:
        content = json.loads(data, parse_constant=_no_number, object_pairs_hook=_once)
        is_ours = isinstance(content, dict) and content.get("kind") == KIND
        sealed = content.pop("digest", None) if is_ours else None
        is_whole = sealed == digest(canonical(content)) if is_ours else False
    except (ValueError, RecursionError) as error:
        told = " ".join(str(error).split())
        raise UserError(f"{path} is no certificate, or only a part of one: {told}") from error
    record = content.get("record") if is_ours else None
    if not isinstance(record, dict) or not isinstance(record.get("scenario"), dict):
        raise UserError(f"{path} is no certificate of pfltune")
    if not is_whole:
        raise UserError(f"{path} is not what pfltune wrote: its digest is that of something else")
    return content


def _no_number(name: str) -> float:
    raise ValueError(f"{name} stands in it")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(found := dict(pairs)) < len(pairs):
        raise ValueError("a key stands in it twice")
    return found


def _see_no_code(scenario: Mapping[str, Any], overridden: Sequence[str]) -> None:
    for key, text in _texts(scenario):
        if ".py:" in text and not any(f"{key}.".startswith(f"{own}.") for own in overridden):
            raise UserError(
                f"the scenario's {key} is code of whoever wrote the certificate: {plain(text)}; it "
                f"is not run. Read that file, then name your copy: -o {key}=path/to/file.py:Name"
            )


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """The texts in plain data, with their dotted keys."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict | list):
        inner = value.items() if isinstance(value, dict) else enumerate(value)
        for name, each in inner:
            yield from _texts(each, f"{key}.{name}".lstrip("."))
