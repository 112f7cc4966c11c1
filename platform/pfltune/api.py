"""pfltune from Python: the commands as functions, with the same options and the same record.

A function takes what its command takes, by the same names; see :mod:`pfltune.studies.options`.
What is not given has the command's default, or, with ``resume``, is as the job began. Nothing is
printed but warnings; ``progress=True`` prints lines that say where it stands.

Errors, none of which is ever ``SystemExit``:

- :class:`pfltune.UserError`: something that was asked for is not possible; nothing has begun.
- :class:`pfltune.Halted`: it cannot go on for now, or every trial failed. What is done is kept.
- :class:`pfltune.TrackingError`: it has ended, and MLflow could not be told.
- ``KeyboardInterrupt``: Ctrl-C. What is done is kept, and the same call with ``resume`` goes on.
"""

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Unpack, get_type_hints

from pfltune.audit.issue import CERTIFICATE, certificate_of
from pfltune.audit.verify import Verdict, verified
from pfltune.draws import read_draws
from pfltune.errors import UserError
from pfltune.jobs import compared, drawn, extended, gridded, replayed, studied, swept
from pfltune.method import Method
from pfltune.record import Grid, Sensitivity
from pfltune.registry import reference_to
from pfltune.replays import read_replay
from pfltune.report.claims.notebook import ClaimResults
from pfltune.report.claims.replayed import read_replayed
from pfltune.report.draws import read_draws_result
from pfltune.report.draws_notebook import DrawsResults
from pfltune.report.grid import read_grid
from pfltune.report.grid_results import GridResults
from pfltune.report.notebook import Results, SensitivityResults, SweepResults
from pfltune.report.optuna_studies import export_studies
from pfltune.report.results import find_record, read_results
from pfltune.report.sensitivity import study_trials
from pfltune.report.sweep import read_sweep_result
from pfltune.report.tensorboard import export_events
from pfltune.report.tuning.notebook import results_of
from pfltune.scenario import Scenario
from pfltune.studies.claims import replay_of
from pfltune.studies.draws import draws_of, extended_draws, first_extended
from pfltune.studies.options import (
    OPTIONS,
    ClaimOptions,
    CompareOptions,
    ExtendOptions,
    GridOptions,
    SensitivityOptions,
    TuneOptions,
    checked,
    defaults,
    override_texts,
    results_folder,
)
from pfltune.studies.sweep import sweep_of, swept_texts
from pfltune.sweeps import read_sweep
from pfltune.views import Found, View, view_of

log = logging.getLogger("pfltune")

Function = TypeVar("Function", bound=Callable[..., Any])
MethodLike = str | type[Method]
"""A name, ``path/to/file.py:Class``, or a class that is in a file."""
ScenarioLike = str | Path | Scenario
"""A name, the path of a YAML file, or a scenario."""

OPTIONS_OF = {"sweep": "compare"}
"""The command whose options a function takes, where it is not the one of its name."""


def _like_its_command(function: Function) -> Function:
    """Let the signature show every option with the default that holds where it is not given."""
    command = OPTIONS_OF.get(function.__name__, function.__name__)
    holds, kinds = defaults(command), get_type_hints(OPTIONS[command])
    own = [p for p in inspect.signature(function).parameters.values() if p.name != "options"]
    shown = [p.replace(default=holds.get(p.name, p.default)) for p in own]
    shown += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=holds[name], annotation=k)
        for name, k in kinds.items()
    ]
    vars(function)["__signature__"] = inspect.signature(function).replace(parameters=shown)
    return function


@_like_its_command
def compare(
    methods: MethodLike | Sequence[MethodLike] | None = None,
    *,
    scenario: ScenarioLike | None = None,
    progress: bool | View = False,
    **options: Unpack[CompareOptions],
) -> Results | DrawsResults:
    """Compare methods on one scenario: equal search, fresh seeds, one table.

    With ``partitions=3`` on three draws of clients: accuracy is over these too.

    Args:
        methods: names, ``path/to/file.py:Class``, or classes that are in a file.
        scenario: name, path of a YAML file, or a :class:`pfltune.scenario.Scenario`.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune compare``.

    Returns:
        What was found; its report is written and, where MLflow is, attached there.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    wanted = None if methods is None else _references(methods)
    given = _given("compare", options, methods=wanted, scenario=scenario)
    view = view_of(progress)
    if (draws := draws_of(given)) is not None:
        return drawn(draws, given, view)
    _see_one("compare", given)
    return compared("compare", given, view)


@_like_its_command
def tune(
    method: MethodLike | None = None,
    *,
    scenario: ScenarioLike | None = None,
    pair: tuple[str, str] | None = None,
    progress: bool | View = False,
    **options: Unpack[TuneOptions],
) -> Results:
    """Tune one method over its search space; the best configuration is tested with fresh seeds.

    Before that the best ``finalists`` of the search are trained again with ``finalist_seeds`` fresh
    validation seeds, and the one with the best mean is chosen.

    Args:
        method: name, ``path/to/file.py:Class``, or a class that is in a file.
        scenario: name, path of a YAML file, or a :class:`pfltune.scenario.Scenario`.
        pair: two searched knobs that the report draws against each other; default: prefix length
            and learning rate where both are searched, or else the two that matter most.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune tune``.

    Returns:
        :class:`TuneResults`; with several objectives, of which no single configuration is the
        best, :class:`Results` with a row for each that was confirmed.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    given = tuning(method, _given("tune", options, scenario=scenario))
    _see_one("tune", given)
    return compared("tune", given, view_of(progress), pair)


@_like_its_command
def extend(
    name: str,
    methods: MethodLike | Sequence[MethodLike] | None = None,
    *,
    progress: bool | View = False,
    **options: Unpack[ExtendOptions],
) -> Results | DrawsResults:
    """Add methods, seeds, search trials or finalists to a comparison, finished or not.

    To a comparison over several draws of clients also more of these.

    Only what is new is trained; the table is that of a comparison that was asked for all at once.

    Args:
        name: of the comparison.
        methods: those to add: names, ``path/to/file.py:Class``, or classes that are in a file.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune extend``.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    wanted = None if methods is None else _references(methods)
    given = _given("extend", options, name=name, methods=wanted)
    view = view_of(progress)
    if (draws := extended_draws(given)) is not None:
        return drawn(draws, given, view, first_extended)
    return extended(given, view)


@_like_its_command
def grid(
    methods: MethodLike | Sequence[MethodLike] | None = None,
    *,
    scenario: ScenarioLike | None = None,
    progress: bool | View = False,
    **options: Unpack[GridOptions],
) -> GridResults:
    """Train every choice of some values of some knobs with the same seeds, and draw them.

    ``grid("fedperfix", over={"prefix_length": [1, 4, 16], "lr": [0.01, 0.1]}, knobs={"prefix":
    "tokens"})`` has six cells. Their trials are kept like all others: a search, its finalists and a
    larger grid on the same data train none of them again.

    Args:
        methods: names, ``path/to/file.py:Class``, or classes that are in a file.
        scenario: name, path of a YAML file, or a :class:`pfltune.scenario.Scenario`.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune grid``.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    wanted = None if methods is None else _references(methods)
    given = holding_knobs(_given("grid", options, methods=wanted, scenario=scenario))
    return gridded(given, view_of(progress))


@_like_its_command
def sensitivity(
    *,
    scenario: ScenarioLike | None = None,
    progress: bool | View = False,
    **options: Unpack[SensitivityOptions],
) -> SensitivityResults:
    """Keep each kind of layer personal, alone and with the head: FedPerfix's Table 1.

    Args:
        scenario: name, path of a YAML file, or a :class:`pfltune.scenario.Scenario`.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune sensitivity``.

    Raises:
        UserError: something of it is not possible.
        Halted: it cannot go on for now, or every trial failed.
        TrackingError: it has ended, and MLflow could not be told.
    """
    given = _given("sensitivity", options, scenario=scenario)
    return studied(given, view_of(progress))


@_like_its_command
def claim(
    claim: str | Path | None = None,
    *,
    scenario: str | Path | None = None,
    progress: bool | View = False,
    **options: Unpack[ClaimOptions],
) -> ClaimResults:
    """Replay what a paper claims, and say which of its orderings hold, and on which footing.

    Args:
        claim: name of a claim, or the path of a YAML file.
        scenario: name or path of a YAML file, in place of the scale's own.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of ``pfltune claim``.

    Raises:
        UserError: something of it is not possible, or no footing can run.
        Halted: it cannot go on for now, or a footing could not run: the others are done.
        TrackingError: it has ended, and MLflow could not be told.
    """
    named = None if scenario is None else str(scenario)
    given = _given("claim", options, scenario=named)
    replay = replay_of(claim, given)
    return replayed(replay, given, view_of(progress), named=claim is not None)


def tuning(method: MethodLike | None, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the search of one method, as those of a comparison of one.

    Raises:
        UserError: no method is named, and nothing is to go on.
    """
    if method is None and not given.get("resume"):
        raise UserError("name a METHOD (see `pfltune methods`), or --resume what was begun")
    wanted = {} if method is None else {"methods": _references(method)}
    return holding_knobs(given) | wanted


def holding_knobs(given: Mapping[str, Any]) -> dict[str, Any]:
    """The options with the knobs that are held as a comparison has them."""
    held = {"fixed": {"": dict(given["knobs"])}} if given.get("knobs") else {}
    return {name: value for name, value in given.items() if name != "knobs"} | held


@_like_its_command
def sweep(
    methods: MethodLike | Sequence[MethodLike] | None = None,
    *,
    scenario: str | Path | Sequence[str | Path] | None = None,
    progress: bool | View = False,
    **options: Unpack[CompareOptions],
) -> SweepResults:
    """Compare methods in each of several settings: one pool of workers, one report.

    ``sweep(overrides={"partition.alpha": [0.1, 0.5, 1.0]})`` makes three comparisons, its cells.

    Args:
        methods: as of :func:`compare`.
        scenario: names or paths of YAML files, one or several.
        progress: whether to print lines that say where it stands, or a view of one's own.
        options: as of :func:`compare`. In ``overrides``, a list stands for several values.

    Returns:
        What was found; the report over all cells and that of each are written.

    Raises:
        UserError: something of it is not possible, or no cell can run.
        Halted: it cannot go on for now, or a cell could not run: the others are done.
        TrackingError: it has ended, and MLflow could not be told.
    """
    wanted = None if methods is None else _references(methods)
    several = None if scenario is None else _joined(scenario)
    given = _given("compare", options, methods=wanted, scenario=several)
    if given.pop("partitions", 1) > 1:
        raise UserError("a sweep is over one partition in each of its cells: sweep over data_seed")
    if "overrides" in given:
        given["overrides"] = swept_texts(given["overrides"])
    plan = sweep_of("compare", given)
    if plan is None:
        raise UserError("nothing is swept: give several scenarios, or several values of a setting")
    return swept(plan, given, view_of(progress))


def load_results(
    name: str,
    *,
    results: str | Path | None = None,
    reference: str | None = None,
    target: float | None = None,
) -> Found:
    """What was found by whatever has a name in the results, also while it runs.

    Args:
        name: of it.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.
        reference: short name or title of the method that the others are held against; default: the
            best on validation data.
        target: validation accuracy in (0, 1] that methods are timed to; default: 95 % of the best
            one's.

    Raises:
        UserError: there is none of that name, or it has not begun yet.
    """
    place = results_folder({"results": results}).resolve()
    if name and (plan := read_sweep(place / name)) is not None:
        found = read_sweep_result(place, plan, reference=reference, target=target)
        return SweepResults(found, place / name)
    if name and (replay := read_replay(place / name)) is not None:
        return ClaimResults(read_replayed(place, replay), place / name)
    if name and (draws := read_draws(place / name)) is not None:
        told = read_draws_result(place, draws, reference=reference, target=target)
        return DrawsResults(told, place / name)
    record = find_record(place, name)
    if isinstance(record.budget, Grid):
        return GridResults(read_grid(place, name), place / name)
    if isinstance(record.budget, Sensitivity):
        return SensitivityResults(record, place / name, study_trials(record, place / name))
    return results_of(read_results(place, name), place / name, reference, target)


def certify(name: str, *, results: str | Path | None = None, out: str | Path | None = None) -> Path:
    """Write the certificate of a comparison that has ended; returns where it is.

    Args:
        name: of the comparison.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.
        out: the file; default: ``certificate.json`` in the comparison's folder.

    Raises:
        UserError: there is none of that name, it has not ended, or is damaged.
    """
    place = results_folder({"results": results}).resolve()
    certificate = certificate_of(read_results(place, name))
    path = place / name / CERTIFICATE if out is None else Path(out)
    certificate.write(path)
    return path


def export(name: str, optuna: str, *, results: str | Path | None = None) -> dict[str, int]:
    """Write the searches of a comparison as studies of Optuna's; returns their trials by name.

    Args:
        name: of the comparison.
        optuna: address of a storage of Optuna's, such as ``sqlite:///FILE``.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.

    Raises:
        UserError: there is none of that name, it has searched nothing, there can be no such
            storage, or another study there has one of the names; nothing was written.
    """
    found = read_results(results_folder({"results": results}).resolve(), name)
    return {study.name: len(study.trials) for study in export_studies(found, optuna)}


def export_tensorboard(name: str, folder: str | Path, *, results: str | Path | None = None) -> int:
    """Write the trials of a comparison as event files of TensorBoard; returns how many.

    Args:
        name: of the comparison, search, grid or sensitivity study.
        folder: where to; a run for each trial, below its method.
        results: the results folder; default: what ``PFLTUNE_RESULTS`` names, or ``results``.

    Raises:
        UserError: there is none of that name, or the folder is not this comparison's.
    """
    return export_events(results_folder({"results": results}).resolve(), name, Path(folder))


def verify(
    certificate: str | Path,
    *,
    sample: int = 5,
    seed: int | None = None,
    trials: Sequence[str] = (),
    methods: MethodLike | Sequence[MethodLike] = (),
    overrides: Mapping[str, Any] | Sequence[str] = (),
    accept_new_code: bool = False,
    progress: bool | Callable[[str], object] = False,
) -> Verdict:
    """Check a certificate: what follows from its scores, then some trials trained again.

    Args:
        certificate: the file.
        sample: trials that are trained again, drawn at random from all methods in turn.
        seed: of the draw, to repeat one; default: nobody knows it before.
        trials: names of trials to train again, instead of a draw.
        methods: your copies of methods whose code came with the certificate; no other is run.
        overrides: where its data lie here, such as ``["data.name=npz:images.npz"]``.
        accept_new_code: check within bounds although code is another here.
        progress: whether to print what is found as it is found, or what takes these lines.

    Raises:
        UserError: it is no certificate, or its methods or data are not here.
    """
    tell = progress if callable(progress) else print if progress else log.info
    return verified(
        Path(certificate),
        tell,
        sample=sample,
        seed=seed,
        trials=trials,
        methods=_references(methods) if methods else (),
        overrides=override_texts(overrides),
        accept_new_code=accept_new_code,
    )


def _joined(scenarios: str | Path | Sequence[str | Path]) -> str:
    """Scenarios as the command line writes them."""
    several = [scenarios] if isinstance(scenarios, str | Path) else scenarios
    return ",".join(map(str, several))


def _see_one(command: Literal["compare", "tune"], given: Mapping[str, Any]) -> None:
    """See that options ask for one comparison.

    Raises:
        UserError: they ask for a sweep.
    """
    if sweep_of(command, given) is not None:
        raise UserError("several settings are a sweep: call pfltune.sweep")


def _given(command: str, options: Mapping[str, Any], **own: Any) -> dict[str, Any]:
    """All that was given to a function, checked."""
    return checked(command, options) | {k: v for k, v in own.items() if v is not None}


def _references(methods: MethodLike | Sequence[MethodLike]) -> list[str]:
    """Methods as references: names, or files by their class.

    Raises:
        UserError: there is none, or a class that is in no file.
    """
    several = [methods] if isinstance(methods, str | type) else list(methods)
    if not several:
        raise UserError("methods is empty; `pfltune methods` lists what there is")
    return [each if isinstance(each, str) else reference_to(each) for each in several]
