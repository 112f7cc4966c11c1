"""Files from elsewhere are read, never run; nothing listens beyond this machine; secrets stay."""

import ast
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import yaml
from datafiles import md5, pixels, python2_pickle, refusal, tar_gz
from torchvision import datasets

import pfltune.cli
from pfltune.data.formats import cifar_names
from pfltune.errors import UserError
from pfltune.settings import _Loader, plain_yaml

ROOT = Path(__file__).parents[1]
SOURCES = [*sorted((ROOT / "platform").rglob("*.py")), *sorted((ROOT / "methods").glob("*.py"))]
PFLTUNE = str(Path(sys.executable).parent / "pfltune")
UNPICKLERS = {"pickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
RUNNERS = {"eval", "exec", "compile", "os.system", "os.popen"}
UNSAFE_YAML = {"load", "load_all", "full_load", "full_load_all", "unsafe_load", "unsafe_load_all"}
PICKLE_FILE = Path("platform/pfltune/data/formats.py")
"""CIFAR is published as pickles; this file reads them with a list of what they may name."""
ON_PURPOSE = {
    "platform/pfltune/plugins.py": {"exec", "compile"},  # a plugin's file, which the user names
    "platform/pfltune/settings.py": {"yaml.load"},  # with a loader that is held below
}


# ------------------------------------------------------------------ what the sources call


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    """Every call in a file with the dotted name that is called."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def argument(call: ast.Call, name: str) -> object:
    """The constant that a keyword is given; None if it is left out."""
    values = [keyword.value for keyword in call.keywords if keyword.arg == name]
    return ast.literal_eval(values[0]) if values else None


def complaint(name: str, call: ast.Call) -> str | None:
    """Why a call may run what a file says; None if it cannot."""
    module, _, function = name.rpartition(".")
    if name in RUNNERS or argument(call, "shell"):
        return "runs a text"
    if module == "torch" and function == "load" and argument(call, "weights_only") is not True:
        return "unpickles without weights_only=True"
    if module in ("np", "numpy") and function == "load" and argument(call, "allow_pickle"):
        return "unpickles"
    if function == "read_array" and argument(call, "allow_pickle") is not False:
        return "may unpickle"
    if module == "yaml" and function in UNSAFE_YAML:
        return "builds any object"
    if module.split(".")[0] in UNPICKLERS and function.lstrip("_") in (
        "load",
        "loads",
        "Unpickler",
    ):
        return "unpickles"
    return None


def test_no_source_runs_what_a_file_says():
    found = [
        f"{path}:{call.lineno}: {name} {complaint(name, call)}"
        for path in SOURCES
        for name, call in calls(path)
        if complaint(name, call) and name not in ON_PURPOSE.get(str(path.relative_to(ROOT)), ())
    ]
    assert not found


def test_the_loader_of_yaml_is_the_safe_one():
    assert issubclass(_Loader, yaml.SafeLoader)
    with pytest.raises(UserError):
        plain_yaml("!!python/object/apply:os.system [true]", "text")


def test_only_the_reader_of_cifar_knows_an_unpickler():
    imported = {
        (path.relative_to(ROOT), name)
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
        if (name := of_import(node, alias)) in UNPICKLERS
    }
    assert imported <= {(PICKLE_FILE, "pickle")}


def of_import(node, alias):
    """The package that an import is of."""
    return (alias.name if isinstance(node, ast.Import) else node.module or "").split(".")[0]


@pytest.mark.parametrize(
    "text",
    [
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path, allow_pickle=True)",
        "np.lib.format.read_array(stream)",
        "yaml.load(text)",
        "pickle.loads(data)",
        "pickle._Unpickler(file)",
        "subprocess.run(text, shell=True)",
        "eval(text)",
    ],
)
def test_the_search_for_such_calls_finds_them(text, tmp_path):
    path = tmp_path / "source.py"
    path.write_text(text)
    ((name, call),) = calls(path)
    assert complaint(name, call)


# ------------------------------------------------------------------ the pickles of CIFAR


class Evil:
    """Pickled, it is a call that leaves a file behind."""

    def __init__(self, mark: Path, function=os.mkdir) -> None:
        self.mark, self.function = mark, function

    def __reduce__(self):
        return self.function, (str(self.mark),)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """``archive(batch)`` puts CIFAR-10 where it is looked for, its first batch pickled by us."""
    monkeypatch.setenv("PFLTUNE_DATA", str(tmp_path / "data"))
    kind = datasets.CIFAR10

    def place(first: bytes) -> None:
        good = {b"data": pixels(3, 3072), b"labels": [0, 1, 2]}
        members = {file: python2_pickle(good) for file, _ in kind.train_list + kind.test_list}
        names = {kind.meta["key"].encode(): [b"cup", b"pen", b"hat"]}
        members |= {kind.train_list[0][0]: first, kind.meta["filename"]: python2_pickle(names)}
        content = {f"{kind.base_folder}/{file}": data for file, data in members.items()}
        path = tar_gz(tmp_path / "data" / "downloads" / "cifar10" / kind.filename, content)
        monkeypatch.setattr(kind, "tgz_md5", md5(path))

    return place


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_that_calls_something_is_refused_and_not_run(protocol, archive, tmp_path):
    mark = tmp_path / "executed"
    archive(pickle.dumps(Evil(mark), protocol))
    message = refusal("cifar10")
    assert re.search(r"data_batch_1 .* (posix|os|nt)\.mkdir", message)
    assert not mark.exists()


@pytest.mark.parametrize(
    "what", [b"cbuiltins\neval\n", b"c__builtin__\neval\n", b"cnumpy\nfromfile\n", b"cos\nsystem\n"]
)
def test_a_pickle_may_name_what_arrays_are_made_of_and_nothing_else(what, archive, tmp_path):
    archive(what + b"(S'0'\ntR.")
    assert "which is no array" in refusal("cifar10")


def test_an_array_of_objects_hides_nothing(archive, tmp_path):
    mark = tmp_path / "executed"
    archive(pickle.dumps({b"data": np.array([Evil(mark)], dtype=object), b"labels": [0]}, 2))
    refusal("cifar10")
    assert not mark.exists()


def test_names_of_classes_are_unpickled_as_strictly(tmp_path):
    mark = tmp_path / "executed"
    path = tar_gz(tmp_path / "archive.tar.gz", {"meta": pickle.dumps(Evil(mark), 2)})
    with pytest.raises(UserError, match="no array"):
        cifar_names(path, "meta", "label_names")
    assert not mark.exists()


# ------------------------------------------------------------------ who can reach us


def test_ray_is_started_without_a_dashboard(monkeypatch):
    """The dashboard would run any job that somebody sends it."""
    import ray

    from pfltune.running.pool import worker_pool

    asked = []
    monkeypatch.setattr(ray, "init", lambda **settings: asked.append(settings))
    with worker_pool(2, 1) as wait:
        wait()
    assert [settings["include_dashboard"] for settings in asked] == [False]


class Served:
    """Stands for MLflow's server; keeps how it was started, and ends at once."""

    started: ClassVar[list["Served"]] = []

    def __init__(self, line: list[str], env: dict[str, str]) -> None:
        self.line, self.environment = line, env
        self.started.append(self)

    def poll(self) -> int:
        return 0

    wait = poll


@pytest.fixture
def serve(monkeypatch, tmp_path):
    """``pfltune ui`` with more arguments; returns how the server was started."""
    (tmp_path / "mlflow.db").touch()
    monkeypatch.setattr(subprocess, "Popen", Served)
    monkeypatch.setattr("signal.signal", lambda *_: None)

    def ui(*arguments: str) -> Served:
        monkeypatch.setattr(sys, "argv", ["pfltune", "ui", "--results", str(tmp_path), *arguments])
        with pytest.raises(SystemExit) as ended:
            pfltune.cli.main()
        assert ended.value.code == 0
        return Served.started[-1]

    return ui


def test_the_pages_are_served_on_this_machine_unless_one_asks(serve, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for asked, host in (((), "127.0.0.1"), (("--host", "0.0.0.0"), "0.0.0.0")):
        line = serve(*asked).line
        assert line[line.index("--host") + 1] == host


def test_the_pages_keep_a_password_out_of_the_command_line(serve, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:secret@host/db")
    served = serve()
    assert "secret" not in " ".join(served.line)
    assert served.environment["MLFLOW_BACKEND_STORE_URI"] == "postgresql://me:secret@host/db"


# ------------------------------------------------------------------ secrets

STORES = [
    "http://somebody:secret-word@127.0.0.1:9",
    "https://secret-word@127.0.0.1:9",
    "postgresql://somebody:secret-word@127.0.0.1:9/database",
    "http://somebody:secret-word@host.invalid:5000",
    "nonsense://somebody:secret-word@host/path",
    "sqlite:////proc/nowhere/mlflow.db",
    "http://somebody:secret-word@[::1:9",
    "somebody:secret-word@host",
]


LINE = ["compare", "--methods", "local", "-o", "backbone.weights=random"]


def refused(code: int, out: str, err: str, folder: Path) -> None:
    assert code == 2, err
    assert err.startswith("pfltune: ")
    assert err.count("\n") == 1
    assert "secret-word" not in out + err
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert not kept, "nothing is left of what did not begin"


@pytest.mark.thorough
@pytest.mark.parametrize("uri", STORES)
def test_a_store_that_cannot_be_used_costs_one_line_without_the_password(
    uri, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(
        "pfltune.running.session.worker_pool", lambda *_, **__: nullcontext(lambda: None)
    )
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setattr(sys, "argv", ["pfltune", *LINE])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as stop:
        pfltune.cli.main()
    said = capsys.readouterr()
    refused(stop.value.code, said.out, said.err, tmp_path)


@pytest.mark.slow
def test_so_it_is_as_a_process(tmp_path):
    """And Ray, which starts meanwhile, says nothing of it either."""
    done = subprocess.run(
        [PFLTUNE, *LINE],
        capture_output=True,
        text=True,
        timeout=900,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": STORES[0]},
    )
    refused(done.returncode, done.stdout, done.stderr, tmp_path)
