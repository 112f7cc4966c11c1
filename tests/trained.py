"""Comparisons whose trials are really trained, in this process and small enough to wait for."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pfltune.budget import Budget
from pfltune.errors import told
from pfltune.federation.compute import Compute
from pfltune.federation.fingerprint import fingerprint
from pfltune.federation.trial import FederatedTrial
from pfltune.models.bundle import write_bundle
from pfltune.models.keeping import Models, bundle_place, is_wanted
from pfltune.program import Program
from pfltune.record import Asked, Record, read_record
from pfltune.running.dealt import DealtTrials
from pfltune.running.finished import NOTHING, TrialStore
from pfltune.running.hardware import Hardware
from pfltune.running.ledger import Ledger
from pfltune.running.trial_log import TrialLog
from pfltune.scenario import load_scenario
from pfltune.space_file import AS_METHODS_SAY, SpaceOptions
from pfltune.stages import KeepModels
from pfltune.studies.comparison import Comparison, plan_on
from pfltune.tracking.events import MethodEnded, TrialEnded
from pfltune.tracking.journal import JOURNAL, Journal
from pfltune.trials.training import configured_as, round_of, selected_of

SMALL = [
    *("protocol.rounds=4", "protocol.sampled_clients=2", "protocol.evaluate_every=1"),
    *("partition.clients=3", "partition.alpha=5", "warm_start.epochs=1"),
    *("backbone.patch_size=4", "backbone.width=16", "backbone.depth=1", "backbone.heads=2"),
]
"""Overrides of the scenario digits with which a trial takes a blink."""


def compare_small(
    results: Path,
    name: str,
    methods: list[str],
    budget: Budget,
    options: SpaceOptions = AS_METHODS_SAY,
    fixed: Mapping[str, Mapping[str, object]] | None = None,
    overrides: Sequence[str] = (),
    keep: KeepModels = "none",
    store: TrialStore = NOTHING,
) -> Record:
    """Run a comparison on small digits and write its folder; returns its record.

    One that is there goes on.
    """
    scenario = load_scenario("digits", [*SMALL, *overrides])
    plan, spaces, _ = plan_on(methods, budget, scenario, fixed or {}, options)
    job = Comparison(
        name=name,
        command="compare",
        scenario=scenario,
        plan=plan,
        hardware=Hardware(1, 1, 0.0, Compute()),
        asked=Asked(checkpoints="/a/place/of/its/author", keep_models=keep),
        results=results,
        spaces=spaces,
        space_options=options,
    )
    federation = scenario.build()
    made = {
        "program": Program.of(plan.methods, "cpu", scenario.strangers()),
        "data": fingerprint(federation),
        "classes": federation.dataset.class_names,
    }
    before = read_record(job.folder)
    known = {} if before is None else {"id": before.id}
    record = Record.model_validate({**job.recorded(), **made, **known})
    record.write(job.folder)
    journal, ledger = Journal(job.folder / JOURNAL, record.id), Ledger()
    for event in journal.events:
        ledger.apply(event)
    journal.observe(ledger.apply)
    place, finished = str(results / "checkpoints"), store.of(record)
    models = None if keep == "none" else Models(keep, record, job.folder, place)
    log = TrialLog(journal.append, ledger, finished, place, print, models=models)
    dealer = job.dealer()
    dealt = DealtTrials(dealer, ledger, log, finished)
    _train(dealt, ledger, job.federations(federation), keep, place)
    fronts = dealer.fronts()
    for method, best in dealer.best().items():
        if method in ledger.methods_ended:
            continue
        front = [dict(knobs) for knobs in fronts.get(method, ())]
        journal.append(MethodEnded(method, None if best is None else dict(best), front=front))
    journal.close()
    return record


def _train(dealt, ledger, federations, keep, place):
    """Train what is dealt, a round of each trial at a time."""
    running = {}
    while not dealt.over:
        while (candidate := dealt.next()) is not None:
            dealt.log.begin(candidate)
            dealt.brackets.enter(candidate)
            ground = federations[candidate.stage]
            configured = configured_as(candidate.method, candidate.knobs, ground)
            keeps = is_wanted(keep, candidate.stage)
            trial = FederatedTrial(*configured, candidate.seed, keeps=keeps)
            running[candidate.name] = candidate, trial
        for candidate, trial in list(running.values()):
            end = _advanced(dealt, candidate, trial)
            if end is not None:
                del running[candidate.name]
                if trial.selected is not None:
                    write_bundle(trial, bundle_place(place, candidate.folder))
                dealt.log.keep_and_end(candidate, end)
                dealt.brackets.leave(candidate)
                dealt.complete(candidate, ledger.find(candidate.name).outcome)


def _advanced(dealt, candidate, trial):
    """A trial a round further; its end, if that has come."""
    verdict = dealt.brackets.verdict(candidate)
    if verdict == "wait":
        return None
    if verdict == "stop":
        return TrialEnded(candidate.name, "stopped early", trial.round)
    try:
        done = round_of(trial, trial.step())
    except Exception as error:
        return TrialEnded(candidate.name, "failed", trial.round, told(error), own_fault=True)
    dealt.log.round(candidate, done)
    dealt.brackets.reach(candidate, done.standing)
    if not trial.finished:
        return None
    return TrialEnded(candidate.name, "finished", trial.round, selected=selected_of(trial))
