"""What a user is promised when methods, processes, memory, the disk or MLflow fail.

One comparison goes through all of it: its disk is full, it is resumed, its trials fail in every way
there is, and its MLflow server is killed in the middle and comes back.
"""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ports import free_port
from ray.tune.execution.placement_groups import resource_dict_to_pg_factory
from ray.tune.experiment import Trial

from pfltune.budget import Budget
from pfltune.errors import Halted, TrackingError, UserError
from pfltune.federation.compute import Compute
from pfltune.federation.remembered import ROOM_MB
from pfltune.record import Asked, read_record
from pfltune.running import gpu_share as gpu_share_module
from pfltune.running import hardware as hardware_module
from pfltune.running import session as session_module
from pfltune.running.callback import JournalCallback
from pfltune.running.dealt import DealtTrials
from pfltune.running.finished import NOTHING
from pfltune.running.given import to_config
from pfltune.running.gpu_share import CONTEXT_MB, MOST, USABLE, share_for
from pfltune.running.hardware import Hardware
from pfltune.running.job import Watched
from pfltune.running.ledger import Ledger
from pfltune.running.pool import Machines
from pfltune.running.scheduler import RungScheduler
from pfltune.running.stopping import Stopping
from pfltune.running.trial_log import TrialLog
from pfltune.scenario import load_scenario
from pfltune.search.candidate import SCORE, Candidate
from pfltune.search.plan import Plan
from pfltune.search.searches import ComparisonDealer
from pfltune.search.space import load_space
from pfltune.tracking.events import TrialEnded
from pfltune.tracking.journal import Journal

PFLTUNE = str(Path(sys.executable).parent / "pfltune")
ROUNDS = 4
COLD = ["protocol.rounds=4", "protocol.evaluate_every=1", "backbone.weights=random"]
FAILING = '''
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from pfltune import Method, knob
from pfltune.storage import Folder

HERE = Path(__file__).parent
MODES = MODES_OF_THE_TEST
_write = Folder.write


def write(self, name, data):
    """The disk of the checkpoints is full while a file says so."""
    if name.startswith("server") and (HERE / "disk is full").exists():
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    _write(self, name, data)


Folder.write = write


@dataclass(frozen=True, kw_only=True)
class Failing(Method):
    """A stranger's method: it works in one of its modes."""

    mode: str = knob("work", choices=MODES, doc="what happens")

    def objective(self, loss, params, context):
        return float("nan") * loss(params) if self.mode == "diverge" else loss(params)

    def train(self, work, down, personal):
        if self.mode == "crash":
            raise ZeroDivisionError("a stranger's [/bug]")
        if self.mode == "take for ever":
            while True:
                time.sleep(0.01)
        return super().train(work, down, personal)

    def aggregate(self, server, uploads, work):
        """Called once a round; who fails once does so in the second, after a checkpoint."""
        count = HERE / self.mode
        calls = int(count.read_text()) + 1 if count.exists() else 1
        count.write_text(str(calls))
        if self.mode == "die once" and calls == 2:
            os._exit(1)
        return super().aggregate(server, uploads, work)
'''
REASONS = {
    "diverge": "loss was nan in round 1",
    "crash": "ZeroDivisionError: a stranger's [/bug]",
    "take for ever": "it took longer than the 45 s allowed",
}
WORKING = ("work", "die once")
MODES = ("take for ever", *WORKING, "diverge", "crash")


class MlflowServer:
    """A real MLflow server with a database of its own, which can be killed and started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self.port = free_port()
        self.uri = f"http://somebody:secret-word@127.0.0.1:{self.port}"

    def start(self) -> None:
        command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
        command += ["--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--backend-store-uri", f"sqlite:///{self.folder}/server.db"]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        with (self.folder / "server.log").open("a") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, start_new_session=True
            )

    def wait(self) -> None:
        health = f"http://127.0.0.1:{self.port}/health"
        patiently(lambda: answers(health), "the MLflow server does not answer")

    def kill(self) -> None:
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def runs(self, experiment: str) -> list[dict]:
        """All runs with tags, status and histories."""
        from mlflow.tracking import MlflowClient

        client = MlflowClient(tracking_uri=f"http://127.0.0.1:{self.port}")
        found = client.get_experiment_by_name(experiment)
        return [
            {
                "status": run.info.status,
                "tags": run.data.tags,
                "params": run.data.params,
                "history": {
                    name: sorted(
                        (m.step, m.value) for m in client.get_metric_history(run.info.run_id, name)
                    )
                    for name in run.data.metrics
                },
            }
            for run in client.search_runs([found.experiment_id], max_results=1000)
        ]


def answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def patiently(condition, complaint: str, seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.1)


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


# ------------------------------------------------------------------ the comparison


@dataclass
class Sitting:
    """A finished process of the command line."""

    code: int
    out: str
    err: str


class Story:
    """The comparison's folder, its server, and what each of its two sittings said."""

    def __init__(self, folder: Path, server: MlflowServer) -> None:
        self.folder, self.server = folder, server
        self.journal = folder / "results" / "broken" / "journal.jsonl"
        method = folder / "failing.py"
        method.write_text(FAILING.replace("MODES_OF_THE_TEST", repr(MODES)))
        points = json.dumps([{"mode": mode} for mode in MODES])
        text = f"search:\n  mode: {{choices: {json.dumps(MODES)}}}\nstart: {points}\n"
        method.with_suffix(".yaml").write_text(text)

        # No rung: of so few trials not one in ten would go on.
        trials = ["--trials", str(len(MODES)), "--generation", str(len(MODES)), "--eta", "10"]
        begin = ["--methods", f"{method}:Failing", *trials, "--seeds", "1", "--name", "broken"]
        begin += [word for text in COLD for word in ("-o", text)]
        (folder / "disk is full").touch()
        self.full = self.sit(*begin)
        self.after_full = server.runs("broken")
        (folder / "disk is full").unlink()
        self.resumed = self.sit("--resume", "broken", meanwhile=self.lose_mlflow)
        self.runs = server.runs("broken")

    def sit(self, *arguments: str, meanwhile=None) -> Sitting:
        command = [PFLTUNE, "compare", *arguments, "--workers", "2"]
        command += ["--trial-limit", "45", "--checkpoint-rounds", "1"]
        out, err = self.folder / "out.txt", self.folder / "err.txt"
        environment = {**os.environ, "MLFLOW_TRACKING_URI": self.server.uri}
        with out.open("w") as stdout, err.open("w") as stderr:
            process = subprocess.Popen(
                command, stdout=stdout, stderr=stderr, cwd=self.folder, env=environment
            )
            try:
                if meanwhile:
                    meanwhile(process, out)
                process.wait(900)
            finally:
                process.kill()
        return Sitting(process.returncode, out.read_text(), err.read_text())

    def lose_mlflow(self, process: subprocess.Popen, out: Path) -> None:
        """Kill the server during the trials; start it again once that was felt for some rounds."""

        def rounds() -> int:
            return sum("RoundDone" in line for line in lines_of(self.journal))

        def until(condition, complaint: str) -> None:
            patiently(lambda: process.poll() is not None or condition(), complaint)
            assert process.poll() is None, f"it ended too early: {out.read_text()}"

        before = rounds()
        until(lambda: rounds() > before, "there is no round")
        self.server.kill()
        until(lambda: "cannot be written" in out.read_text(), "the outage is not felt")
        before = rounds()
        until(lambda: rounds() > before, "the comparison does not go on without MLflow")
        self.server.start()

    def run_of(self, mode: str, runs=None) -> dict:
        """The run of the search trial of a mode."""
        (run,) = (
            run
            for run in runs or self.runs
            if run["tags"]["stage"] == "search" and run["params"].get("mode") == mode
        )
        return run


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = MlflowServer(tmp_path_factory.mktemp("mlflow") / "server")
    made.start()
    try:
        made.wait()
        yield made
    finally:
        made.kill()


@pytest.fixture(scope="module")
def story(server, tmp_path_factory):
    return Story(tmp_path_factory.mktemp("story"), server)


@pytest.mark.slow
class TestStory:
    def test_a_full_disk_stops_the_comparison_in_one_line_with_the_way_back(self, story):
        assert story.full.code == 1
        assert story.full.err.count("\n") == 1, story.full.err
        assert story.full.err.startswith("pfltune: ")
        assert "No space left on device" in story.full.err
        assert "pfltune compare --resume broken" in story.full.out

    def test_a_full_disk_leaves_no_run_open(self, story):
        assert story.after_full
        assert {run["status"] for run in story.after_full} <= {"KILLED", "FAILED", "FINISHED"}

    def test_it_is_resumed_and_ends_well_whatever_its_trials_did(self, story):
        assert story.resumed.code == 0, story.resumed.out + story.resumed.err
        assert "Traceback" not in story.resumed.err
        assert "Resuming broken" in story.resumed.out
        assert {run["status"] for run in story.runs} <= {"FINISHED", "FAILED", "KILLED"}
        assert not [r for r in story.runs if r["status"] == "KILLED" and "outcome" not in r["tags"]]

    @pytest.mark.parametrize("mode", REASONS)
    def test_a_failed_trial_says_why_in_mlflow_and_in_the_report(self, story, mode):
        run = story.run_of(mode)
        assert run["status"] == "FAILED"
        assert run["tags"]["outcome"] == "failed"
        assert REASONS[mode] in run["tags"]["failure"]
        assert set(run["history"]) == {"rounds"}, "no figure that nobody measured"
        page = (story.folder / "results" / "broken" / "report" / "report.html").read_text()
        assert REASONS[mode] in page.replace("&#39;", "'")
        assert REASONS[mode] in story.resumed.out.replace("\n", " ")

    @pytest.mark.parametrize("mode", WORKING[1:])
    def test_a_trial_that_fails_once_ends_with_the_figures_of_one_that_does_not(self, story, mode):
        def figures(run):
            clocks = ("time/", "memory/")
            return {n: h for n, h in run["history"].items() if not n.startswith(clocks)}

        survivor = story.run_of(mode)
        assert survivor["tags"]["outcome"] == "finished"
        assert figures(survivor) == figures(story.run_of("work"))
        tried = int((story.folder / mode).read_text())
        assert tried >= ROUNDS + 1, "it did fail, and had to do a round again"

    def test_an_error_in_a_methods_code_is_told_with_its_client_and_round(self, story):
        failure = story.run_of("crash")["tags"]["failure"]
        assert re.fullmatch(
            r"ZeroDivisionError: a stranger's \[/bug\] \(client \d, round 1\)", failure
        )

    def test_the_best_of_the_others_is_confirmed(self, story):
        (confirmed,) = (run for run in story.runs if run["tags"]["stage"] == "confirm")
        assert confirmed["tags"]["outcome"] == "finished"
        assert confirmed["params"]["mode"] in WORKING

    def test_the_history_in_mlflow_is_whole_though_the_server_was_killed(self, story):
        finished = [run for run in story.runs if run["tags"].get("outcome") == "finished"]
        assert len(finished) == len(WORKING) + 1
        for run in finished:
            for name in ("val/accuracy", "comm/total_mb"):
                assert [step for step, _ in run["history"][name]] == [*range(1, ROUNDS + 1)]

    def test_an_outage_of_mlflow_is_told_once_and_so_is_its_end(self, story):
        out = " ".join(story.resumed.out.split())
        assert out.count("cannot be written") == 1
        assert out.count("is back; all that it missed is written") == 1

    def test_the_password_of_the_server_is_nowhere(self, story):
        written = "".join(
            path.read_text(errors="replace")
            for path in (story.folder / "results").rglob("*")
            if path.is_file()
        )
        kept = "".join(
            path.read_bytes().decode(errors="replace")
            for path in (story.server.folder).rglob("*")
            if path.is_file()
        )
        for sitting in (story.full, story.resumed):
            assert "secret-word" not in sitting.out + sitting.err
        assert "secret-word" not in written
        assert "secret-word" not in kept


# ------------------------------------------------------------------ shares of a GPU

GREEDY = '''
from dataclasses import dataclass
from pathlib import Path

import ray
import torch

from pfltune import Method

SHARES = Path(__file__).with_suffix(".shares")


@dataclass(frozen=True, kw_only=True)
class Greedy(Method):
    """It needs half a GPU."""

    def aggregate(self, server, uploads, work):
        share = ray.get_runtime_context().get_assigned_resources()["GPU"]
        with SHARES.open("a") as file:
            file.write(f"{share:g}\\n")
        if share < 0.5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
        return super().aggregate(server, uploads, work)
'''


@pytest.mark.slow
def test_a_trial_gets_twice_the_share_of_a_gpu_and_mlflow_gets_what_it_missed(
    server, tmp_path, monkeypatch
):
    """A GPU that Ray is told of; and an MLflow that goes away and only comes back later."""
    import ray
    from rich.console import Console

    from pfltune.cli.live import ComparisonProgress
    from pfltune.cli.view import voice
    from pfltune.report.partition import write_partition
    from pfltune.studies.comparison import Comparison, plan_methods

    class Killing(ComparisonProgress):
        def start(self) -> None:
            server.kill()
            super().start()

    method = tmp_path / "greedy.py"
    method.write_text(GREEDY)
    scenario = load_scenario("digits", [*COLD, "protocol.rounds=2"])
    plan, spaces = plan_methods(
        [f"{method}:Greedy"], Budget(trials=1, seeds=1), scenario.protocol, {}
    )
    hardware = Hardware(workers=2, threads=1, gpus_per_trial=0.25, compute=Compute())
    results = tmp_path / "results"
    asked = Asked(checkpoints=str(tmp_path / "elsewhere"))
    job = Comparison(
        name="greedy",
        command="compare",
        scenario=scenario,
        plan=plan,
        hardware=hardware,
        asked=asked,
        results=results,
        spaces=spaces,
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    monkeypatch.setattr(session_module, "PATIENCE_S", 2.0)
    console = Console(file=(tmp_path / "out.txt").open("w"))
    ray.init(num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    house = session_module.House(write_partition, NOTHING)
    (ran,) = session_module.run_sessions(
        [Watched(job, Killing(plan, console), voice(console))], house
    )
    assert isinstance(ran.error, TrackingError)
    assert "could not be written" in str(ran.error)
    assert "secret-word" not in str(ran.error)
    assert method.with_suffix(".shares").read_text().split() == ["0.25", "0.5", "0.5"] * 2
    journal = Journal(job.folder / "journal.jsonl", read_record(job.folder).id)
    ended = [event for event in journal.events if isinstance(event, TrialEnded)]
    assert [event.outcome for event in ended] == ["finished", "finished"]

    server.start()
    server.wait()
    watched = Watched(job, ComparisonProgress(plan, console), voice(console))
    assert session_module.run_sessions([watched], house)[0].error is None
    runs = server.runs("greedy")
    assert [run["status"] for run in runs] == ["FINISHED"] * 4
    for run in runs:
        if run["tags"]["stage"] in ("search", "confirm"):
            assert [step for step, _ in run["history"]["comm/total_mb"]] == [1, 2]


@given(need=st.floats(0, 1e6), total=st.floats(1, 1e6), less=st.floats(0, 1))
def test_as_many_trials_share_a_gpu_as_its_memory_holds(need, total, less):
    """One more would not fit, and a smaller trial never gets a larger share."""
    share = share_for(need, total)
    trials = int(1 / share)
    assert 1 <= trials <= MOST
    assert int(8 / share) == 8 * trials, "of eight GPUs"
    room, each = USABLE * total * (1 + 1e-9), need + CONTEXT_MB
    assert trials == 1 or trials * each <= room
    assert trials == MOST or (trials + 1) * each > room / (1 + 1e-6)
    assert share_for(less * need, total) <= share


class TestShares:
    """``--gpus-per-trial auto``, with a pretended measurement."""

    @pytest.fixture
    def choose(self, monkeypatch):
        measured = []

        def gpu_share(methods, federation, compute):
            measured.append(compute)
            return 0.25

        monkeypatch.setattr(hardware_module, "gpu_share", gpu_share)
        monkeypatch.setattr(hardware_module, "fastest", lambda asked, plain, federation: plain)

        def choose(machines, device, asked, workers=None, threads=1):
            scenario = load_scenario("digits")
            settings = (scenario, [], machines, workers, threads, device, asked, "float32", False)
            return Hardware.choose(*settings), measured

        return choose

    @pytest.mark.parametrize(
        ("cores", "gpus", "threads", "workers"),
        [(16, 1, 1, 4), (16, 2, 1, 8), (6, 2, 1, 6), (16, 2, 4, 4), (1, 1, 4, 1)],
    )
    def test_auto_takes_what_was_measured_and_no_more_workers_than_cores(
        self, cores, gpus, threads, workers, choose
    ):
        chosen, measured = choose(Machines(cores, gpus), "cuda", "auto", threads=threads)
        assert (chosen.gpus_per_trial, chosen.workers) == (0.25, workers)
        assert [compute.device for compute in measured] == ["cuda"]

    def test_a_number_of_workers_that_is_asked_for_is_taken(self, choose):
        chosen, _ = choose(Machines(16, 1), "cuda", "auto", workers=3)
        assert (chosen.gpus_per_trial, chosen.workers) == (0.25, 3)

    @pytest.mark.parametrize(("asked", "share"), [(None, 1.0), (0.5, 0.5), (2.0, 2.0)])
    def test_nothing_is_measured_for_a_share_that_is_known(self, asked, share, choose):
        chosen, measured = choose(Machines(16, 2), "cuda", asked)
        assert (chosen.gpus_per_trial, chosen.workers) == (share, int(2 / share))
        assert not measured

    @pytest.mark.parametrize("asked", ["auto", None])
    def test_without_a_gpu_nobody_gets_a_share(self, asked, choose):
        chosen, measured = choose(Machines(4, 0), "cpu", asked)
        assert (chosen.gpus_per_trial, chosen.workers) == (0.0, 4)
        assert not measured

    def test_more_than_there_is_is_refused(self, choose):
        with pytest.raises(UserError, match="possible: 0 to 2"):
            choose(Machines(4, 2), "cuda", 3.0)

    def test_the_hungriest_method_and_the_images_decide(self, federation, monkeypatch):
        needs = {"small": 1000.0, "large": 4000.0}
        total = 10_000.0
        monkeypatch.setattr(gpu_share_module, "peak_of_round", lambda method, *_: needs[method])
        device = SimpleNamespace(total_memory=total * 1e6)
        monkeypatch.setattr(gpu_share_module.torch.cuda, "get_device_properties", lambda _: device)
        images = federation.dataset.images.nbytes / 1e6
        share = gpu_share_module.gpu_share(needs, federation, Compute(device="cuda"))
        assert share == share_for(4000.0 + images + ROOM_MB, total)


# ------------------------------------------------------------------ what Tune tells of failures


class FakeTrial:
    """What scheduler and callback see of a Tune trial whose process reported ``told``."""

    def __init__(self, folder: Path, told: str, *, index=0, share=0.0, failures=1) -> None:
        self.config = to_config("cell", Candidate("fedavg", "search", index, 0, 1, {"lr": 0.1}))
        self.status = Trial.ERROR
        self.last_result = {"round": 2}
        self.num_failures = failures
        self.error_file = str(folder / "error.txt")
        Path(self.error_file).write_text(told)
        self.placement_group_factory = None
        self.update_resources({"cpu": 1, "gpu": share})

    def update_resources(self, resources: dict) -> None:
        self.placement_group_factory = resource_dict_to_pg_factory(resources)

    @property
    def share(self) -> float:
        return self.placement_group_factory.required_resources.get("GPU", 0.0)


OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 1 GiB"
DEATH = "The actor died unexpectedly before finishing this task.\n  ActorDiedError"


@pytest.fixture
def dealt(tmp_path):
    """The trials of a comparison whose journal is in the test's folder."""
    protocol = load_scenario("digits").protocol
    plan = Plan(("fedavg",), Budget(trials=2, generation=2, eta=2), protocol)
    journal, ledger = Journal(tmp_path / "journal.jsonl"), Ledger()
    journal.observe(ledger.apply)
    log = TrialLog(journal.append, ledger, NOTHING, str(tmp_path / "checkpoints"), print)
    dealer = ComparisonDealer(plan, {"fedavg": load_space("fedavg")})
    return DealtTrials(dealer, ledger, log, NOTHING)


@pytest.fixture
def scheduler(dealt):
    return RungScheduler({"cell": dealt}, Stopping())


@pytest.mark.parametrize(
    ("told", "shares"),
    [(OUT_OF_MEMORY, [0.6, 1.0, 1.0]), (DEATH, [0.3] * 3), ("MemoryError", [0.3] * 3)],
)
def test_only_who_found_no_memory_on_a_gpu_gets_more_of_it(told, shares, scheduler, tmp_path):
    trial = FakeTrial(tmp_path, told, share=0.3)
    for share in shares:
        scheduler.on_trial_error(None, trial)
        assert trial.share == share


def test_a_trial_without_a_gpu_gets_none(scheduler, tmp_path):
    trial = FakeTrial(tmp_path, OUT_OF_MEMORY)
    scheduler.on_trial_error(None, trial)
    assert trial.share == 0.0


def test_who_is_started_again_keeps_its_place_and_who_is_not_leaves_it(scheduler, dealt, tmp_path):
    """The first rung of two trials over ten rounds is at round six, the next evaluation."""
    trials = [FakeTrial(tmp_path, DEATH, index=index) for index in (0, 1)]
    for trial in trials:
        dealt.brackets.enter(Candidate.from_config(trial.config))
    result = {"round": 6, SCORE: 0.5}
    assert scheduler.on_trial_result(None, trials[0], result) == scheduler.PAUSE
    scheduler.on_trial_error(None, trials[1])
    assert scheduler.on_trial_result(None, trials[0], result) == scheduler.PAUSE
    trials[1].status = Trial.RUNNING
    scheduler.on_trial_error(None, trials[1])
    assert scheduler.on_trial_result(None, trials[0], result) == scheduler.CONTINUE


@pytest.fixture
def callback(dealt):
    return JournalCallback({"cell": dealt})


def hear(callback: JournalCallback, what: str, trial: FakeTrial) -> None:
    getattr(callback, f"on_trial_{what}")(iteration=1, trials=[trial], trial=trial)


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        (DEATH, "its process died 4 times without getting further (killed, or out of memory)"),
        ("", "its process died 4 times without getting further (killed, or out of memory)"),
        *(
            (
                f"Failure # 1\nTraceback\n{error}\n",
                f"it failed 4 times without getting further: {error}",
            )
            for error in (OUT_OF_MEMORY, "MemoryError: no room for a stranger")
        ),
    ],
)
def test_a_trial_that_is_given_up_says_why(told, reason, callback, tmp_path):
    hear(callback, "error", FakeTrial(tmp_path, told, failures=4))
    *_, ended = Journal(tmp_path / "journal.jsonl").events
    assert (ended.outcome, ended.failure) == ("failed", reason)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_disk_that_takes_nothing_stops_everything(number, callback, dealt, tmp_path):
    told = f"Traceback\n{OSError(number, os.strerror(number))}"
    with pytest.raises(Halted, match=re.escape(os.strerror(number))):
        hear(callback, "recover", FakeTrial(tmp_path, told))
    assert dealt.log.halted


@pytest.mark.parametrize("told", [DEATH, OUT_OF_MEMORY, "ConnectionError: storage is away"])
def test_what_may_pass_stops_nothing(told, callback, dealt, tmp_path):
    hear(callback, "recover", FakeTrial(tmp_path, told))
    assert dealt.log.halted is None


def test_a_journal_that_cannot_be_written_stops_everything(callback, tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    trial = FakeTrial(tmp_path, "")
    monkeypatch.setattr("pfltune.tracking.journal.os.write", full)
    with pytest.raises(Halted, match="No space left on device"):
        hear(callback, "start", trial)
    monkeypatch.undo()
    hear(callback, "start", trial)
    assert len(Journal(tmp_path / "journal.jsonl").events) == 1
