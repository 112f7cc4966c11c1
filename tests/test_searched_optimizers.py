"""Optimizer and schedule of local training as settings that a search or a grid varies."""

from contextlib import nullcontext
from types import SimpleNamespace

import optuna
import pytest
import torch
from comparisons import Fake, record_of
from pydantic import ValidationError
from trained import SMALL

import pfltune
from pfltune.budget import Budget
from pfltune.errors import UserError
from pfltune.federation.compute import Compute
from pfltune.federation.fingerprint import fingerprint
from pfltune.federation.searched_settings import (
    NAMES,
    changed_settings,
    is_setting,
    ruled,
    setting_knobs,
    settings_of,
    under,
)
from pfltune.federation.trial import FederatedTrial
from pfltune.knobs import ABOVE_0, Knob
from pfltune.optimizers import Optimizer, Schedule
from pfltune.program import ENGINE, Program
from pfltune.record import Asked, Record
from pfltune.report.chosen import ChosenValues, chosen_values
from pfltune.report.results import count_reused
from pfltune.report.tuning.commands import differences, ground, held
from pfltune.running.hardware import Hardware
from pfltune.scenario import load_scenario, overridden
from pfltune.studies.comparison import plan_on
from pfltune.studies.grid import GridJob, plan_grid
from pfltune.studies.spaces import space_options
from pfltune.testing.federations import tiny_federation
from pfltune.trials.spec import TrialSpec
from pfltune.trials.training import configured_as

OPTIMIZER, SCHEDULE = "protocol.optimizer", "protocol.schedule"
ALL = {
    f"{OPTIMIZER}.kind": ("sgd", "adamw"),
    f"{OPTIMIZER}.momentum": (0.0, 0.9),
    f"{OPTIMIZER}.nesterov": (False, True),
    f"{OPTIMIZER}.weight_decay": (0.0, 0.01),
    f"{SCHEDULE}.kind": ("constant", "cosine", "step"),
    f"{SCHEDULE}.every": (2, 3),
    f"{SCHEDULE}.factor": (0.1, 0.5),
}
DIGESTS = ("images", "labels", "clients", "clients without test", "start weights", "rules")
PROGRAM = Program(
    source={ENGINE: "1", "fedavg": "2"}, files={}, versions={"torch": "2"}, processor="abacus"
)
EVERYTHING = [f"{name}={','.join(str(v).lower() for v in of)}" for name, of in ALL.items()]


@pytest.fixture(autouse=True)
def quiet_optuna():
    optuna.logging.set_verbosity(optuna.logging.WARNING)


def small(*overrides):
    return load_scenario("digits", [*SMALL, *overrides])


def space_of(*search, scenario=None, method="fedavg", start=()):
    options = space_options({"search": search, "space": None, "start": start}, [method])
    _, spaces, _ = plan_on([method], Budget(trials=4), scenario or small(), {}, options)
    return spaces[method]


def drawn(space, count=60):
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    found = []
    for _ in range(count):
        trial = study.ask()
        space(trial)
        found.append(trial.params)
    return found


def grid_over(scenario=None, methods=("fedavg",), **over):
    asked = {"over": over, "seeds": 1, "seed": 0, "test": False}
    return plan_grid(methods, asked, scenario or small(), {})[1]


def grid_job(over, scenario, results):
    asked = {"over": over, "seeds": 1, "seed": 0, "test": False}
    plan, budget = plan_grid(["scaffold"], asked, scenario, {})
    return GridJob(
        name="g",
        command="grid",
        scenario=scenario,
        plan=plan,
        hardware=Hardware(1, 1, 0.0, Compute()),
        asked=Asked(),
        results=results,
        budget=budget,
    )


# ------------------------------------------------------------------ what they are


def test_every_field_of_the_sections_is_a_knob_with_what_its_field_takes():
    knobs = setting_knobs(small().protocol)
    assert {name for name in knobs if name.count(".") == 2} == ALL.keys()
    for name, values in ALL.items():
        assert [knobs[name].check(value, "here") for value in values] == list(values)
    assert (
        knobs[f"{OPTIMIZER}.nesterov"].needs() == f"{OPTIMIZER}.kind=sgd and {OPTIMIZER}.momentum>0"
    )
    assert (knobs[f"{OPTIMIZER}.momentum"].low, knobs[f"{OPTIMIZER}.momentum"].high) == (0, 0.999)


def test_a_condition_above_0_is_met_by_the_largest_value_above_it():
    def meeting(**of):
        return Knob("m", float, 0.0, "", **of).meeting(ABOVE_0)

    assert meeting(choices=(0.0, 0.5, 0.9)) == 0.9
    assert meeting(low=0.0, high=0.8) == 0.8
    assert meeting(choices=(0.0,)) is None


def test_settings_without_an_effect_are_as_where_nobody_says_them():
    said = small(f"{OPTIMIZER}.momentum=0.9", f"{OPTIMIZER}.nesterov=true", f"{SCHEDULE}.kind=step",
                 f"{SCHEDULE}.every=3").protocol  # fmt: skip
    assert ruled(said, {"lr": 0.1}) is said
    adamw = ruled(said, {f"{OPTIMIZER}.kind": "adamw", f"{OPTIMIZER}.weight_decay": 0.1})
    assert adamw.optimizer == Optimizer(kind="adamw", weight_decay=0.1)
    assert adamw.schedule == said.schedule
    assert ruled(said, {f"{SCHEDULE}.kind": "cosine"}).schedule == Schedule(kind="cosine")
    still = ruled(said, {f"{OPTIMIZER}.momentum": 0.0})
    assert still.optimizer == Optimizer()
    same = {"rounds": said.rounds, "sampler": said.sampler, "evaluate_every": said.evaluate_every}
    assert {name: getattr(adamw, name) for name in same} == same


def test_what_is_changed_is_what_was_searched_and_what_that_rules_out():
    said = small(f"{OPTIMIZER}.momentum=0.9").protocol
    kind = {f"{OPTIMIZER}.kind": "adamw"}
    assert changed_settings(said, {"lr": 0.1, **kind}) == {**kind, f"{OPTIMIZER}.momentum": 0.0}
    assert changed_settings(said, {"lr": 0.1}) == {}


# ------------------------------------------------------------------ searches


def test_no_trial_has_a_combination_that_does_not_fit():
    space, base = space_of(*EVERYTHING), small().protocol
    found = drawn(space)
    assert {name for point in found for name in point if is_setting(name)} == ALL.keys()
    for point in found:
        assert (f"{OPTIMIZER}.momentum" in point) == (point[f"{OPTIMIZER}.kind"] == "sgd")
        assert (f"{OPTIMIZER}.nesterov" in point) == (point.get(f"{OPTIMIZER}.momentum", 0) > 0)
        assert (f"{SCHEDULE}.every" in point) == (point[f"{SCHEDULE}.kind"] == "step")
        whole = settings_of(ruled(base, point))
        assert {name: whole[name] for name in point if is_setting(name)} == {
            name: value for name, value in point.items() if is_setting(name)
        }


@pytest.mark.parametrize(
    "overrides",
    [(f"{OPTIMIZER}.momentum=0.9", f"{OPTIMIZER}.nesterov=true"), (f"{OPTIMIZER}.kind=adamw",)],
)
def test_a_search_over_a_part_of_them_fits_the_rest_of_the_scenario(overrides):
    """Kind alone is searched: the scenario's momentum is none of AdamW's."""
    scenario = small(*overrides)
    kinds = {
        ruled(scenario.protocol, point).optimizer.kind
        for point in drawn(space_of(f"{OPTIMIZER}.kind=sgd,adamw", scenario=scenario), 20)
    }
    assert kinds == {"sgd", "adamw"}


def test_what_depends_on_a_setting_that_is_not_searched_is_held_against_the_scenarios():
    nesterov = f"{OPTIMIZER}.nesterov=true,false"
    with pytest.raises(UserError, match=r"kind=sgd and .*momentum>0: give -o .* -o .*momentum=…$"):
        space_of(nesterov)
    able = small(f"{OPTIMIZER}.momentum=0.5")
    assert f"{OPTIMIZER}.nesterov" in space_of(nesterov, scenario=able).searched
    with pytest.raises(UserError, match=r"give -o protocol.schedule.kind=step$"):
        space_of(f"{SCHEDULE}.every=1:5")
    with pytest.raises(UserError, match="it has no effect beside what is held and searched"):
        space_of(f"{OPTIMIZER}.momentum=0,0.9", scenario=small(f"{OPTIMIZER}.kind=adamw"))


@pytest.mark.parametrize(
    ("search", "words"),
    [
        (f"{OPTIMIZER}.momentum=0,1", "momentum='1' is not valid"),
        (f"{OPTIMIZER}.kind=sgd,adam", "kind='adam' is not valid"),
        (f"{OPTIMIZER}.kind=0:1", "kind=0.0 is not valid"),
        (f"{OPTIMIZER}.beta=0,1", "protocol.optimizer.momentum, protocol.optimizer.nesterov"),
        ("protocol.optimizer=sgd,adamw", "of the scenario protocol.sampled_clients"),
        (f"{SCHEDULE}.factor=0:1", "factor=0.0 is not valid"),
    ],
)
def test_what_cannot_be_searched_is_one_line(search, words):
    with pytest.raises(UserError) as caught:
        space_of(search)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_of_one_method_and_with_a_start_point():
    given = {"search": [f"fedper.{OPTIMIZER}.momentum=0,0.9"], "space": None, "start": ()}
    options = space_options(given, ["fedavg", "fedper"])
    _, spaces, _ = plan_on(["fedavg", "fedper"], Budget(trials=4), small(), {}, options)
    name = f"{OPTIMIZER}.momentum"
    assert name in spaces["fedper"].searched
    assert name not in spaces["fedavg"].searched
    start = {"lr": 0.05, f"{OPTIMIZER}.momentum": 0.9, f"{OPTIMIZER}.nesterov": True}
    space = space_of(f"{name}=0:0.95", f"{OPTIMIZER}.nesterov=true,false", start=[start])
    assert space.start[0] == start


def test_what_needs_plain_sgd_is_not_searched_over_other_optimizers():
    """Else every trial with a momentum would fail, and the search would learn from that."""
    name = f"{OPTIMIZER}.momentum"
    methods = ["fedavg", "scaffold"]

    def planned(search):
        options = space_options({"search": [search], "space": None, "start": ()}, methods)
        return plan_on(methods, Budget(trials=4), small(), {}, options)

    with pytest.raises(UserError, match=f"scaffold reads gradients .* fedavg.{name}=…"):
        planned(f"{name}=0,0.9")
    _, spaces, _ = planned(f"fedavg.{name}=0,0.9")
    assert name in spaces["fedavg"].searched
    assert name not in spaces["scaffold"].searched


# ------------------------------------------------------------------ grids, overrides


def test_a_grid_is_over_them():
    over = {f"{OPTIMIZER}.momentum": ("0", "0.9"), "lr": ("0.1",)}
    assert grid_over(**over).over[f"{OPTIMIZER}.momentum"] == (0.0, 0.9)


@pytest.mark.parametrize(
    ("scenarios", "over", "refused"),
    [
        ("momentum=0.9", {"momentum": (0.0,)}, False),
        ("momentum=0.9", {"momentum": (0.0, 0.5)}, True),
        ("momentum=0.9", {"weight_decay": (0.0, 0.1)}, True),
        ("kind=adamw", {"kind": ("sgd",)}, False),
        ("kind=sgd", {"kind": ("sgd", "adamw")}, True),
        ("kind=sgd", {"weight_decay": (0.0, 0.1)}, False),
    ],
)
def test_each_cell_says_whether_what_needs_plain_sgd_has_it(scenarios, over, refused, tmp_path):
    """And not the scenario, from whose optimizer all cells may differ."""
    scenario = small(f"{OPTIMIZER}.{scenarios}")
    job = grid_job({f"{OPTIMIZER}.{name}": v for name, v in over.items()}, scenario, tmp_path)
    job.scenario.check(job.firsts())
    with pytest.raises(UserError, match="SCAFFOLD reads") if refused else nullcontext():
        job.check_optimizers()


@pytest.mark.parametrize(
    ("over", "told"),
    [
        ({"kind": ("sgd", "adamw"), "momentum": ("0.9",)}, "momentum=0.9 has no effect"),
        ({"nesterov": ("true", "false")}, "it needs protocol.optimizer.kind=sgd and"),
        ({"momentum": ("0", "2")}, "momentum='2' is not valid"),
    ],
)
def test_a_cell_that_does_not_fit_is_refused_before_anything_starts(over, told):
    with pytest.raises(UserError) as caught:
        grid_over(**{f"{OPTIMIZER}.{name}": values for name, values in over.items()})
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("overrides", "told"),
    [
        (["kind=adamw", "momentum=0.9"], "momentum=0.9 has no effect; it needs kind=sgd"),
        (["nesterov=true"], "nesterov=true has no effect"),
        (["kind=adam"], "'sgd' or 'adamw'"),
        (["beta=0.9"], "unknown key 'protocol.optimizer.beta'"),
    ],
)
def test_an_override_that_does_not_fit_is_one_line(overrides, told):
    with pytest.raises(UserError) as caught:
        small(*(f"{OPTIMIZER}.{each}" for each in overrides))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_schedules_steps_need_steps():
    with pytest.raises(ValidationError, match="every=3 has no effect; it needs kind=step"):
        Schedule(every=3)
    assert Schedule(kind="step", every=3).every == 3


def test_a_command_for_what_was_found_can_be_typed_on_the_scenario():
    """As `best` and `report` print it: -o of what was searched, and of what that rules out."""
    said = small(f"{OPTIMIZER}.momentum=0.9")
    knobs = {f"{OPTIMIZER}.kind": "adamw", f"{SCHEDULE}.kind": "cosine"}
    wanted = said.under(knobs)
    chosen = ChosenValues("fedavg", {}, changed_settings(said.protocol, knobs), {})
    words = [word for word in chosen.options().split() if word != "-o"]
    assert overridden(said, words).protocol == wanted.protocol
    typed = differences(said.model_dump(mode="json"), wanted.model_dump(mode="json"))
    assert overridden(said, list(typed)).protocol == wanted.protocol


def test_what_best_prints_and_what_trains_it_again_fit_the_scenario():
    """The scenario has momentum 0.9, the search chose AdamW: its momentum is taken back."""
    knobs = {"lr": 0.1, f"{OPTIMIZER}.kind": "adamw"}
    begun = record_of({"fedavg": Fake("A", [[0.5]])}, "one")
    record = begun.model_copy(update={"scenario": said("momentum=0.9", begun.scenario)})
    method = SimpleNamespace(name="fedavg", method="fedavg", choice=lambda: knobs)
    found = chosen_values(SimpleNamespace(record=record), method)
    assert found.values == {"lr": 0.1}
    assert found.settings == {f"{OPTIMIZER}.kind": "adamw", f"{OPTIMIZER}.momentum": 0.0}
    words = [word for word in ground(record, "digits", knobs) or [] if "optimizer" in word]
    assert words == [f'{OPTIMIZER}.kind="adamw"'], "the scenario by that name has no momentum"
    assert held(knobs) == ["--set", "lr=0.1"]


def said(setting, scenario):
    return overridden(scenario, [f"{OPTIMIZER}.{setting}"])


# ------------------------------------------------------------------ trials, keys, reuse


def test_a_trial_descends_as_its_settings_say():
    """The same figures as on a federation whose scenario says so."""
    knobs = {"lr": 0.05, f"{OPTIMIZER}.momentum": 0.9, f"{SCHEDULE}.kind": "cosine"}
    plain = tiny_federation(rounds=2)
    said = tiny_federation(rounds=2, optimizer=Optimizer(momentum=0.9), schedule={"kind": "cosine"})
    assert under(plain, knobs).protocol == said.protocol
    assert fingerprint(plain) == fingerprint(said), "they are in a trial's key, not in its data"
    ends = []
    for federation, asked in ((plain, knobs), (said, {"lr": 0.05}), (plain, {"lr": 0.05})):
        trial = FederatedTrial(*configured_as("fedavg", asked, federation), seed=0)
        ends.append([report.metrics["val/accuracy"] for report in trial.run()] + [trial.server])
    searched, scenarios, without = (flat(each[-1]) for each in ends)
    assert searched.equal(scenarios)
    assert not searched.equal(without)


def flat(tensors):
    return torch.cat([t.flatten() for t in tensors.values()])


def test_a_trial_has_one_key_however_its_settings_were_said():
    """As those of the scenario, as searched ones; what has no effect beside them is in none."""
    begun = record_of(
        {"fedavg": Fake("A", [[0.5]])}, "one", data=dict.fromkeys(DIGESTS, "d"), program=PROGRAM,
        defaults={"fedavg": {"lr": 0.01}},
    )  # fmt: skip

    def key(knobs, *overrides):
        scenario = overridden(begun.scenario, overrides)
        record = begun.model_copy(update={"scenario": scenario})
        return TrialSpec.of(record, "search", "fedavg", knobs, 3).key

    momentum, kind = {f"{OPTIMIZER}.momentum": 0.9}, {f"{OPTIMIZER}.kind": "adamw"}
    assert key(momentum) == key({}, f"{OPTIMIZER}.momentum=0.9") != key({})
    assert key({f"{OPTIMIZER}.momentum": 0}) == key({})
    assert key(kind, f"{OPTIMIZER}.momentum=0.9") == key({}, f"{OPTIMIZER}.kind=adamw")
    assert len({key({}), key(momentum), key(kind), key({f"{SCHEDULE}.kind": "step"})}) == 4


def test_every_section_and_setting_is_in_the_key_and_none_in_the_fingerprint():
    assert {name.split(".")[1] for name in settings_of(small().protocol)} == set(NAMES)


@pytest.mark.thorough
@pytest.mark.usefixtures("inline")
def test_resumed_and_reused(tmp_path, monkeypatch, cold_store):
    """What was searched with momentum 0.9 is a scenario's that says so, and a grid's."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    cold_store(tmp_path)
    common = {"seeds": 1, "workers": 1, "results": tmp_path}
    search = {"overrides": SMALL, "generation": 2, "finalists": 0, "trials": 2, **common}
    name, point = f"{OPTIMIZER}.momentum", {"lr": 0.05}
    found = pfltune.tune(
        "fedavg", name="searched", search={name: [0, 0.9]}, start=[{**point, name: 0.9}], **search
    )
    assert found.result.reused == 0
    record = Record.model_validate_json((tmp_path / "searched" / "comparison.json").read_text())
    assert record.spaces["fedavg"]["search"][name] == [0.0, 0.9]
    assert pfltune.tune(resume="searched", results=tmp_path).result.trials == found.result.trials
    said = {**search, "overrides": [*SMALL, f"{name}=0.9"]}
    assert pfltune.compare(["fedavg"], name="said", start=[point], **said).result.reused >= 1
    grid = pfltune.grid(
        ["fedavg"], name="grid", over={name: [0, 0.9]}, knobs=point, overrides=SMALL, **common
    )
    assert count_reused(grid.result.trials) >= 1
