"""From a claim and options to the jobs that replay it."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

from pfltune.claim_file import FOOTINGS, TITLES, Claim, Footing, Scale, load_claim
from pfltune.draws import Draws, read_draws, refuse_several
from pfltune.errors import UserError, unknown
from pfltune.goal import ACCURACY
from pfltune.knobs import written
from pfltune.record import read_record
from pfltune.registry import canonical
from pfltune.replays import Part, Replay, read_replay
from pfltune.running.folder_lock import checked_name
from pfltune.running.job import After, Job
from pfltune.studies import begin
from pfltune.studies.draws import draws_of, first_of, followers
from pfltune.studies.options import (
    DEFAULTS,
    OPTIONS,
    FreeOptions,
    JobOptions,
    SearchOptions,
    checked,
    override_texts,
    results_folder,
)
from pfltune.variants import split

AnyJob = TypeVar("AnyJob", bound=Job)
OF_THE_REPLAY = ("name", "resume", "results", "scenario", "overrides", "scale", "footings")
"""Options that each part has its own of, or that say which parts there are."""
OF_NO_SCALE = (*OF_THE_REPLAY, "partitions", "tune_each", "decide", "max_seeds")
"""Options that a scale has fields of its own for, or that no footing can have."""
REPEATED = ("search", "start")
"""Options that are given once for each of several values."""


@dataclass(frozen=True)
class Step:
    """A job of a replay.

    Attributes:
        label: what it is called while it runs.
        job: what to run.
        after: what it waits for; None if it can begin at once.
    """

    label: str
    job: Job
    after: After | None = None


@dataclass(frozen=True)
class Planned:
    """A part of a replay that can run.

    Attributes:
        part: of the replay.
        steps: its jobs.
        draws: that these are on, if there are several.
    """

    part: Part
    steps: tuple[Step, ...]
    draws: Draws | None = None


def replay_of(claim: str | Path | None, given: Mapping[str, Any]) -> Replay:
    """The replay that options ask for, new or to go on.

    Args:
        claim: its name or file; None for that of the replay that goes on.
        given: the options that were given.

    Raises:
        UserError: something of it is not possible, or what has that name is another.
    """
    resumed = given.get("resume")
    if claim is None and resumed is None:
        raise UserError("name a CLAIM (see `pfltune claim`), or --resume what was begun")
    if given.get("name") not in (None, resumed) and resumed is not None:
        raise UserError(f"--name {given['name']} and --resume {resumed} are two; give one of them")
    wanted = None if claim is None else _asked(load_claim(str(claim)), given)
    name = resumed or (wanted.name if wanted else "")
    folder = results_folder(given) / checked_name(name)
    known = read_replay(folder)
    if known is None:
        return _new(wanted, resumed, folder)
    if wanted is None:
        _see_free(known, given)
    elif not known.same_as(wanted):
        raise UserError(
            f"{name} is {known.claim.name} at scale {known.scale} with other options; resume it "
            f"with --resume {name} and nothing else, or choose another --name"
        )
    return known


def planned(
    replay: Replay, given: Mapping[str, Any], named: bool
) -> tuple[list[Planned], dict[str, str]]:
    """The parts of a replay that can run, and why others cannot, by name.

    Args:
        replay: which parts there are.
        given: the options that were given; those that touch no figure hold for all parts.
        named: whether the user named the claim, and with it whatever files it names.
    """
    parts: list[Planned] = []
    failures: dict[str, str] = {}
    for part in replay.parts:
        try:
            parts.append(_planned(replay, part, given, named))
        except UserError as error:
            failures[part.name] = str(error)
    return parts, failures


def footings_in(texts: str | Sequence[str]) -> tuple[Footing, ...]:
    """``"trials,bytes"`` as the footings that it names, in the order in which they are shown.

    Raises:
        UserError: there is no such footing, or none is named.
    """
    several = texts.split(",") if isinstance(texts, str) else texts
    names = {name.strip() for name in several if name.strip()}
    for name in sorted(names):
        if name not in FOOTINGS:
            raise unknown("footing", name, FOOTINGS)
    if not names:
        raise UserError(f"no footing is named; choose from: {', '.join(FOOTINGS)}")
    return tuple(each for each in FOOTINGS if each in names)


def _new(wanted: Replay | None, resumed: str | None, folder: Path) -> Replay:
    refuse_several(folder)
    if read_record(folder) is not None:
        raise UserError(f"{folder.name} is a comparison and no claim; choose another --name")
    if wanted is None or resumed is not None:
        raise UserError(f"there is no claim named {resumed!r} in {folder.parent} to go on with")
    return wanted


def _see_free(known: Replay, given: Mapping[str, Any]) -> None:
    """See that nothing is given that would decide a figure anew.

    Raises:
        UserError: something is.
    """
    free = {*get_type_hints(FreeOptions), "name", "resume"}
    if settled := sorted(given.keys() - free):
        flags = ", ".join(f"--{name.replace('_', '-')}" for name in settled)
        raise UserError(f"{known.name} goes on as it began: {flags} cannot be given with --resume")


def _asked(claim: Claim, given: Mapping[str, Any]) -> Replay:
    """The replay of a claim, as options ask for it."""
    scale_name, scale = claim.scale(given.get("scale"))
    chosen = _chosen(claim, scale_name, scale, given.get("footings"))
    for method in claim.methods:
        canonical(method)
    made = f"claim-{claim.name}-{scale_name}-{datetime.now():%Y%m%d-%H%M%S}"
    name = checked_name(given.get("resume") or given.get("name") or made)
    parts = [
        Part(
            name=checked_name(f"{name}.{footing}"),
            footing=footing,
            command="sensitivity" if footing == "sensitivity" else "compare",
            options=_options(footing, claim, scale, given),
        )
        for footing in chosen
    ]
    replay = Replay(name=name, claim=claim, scale=scale_name, parts=tuple(parts))
    return Replay.model_validate_json(replay.model_dump_json())  # as it will be read again


def _chosen(
    claim: Claim, scale_name: str, scale: Scale, wanted: str | Sequence[str] | None
) -> tuple[Footing, ...]:
    """The footings of a replay; without a wish, all that the scale has.

    Raises:
        UserError: the scale does not say what a footing means there.
    """
    there = tuple(f for f in scale.footings.named if f != "sensitivity" or claim.orders_layers)
    if wanted is None:
        return there
    chosen = footings_in(wanted)
    for footing in chosen:
        if footing not in there:
            raise UserError(
                f"claim {claim.name} has no footing {footing} at scale {scale_name}; there are: "
                f"{', '.join(there)}"
            )
    return chosen


def _options(
    footing: Footing, claim: Claim, scale: Scale, given: Mapping[str, Any]
) -> dict[str, Any]:
    """With what a part begins.

    Raises:
        UserError: an option of the scale that there is not, or a value that is not possible.
    """
    search = _checked(scale)
    _see_accuracy(given, scale)
    moment = {"protocol.evaluate": claim.moment} if claim.moment != "after_aggregation" else {}
    overrides = override_texts({**moment, **scale.overrides})
    overrides += search.pop("overrides", [])  # a budget is one
    overrides += override_texts(given.get("overrides", ()))
    ground = {"scenario": given.get("scenario", scale.scenario), "overrides": overrides}
    settled = get_type_hints(JobOptions).keys() - get_type_hints(FreeOptions).keys()
    both = {**search, **given}
    common = {k: v for k, v in both.items() if k in settled and k not in OF_THE_REPLAY}
    if footing == "sensitivity":
        assert scale.footings.sensitivity is not None
        return ground | scale.footings.sensitivity.model_dump() | common
    known = get_type_hints(SearchOptions).keys() - get_type_hints(JobOptions).keys()
    asked = {key: value for key, value in given.items() if key in known}
    methods = {"methods": [text for method in claim.methods for text in split(method)]}
    return ground | methods | search | asked | common | _equal(footing, scale, overrides)


def _see_accuracy(given: Mapping[str, Any], scale: Scale) -> None:
    """See that a claim, whose published figures are accuracies, is replayed by accuracy.

    Raises:
        UserError: another metric is asked for.
    """
    for text in override_texts(scale.overrides) + override_texts(given.get("overrides", ())):
        key, _, value = text.partition("=")
        if key == "protocol.metric" and value.strip('"') != ACCURACY.name:
            raise UserError(
                f"protocol.metric={value}: a claim is of test accuracies, and goes by accuracy"
            )


def _checked(scale: Scale) -> dict[str, Any]:
    """The options of a scale.

    Raises:
        UserError: one of them is no option of a comparison, or of no part of a replay.
    """
    for name in scale.options:
        if name in OF_NO_SCALE:
            raise UserError(
                f"the options of a scale cannot have {name}: a replay has its own, or it stands "
                "beside the options"
            )
    return checked("compare", scale.options)


def _equal(footing: Footing, scale: Scale, overrides: Sequence[str]) -> dict[str, Any]:
    """What makes a comparison one of this footing."""
    if footing == "draws":
        return {"partitions": scale.footings.draws}
    spent = {"bytes": scale.footings.bytes, "steps": scale.footings.steps}.get(footing)
    return {"overrides": [*overrides, f"protocol.budget={spent}"]} if spent else {}


def _planned(replay: Replay, part: Part, given: Mapping[str, Any], named: bool) -> Planned:
    options, label = _sitting(part, given, named), TITLES[part.footing]
    if part.command == "sensitivity":
        return Planned(part, (Step(label, _of(replay, begin.study(options))),))
    draws = draws_of(options)
    if draws is None:
        job = begin.comparison("compare", options)
        return Planned(part, (Step(label, _of(replay, job)),))
    first = _of(replay, first_of(draws, options))
    jobs = [(first, None), *followers(draws, first)]
    steps = (Step(f"draw {n}", job, after) for n, (job, after) in enumerate(jobs, start=1))
    return Planned(part, tuple(steps), draws)


def _of(replay: Replay, job: AnyJob) -> AnyJob:
    """A job that the replay resumes."""
    return replace(job, claim=replay.name)


def _sitting(part: Part, given: Mapping[str, Any], named: bool) -> dict[str, Any]:
    """The options of a part in this sitting."""
    free = {key: value for key, value in given.items() if key in get_type_hints(FreeOptions)}
    folder = results_folder(given) / part.name
    if not named and (read_record(folder) or read_draws(folder)):
        return {**free, "resume": part.name}
    if not named and part.names_files:
        raise UserError(
            f"{part.name} has not begun, and what it names in a file may hold code, which only the "
            "claim's record asks for: name the claim again, with its --name"
        )
    known = get_type_hints(OPTIONS[part.command])
    own = {key: value for key, value in part.options.items() if key not in known}
    settled = {key: value for key, value in part.options.items() if key in known}
    return {**own, **checked(part.command, settled), **free, "name": part.name}


def command_of(part: Part) -> str:
    """The command that runs a part by itself, as one types it."""
    words = ["pfltune", part.command]
    for option, value in part.options.items():
        words += _words(option, value)
    return shlex.join([*words, "--name", part.name])


def _words(option: str, value: Any) -> list[str]:
    if option == "overrides":
        return [word for text in value for word in ("-o", text)]
    flag = f"--{option.replace('_', '-')}"
    if isinstance(value, bool):
        return _switched(option, flag, value)
    if isinstance(value, Mapping):
        pairs = (f"{key}={_written(inner)}" for key, inner in value.items())
        return [word for pair in pairs for word in (flag, pair)]
    if option in REPEATED:
        return [word for each in value for word in (flag, _written(each))]
    return [flag, _written(value)]


def _switched(option: str, flag: str, value: bool) -> list[str]:
    """A flag that is given where its value is not the usual one."""
    if value == DEFAULTS.get(option, False):
        return []
    return [flag if value else flag.replace("--", "--no-", 1)]


def _written(value: Any) -> str:
    """Values in one text, and those of several names with these."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={written(inner)}" for key, inner in value.items())
    return ",".join(map(written, value)) if isinstance(value, list | tuple) else written(value)
