"""A comparison goes on as it began: what is given is used or refused, what is not is as it was."""

import shutil
import sys
from pathlib import Path

import click
import pytest

import pfltune
import pfltune.cli
from pfltune.cli.app import COMMANDS, root
from pfltune.cli.options import GenerationSizes, key_values
from pfltune.errors import Halted, UserError
from pfltune.program import Program
from pfltune.record import Asked, Record, read_record

PROGRAM = Program(source={"fedavg": "1"}, files={}, versions={"torch": "2"}, processor="abacus")
NAME = "mine"
BEGUN = {
    "compare": [
        *("--methods", "fedavg,local", "--seeds", "2"),
        *("--decide", "order", "--max-seeds", "9"),
    ],
    "tune": ["fedavg", "--set", "lr=0.2", "--seeds", "2"],
    "grid": ["fedrep", "--over", "head_epochs=1,2", "--set", "lr=0.2", "--seeds", "2"],
    "sensitivity": ["--lr", "0.05", "--seeds", "2"],
}
SEARCH = ["--trials", "6", "--generation", "3", "--eta", "2"]
SEARCH += ["--finalists", "2", "--finalist-seeds", "2"]
SEARCH += ["--search", "protocol.local_epochs=1,2,5", "--start", "protocol.local_epochs=5"]
COMMON = ["-o", "protocol.rounds=4", "--seed", "7", "--threads", "1", "--device", "cpu"]
COMMON += ["--precision", "float32", "--deterministic"]
FREE = {
    "workers": ("--workers", "1", "2", 2),
    "gpus_per_trial": ("--gpus-per-trial", "0", "auto", "auto"),
    "ray_address": ("--ray-address", "local", "local", "local"),
    "checkpoints": ("--checkpoints", "a place", "another", "another"),
    "checkpoint_seconds": ("--checkpoint-seconds", "5", "6", 6.0),
    "checkpoint_rounds": ("--checkpoint-rounds", "2", "3", 3),
    "trial_limit": ("--trial-limit", "100", "200", 200.0),
    "fresh": ("--fresh", "", "--reuse", False),
    "system_metrics": ("--system-metrics", "", "--no-system-metrics", False),
    "keep_models": ("--keep-models", "all", "best", "best"),
    "register_as": ("--register", "digits", "numbers", "numbers"),
}
"""Option, its value at first, its value when it is given anew, and how that is recorded.

One without a value has another option that takes it back.
"""
DECIDING = {
    "methods": ["--methods", "fedavg,fedrep"],
    "method": ["fedrep"],
    "knobs": ["--set", "lr=0.1"],
    "wrap": ["--wrap", "float16"],
    "scenario": ["--scenario", "fedperfix-cifar100"],
    "overrides": ["-o", "protocol.rounds=5"],
    "budget": ["--budget", "5MB"],
    "metric": ["--metric", "loss"],
    "trials": ["--trials", "9"],
    "generation": ["--generation", "2"],
    "eta": ["--eta", "3"],
    "halving": ["--no-halving"],
    "sampler": ["--sampler", "random"],
    "studies": ["--studies", "2"],
    "control": ["--control"],
    "seeds": ["--seeds", "3"],
    "finalists": ["--finalists", "4"],
    "finalist_seeds": ["--finalist-seeds", "4"],
    "objective": ["--objective", "accuracy,comm"],
    "front": ["--front", "4"],
    "max_mb": ["--max-mb", "5"],
    "decide": ["--decide", "best"],
    "max_seeds": ["--max-seeds", "10"],
    "seed": ["--seed", "8"],
    "search": ["--search", "protocol.local_epochs=1,2,5,7"],
    "start": ["--start", "protocol.local_epochs=1"],
    "space": ["--space", "space.yaml"],
    "lr": ["--lr", "0.06"],
    "start_from": ["--start-from", "sqlite:///no.db"],
    "over": ["--over", "head_epochs=1,2,3"],
    "test": ["--test"],
    "threads": ["--threads", "2"],
    "device": ["--device", "cuda"],
    "precision": ["--precision", "bfloat16"],
}
"""What decides the figures, another value than at first."""
ARGUMENTS = {("grid", "methods"): ["fedrep[lr=0.2]"]}
"""The same, where it has no option before it."""
SPACE = "fedavg:\n  search: {lr: {high: 0.5}}\n"
"""Of ``fedavg``, of which --space holds another dimension than at first."""
ABOUT = {
    "fresh",
    "name",
    "pair",
    "resume",
    "results",
    "as_json",
    "accept_new_code",
    "deterministic",
    "help",
    "debug",
    *("partitions", "tune_each"),  # of several comparisons, see test_draws.py
}
"""Neither; ``--deterministic`` cannot be taken back."""


@pytest.fixture(params=["command line", "python"])
def call(request, monkeypatch, tmp_path):
    """``call(*arguments)`` is the job that a command would run, or the exit code of its mistake.

    Once through the command line, once through the function with what click reads.
    """

    jobs = []

    def stop(watched, house):
        (job,) = (each.job for each in watched)
        parts = {**job.recorded(), "program": PROGRAM, "data": {"images": "1"}}
        before = read_record(job.folder)
        if before is None:
            Record.model_validate(parts).write(job.folder)
        else:
            now = Record.model_validate({**parts, "id": before.id})
            if job.extends:
                before.extended(now, house.accept_new_code).write(job.folder)
            else:
                before.going_on(now, house.accept_new_code)
        jobs.append(job)
        raise Halted("a job would run now")

    monkeypatch.setattr("pfltune.jobs.run_sessions", stop)
    monkeypatch.chdir(tmp_path)

    def commanded(*arguments):
        monkeypatch.setattr(sys, "argv", ["pfltune", *arguments])
        with pytest.raises(SystemExit) as ended:
            pfltune.cli.main()
        return jobs.pop() if jobs else ended.value.code

    def called(command, *arguments):
        with pytest.raises((Halted, UserError)) as ended:
            getattr(pfltune, command)(**in_python(command, arguments))
        if jobs:
            return jobs.pop()
        print(ended.value, file=sys.stderr)
        return 2

    return commanded if request.param == "command line" else called


def in_python(command, arguments):
    """The arguments of a function that say what a command line says."""
    import click
    from click.core import ParameterSource

    with click.Context(root) as above:
        context = root.get_command(above, command).make_context(command, [*arguments], above)
    source = context.get_parameter_source
    given = {n: v for n, v in context.params.items() if source(n) is ParameterSource.COMMANDLINE}
    if "methods" in given:
        given["methods"] = given["methods"].split(",")
    if "knobs" in given:
        given["knobs"] = key_values(given["knobs"])
    return given


def recorded(job):
    """All that a job says of itself."""
    parts = {**job.recorded(), "id": "0" * 32, "program": PROGRAM, "data": {}}
    return Record.model_validate(parts).text()


def begin(call, command):
    taken = [each for name, each in FREE.items() if name in options_of(command)]
    free = [word for option, value, *_ in taken for word in (option, value) if word]
    search = SEARCH if "trials" in options_of(command) else []
    Path("space.yaml").write_text(SPACE)
    return call(command, "--name", NAME, *BEGUN[command], *COMMON, *search, *free)


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """``begun(call, command)`` as :func:`begin`, whose files are made once and then copied."""
    made = tmp_path_factory.mktemp("begun")

    def copied(call, command):
        if not (made / command).exists():
            begin(call, command)
            shutil.copytree("results", made / command)
        Path("space.yaml").write_text(SPACE)
        shutil.copytree(made / command, "results", dirs_exist_ok=True)

    return copied


def options_of(command):
    import click

    return {each.name for each in root.get_command(click.Context(root), command).params}


@pytest.mark.parametrize("command", list(BEGUN))
def test_every_option_is_free_or_decides_or_is_about_the_command(command):
    assert options_of(command) <= FREE.keys() | DECIDING.keys() | ABOUT


@pytest.mark.parametrize("command", list(BEGUN))
def test_the_bare_hint_repeats_all_that_the_command_said(call, command):
    first = begin(call, command)
    again = call(command, "--resume", NAME)
    assert recorded(again) == recorded(first)
    assert again.trial_options == first.trial_options
    assert set(Asked.model_fields) == {*FREE, "fresh"}
    taken = FREE.keys() & options_of(command)
    assert all(getattr(first.asked, name) not in (None, 30.0, "none") for name in taken)


@pytest.mark.parametrize(
    ("command", "name"),
    [(command, name) for command in BEGUN for name in FREE if name in options_of(command)],
)
def test_what_touches_no_figure_may_be_given_anew(call, command, name):
    first = begin(call, command)
    option, value, new, recorded = FREE[name]
    again = call(command, "--resume", NAME, *([option, new] if value else [new]))
    assert again.asked == first.asked.model_copy(update={name: recorded})
    assert again.plan == first.plan


@pytest.mark.parametrize("again", [["--resume", NAME], ["--name", NAME]], ids=["resume", "name"])
@pytest.mark.parametrize(
    ("command", "name"),
    [(command, name) for command in BEGUN for name in DECIDING if name in options_of(command)],
)
def test_what_decides_is_refused_if_it_is_another(call, begun, capsys, command, name, again):
    begun(call, command)
    before = Path("results", NAME, "comparison.json").read_bytes()
    capsys.readouterr()
    words = ARGUMENTS.get((command, name), DECIDING[name])
    first = [] if name == "method" or command != "tune" or again[0] == "--resume" else ["fedavg"]
    assert call(command, *first, *words, *again) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    others = {
        "scenario": "cifar100",
        "device": "no GPU",
        "start_from": "no file no.db",
        "front": "one configuration is chosen",
        **({"objective": "one configuration is chosen"} if command == "compare" else {}),
        **({} if first else {"wrap": "which is not wrapped as --wrap says"}),
    }
    wanted = others.get(name, "began with other settings")
    assert wanted in told
    assert Path("results", NAME, "comparison.json").read_bytes() == before


def test_another_command_does_not_go_on_with_it(call, capsys):
    begin(call, "compare")
    assert call("tune", "--resume", NAME) == 2
    assert "pfltune compare --resume mine" in capsys.readouterr().err


METHOD = "from pfltune import Method\n\n\nclass Mine(Method):\n    pass\n"


def test_a_methods_file_that_moved_is_named_anew_and_one_that_changed_is_not_run(call, capsys):
    Path("mine.py").write_text(METHOD)
    first = call("compare", "--methods", "fedavg,mine.py:Mine", "--name", NAME)
    record = read_record(first.folder)
    files = Program.of(record.methods, "cpu").files
    record.model_copy(update={"program": record.program.model_copy(update={"files": files})}).write(
        first.folder
    )
    assert recorded(call("compare", "--resume", NAME)) == recorded(first)

    Path("mine.py").write_text("raise SystemExit('I ran')\n" + METHOD)
    assert call("compare", "--resume", NAME) == 2
    assert "mine.py is not the file that mine began with; it is not run" in capsys.readouterr().err

    Path("mine.py").unlink()
    assert call("compare", "--resume", NAME) == 2
    assert "is not at" in capsys.readouterr().err
    Path("elsewhere.py").write_text(METHOD)
    again = call("compare", "--resume", NAME, "--methods", "fedavg,elsewhere.py:Mine")
    assert again.plan.methods[1].endswith("elsewhere.py:Mine")


def test_another_program_is_shown_and_refused_unless_it_is_accepted(call):
    record = read_record(begin(call, "compare").folder)
    other = PROGRAM.model_copy(update={"source": {"fedavg": "2"}, "versions": {"torch": "3"}})
    now = record.model_copy(update={"program": other})
    with pytest.raises(Exception, match=r"the code of fedavg has changed; torch was 2, is 3"):
        record.going_on(now, accept_new_code=False)
    accepted = record.going_on(now, accept_new_code=True)
    (change,) = accepted.changes
    assert change.differences == ("the code of fedavg has changed", "torch was 2, is 3")
    assert accepted.going_on(now, accept_new_code=False).changes == accepted.changes


@pytest.mark.parametrize("command", list(BEGUN))
def test_a_function_takes_what_its_command_takes_with_the_same_defaults(command):
    import inspect

    import click

    with click.Context(root) as above:
        context = root.get_command(above, command).make_context(command, [], above)
    options = {n: v for n, v in context.params.items() if n not in ("as_json", "help")}
    taken = {
        name: parameter.default
        for name, parameter in inspect.signature(getattr(pfltune, command)).parameters.items()
        if name != "progress"
    }
    assert taken.keys() == options.keys()
    if command == "compare":
        options["methods"] = tuple(options["methods"].split(","))
    if "objective" in options:
        options["objective"] = tuple(options["objective"].split(","))
    assert {n: v for n, v in taken.items() if v} == {n: v for n, v in options.items() if v}


BAD = {
    "seeds": 0,
    "seed": -1,
    "workers": 0,
    "threads": 2000,
    "precision": "float16",
    "device": "tpu",
    "gpus_per_trial": -0.5,
    "checkpoint_seconds": -1,
    "checkpoint_rounds": 0,
    "trial_limit": 0,
}


@pytest.mark.parametrize("door", ["command line", "python"])
@pytest.mark.parametrize("name", list(BAD))
@pytest.mark.parametrize("command", list(BEGUN))
def test_a_value_that_is_not_possible_is_named_in_one_line(
    command, name, door, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    if door == "python":
        alone = {"tune": {"method": "fedavg"}, "grid": {"methods": "fedavg", "over": ["lr=0.1"]}}
        with pytest.raises(UserError) as ended:
            getattr(pfltune, command)(**alone.get(command, {}), **{name: BAD[name]})
        told = f"{ended.value}\n"
    else:
        alone = {"tune": ["fedavg"], "grid": ["fedavg", "--over", "lr=0.1"]}
        option = [f"--{name.replace('_', '-')}", str(BAD[name])]
        monkeypatch.setattr(sys, "argv", ["pfltune", command, *alone.get(command, ()), *option])
        with pytest.raises(SystemExit, match="2"):
            pfltune.cli.main()
        told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert str(BAD[name]) in told
    assert not Path("results").exists()


def test_what_is_none_is_not_given(call):
    first = begin(call, "compare")
    with pytest.raises(Halted, match="would run"):
        pfltune.compare(None, resume=NAME, trials=None, workers=None, scenario=None)
    assert read_record(first.folder).budget == first.plan.budget


def test_an_option_that_there_is_none_of_is_named_with_those_there_are():
    with pytest.raises(UserError, match=r"unknown key 'trails' \(did you mean 'trials'"):
        pfltune.compare(trails=3)


def test_every_command_that_goes_on_is_tested():
    # A claim is several jobs, see tests/test_claims.py.
    assert {name for name in COMMANDS if "resume" in options_of(name)} == {*BEGUN, "claim"}


# ------------------------------------------------------------------ what is extended


def refused(call, capsys, *arguments):
    """The line by which a command is refused; what is there stays as it is."""
    before = Path("results", NAME, "comparison.json").read_bytes()
    capsys.readouterr()
    assert call(*arguments) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert Path("results", NAME, "comparison.json").read_bytes() == before
    return told


def test_an_extended_comparison_is_what_it_was_and_more(call):
    first = begin(call, "compare")
    job = call("extend", NAME, "--methods", "fedrep,local", "--seeds", "4", "--trials", "9")
    assert job.command == "compare"
    assert job.plan.methods == ("fedavg", "local", "fedrep"), "each once, the new ones last"
    assert job.plan.budget.generations == (3, 3, 3)
    assert job.plan.budget == first.plan.budget.grown(4, 9, None)
    assert job.hardware == first.hardware
    assert job.asked == first.asked.model_copy(update={"fresh": False}), "its own trials are known"
    assert job.scenario.model_dump() == first.scenario.model_dump()

    record = read_record(job.folder)
    assert record.journal == "journal-2.jsonl"
    assert record.budget == job.plan.budget
    assert set(record.spaces) == {"fedavg", "local", "fedrep"}
    assert recorded(call("compare", "--resume", NAME)) == recorded(job)
    again = call("extend", NAME, "--seeds", "4")
    assert read_record(again.folder).journal == "journal-2.jsonl", "nothing more is asked for"
    call("extend", NAME, "--generation", "3,3,3,2")
    assert read_record(again.folder).journal == "journal-3.jsonl"
    assert recorded(call("compare", "--resume", NAME)) != recorded(job)


def test_finalists_and_their_seeds_can_be_added(call):
    first = begin(call, "tune")
    job = call("extend", NAME, "--finalists", "3", "--finalist-seeds", "4")
    assert (job.plan.budget.finalists, job.plan.budget.finalist_seeds) == (3, 4)
    assert job.plan.budget == first.plan.budget.grown(None, None, None, 3, 4)
    assert call("tune", "--resume", NAME).plan == job.plan


@pytest.mark.parametrize("command", ["compare", "tune"])
def test_seeds_of_finalists_that_there_are_not_are_refused(call, capsys, command):
    method = ["fedavg"] if command == "tune" else []
    assert call(command, *method, "--finalists", "0", "--finalist-seeds", "2") == 2
    assert "--finalist-seeds 2: there are no finalists" in capsys.readouterr().err


def test_what_touches_no_figure_may_be_given_when_extending(call):
    begin(call, "compare")
    job = call("extend", NAME, "--seeds", "4", "--workers", "2")
    assert (job.asked.workers, job.asked.checkpoint_rounds) == (2, 2)


def test_what_was_begun_by_tune_is_extended_with_what_it_holds(call):
    begin(call, "tune")
    job = call("extend", NAME, "--seeds", "4")
    assert job.command == "tune"
    assert call("tune", "--resume", NAME).plan == job.plan
    job = call("extend", NAME, "--methods", "fedavg[lr=0.3],fedper")
    assert job.command == "compare"
    assert job.plan.fixed == {
        "fedavg": {"lr": 0.2},
        "fedavg[lr=0.3]": {"lr": 0.3},
        "fedper": {},
    }
    assert call("compare", "--resume", NAME).plan == job.plan


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ([], "say what to add"),
        (["--seeds", "1"], "there are 2 seeds; 1 would be fewer"),
        (["--trials", "3"], "there are 6 search trials; 3 would be fewer"),
        (["--trials", "7"], "whole generations of 3 give 9, 12, 15"),
        (["--generation", "4,4"], "would not begin with them"),
        (["--generation", "4"], "say with --trials"),
        (["--methods", "fedper,fedper"], "methods named twice: fedper"),
        (["--methods", "nobody"], "unknown method 'nobody'"),
        (["--finalists", "1"], "there are 2 finalists; 1 would be fewer"),
        (["--finalist-seeds", "1"], "there are 2 finalist seeds; 1 would be fewer"),
    ],
)
def test_what_cannot_be_added_is_one_line(call, capsys, asked, told):
    begin(call, "compare")
    assert told in refused(call, capsys, "extend", NAME, *asked)


def test_only_what_is_there_and_is_no_study_can_be_extended(call, capsys):
    begin(call, "sensitivity")
    assert "is a sensitivity study" in refused(call, capsys, "extend", NAME, "--seeds", "3")
    assert "there is nothing named 'other'" in refused(
        call, capsys, "extend", "other", "--seeds", "3"
    )


def test_another_program_extends_only_if_it_is_accepted(call):
    record = read_record(begin(call, "compare").folder)
    grown = record.budget.grown(3, None, None)
    source = {"fedavg": "1", "fedrep": "9"}
    added = record.model_copy(
        update={
            "methods": (*record.methods, "fedrep"),
            "budget": grown,
            "program": PROGRAM.model_copy(update={"source": source}),
        }
    )
    extended = record.extended(added, accept_new_code=False)
    assert extended.program.source == source, "a method that was not there is no change"
    assert (extended.id, extended.budget, extended.changes) == (record.id, grown, ())
    other = added.model_copy(update={"program": PROGRAM.model_copy(update={"processor": "quill"})})
    with pytest.raises(Exception, match="the processor was abacus, is quill"):
        record.extended(other, accept_new_code=False)
    assert len(record.extended(other, accept_new_code=True).changes) == 1
    with pytest.raises(Exception, match="has fedrep by now"):
        extended.extended(record, accept_new_code=False)


def test_a_journal_of_its_own_has_no_name_and_no_seal_that_is_taken(call):
    record = read_record(begin(call, "compare").folder)
    more = record.model_copy(update={"budget": record.budget.grown(3, None, None)})
    extended = record.extended(more, accept_new_code=False, taken=["journal-2.jsonl"])
    assert extended.journal == "journal-3.jsonl"
    assert len({extended.seal, record.seal, extended.seal_of("journal-2.jsonl")}) == 3


@pytest.mark.parametrize("text", ["4;4", "4,", "", "four"])
def test_sizes_of_generations_that_are_no_numbers_are_refused(text):
    with pytest.raises(click.BadParameter, match="is neither a size, as 4, nor the size of each"):
        GenerationSizes().convert(text, None, None)
    assert GenerationSizes().convert("4,4,8", None, None) == (4, 4, 8)


def test_the_knobs_of_a_grid_may_be_named_in_another_order(call):
    two = ["--over", "lr=0.1,0.2", "--over", "head_epochs=1,2"]
    first = call("grid", "fedrep", *two, "--name", NAME)
    again = call("grid", "fedrep", *two[2:], *two[:2], "--name", NAME)
    assert recorded(again) == recorded(first)
    assert again.cells == first.cells


def test_an_extension_that_adds_nothing_forgets_no_file(call):
    """Of a method's wraps and of what is plugged into the scenario."""
    record = read_record(begin(call, "compare").folder)
    files = {"fedavg": "1", "fedavg, wrap half": "2", "partition rare": "3"}
    record = record.model_copy(
        update={"program": record.program.model_copy(update={"files": files})}
    )
    again = record.extended(record, accept_new_code=False)
    assert again.program.files == files
