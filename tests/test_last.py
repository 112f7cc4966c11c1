"""The last handler of every command: one line, no secret, the right exit code."""

import errno
import io
import os
import pty
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import click
import pytest

from pfltune import cli
from pfltune.cli import last
from pfltune.errors import Halted, TrackingError, UserError
from pfltune.running.stopping import ending_when_interrupted, stopping_by_signals

PFLTUNE = str(Path(sys.executable).parent / "pfltune")


def broken_pipe():
    """What click and Rich make of a reader that has gone."""
    try:
        try:
            raise BrokenPipeError
        except BrokenPipeError:
            sys.exit(1)
    except SystemExit as error:
        return error


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (UserError("no such\nthing"), 2, "pfltune: no such thing"),
        (click.UsageError("bad option"), 2, "pfltune: bad option"),
        (Halted("later"), 1, "pfltune: later"),
        (TrackingError("away"), 1, "pfltune: away"),
        (KeyboardInterrupt(), 130, "pfltune: interrupted"),
        (
            ValueError("a\x1b[31mb"),
            1,
            "pfltune: ValueError: a[31mb (pfltune --debug … shows where)",
        ),
        (RecursionError(), 1, "pfltune: RecursionError (pfltune --debug … shows where)"),
        (
            ConnectionError("http://me:secret@host/api: 401"),
            1,
            "pfltune: ConnectionError: http://***@host/api: 401 (pfltune --debug … shows where)",
        ),
        (SystemExit(0), 1, "pfltune: a method or library called sys.exit(0)"),
        (
            OSError(errno.ENOSPC, "No space left on device", "/cache/x.npz"),
            1,
            "pfltune: no room is left on the disk of '/cache/x.npz'; "
            "make room and give the command again",
        ),
        (
            caused(RuntimeError("wrapped"), OSError(errno.EDQUOT, "quota")),
            1,
            "pfltune: no room is left on the disk; make room and give the command again",
        ),
        (
            caused(Halted("full there: set TMPDIR"), OSError(errno.ENOSPC, "full")),
            1,
            "pfltune: full there: set TMPDIR",
        ),
        (broken_pipe(), 141, ""),
        (BrokenPipeError(), 141, ""),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else None,
)
def test_whatever_ends_a_command_is_one_line_and_a_code(error, code, words, capsys, monkeypatch):
    def command(**_):
        raise error

    monkeypatch.setattr(cli, "root", command)
    monkeypatch.setattr(cli, "prepare", lambda: None)
    monkeypatch.setattr(last, "_let_go", lambda _: None)
    monkeypatch.delenv(last.DEBUG, raising=False)
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code == code
    assert capsys.readouterr().err.rstrip("\n") == words


def test_the_traceback_comes_when_it_is_asked_for_and_without_secrets(capsys, monkeypatch):
    monkeypatch.setenv(last.DEBUG, "1")
    with pytest.raises(SystemExit):
        last.fail(ValueError("http://me:secret@host"))
    shown = capsys.readouterr().err
    assert "ValueError: http://***@host" in shown
    assert "me:" not in shown


def test_an_error_of_any_length_is_one_bounded_line():
    message, _ = last.explained(ValueError("word " * 10_000))
    assert len(last.one_line(message)) < 2 * last.LONGEST


def prepared(monkeypatch):
    """Prepare this process as a command does; returns what shows what is printed as errors."""
    for name in ("stderr", "unraisablehook"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(raw, "ascii", write_through=True))
    last.prepare()
    return lambda: raw.getvalue().decode()


def test_threads_logs_and_finalizers_print_no_secret(monkeypatch):
    import logging

    shown_so_far = prepared(monkeypatch)

    def fail():
        raise ValueError("http://me:secret@host ±")

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()

    class Dying:
        def __del__(self):
            fail()

    Dying()
    logger = logging.Logger("library")
    logger.addHandler(logging.StreamHandler())
    try:
        fail()
    except ValueError:
        logger.exception("upload to http://me:secret@host failed")
    shown = shown_so_far()
    assert "me:" not in shown
    first, second, *logged = shown.splitlines()
    assert first == second == "pfltune: ValueError: http://***@host ? (the command goes on)"
    assert logged[0] == "upload to http://***@host failed"


@pytest.mark.thorough
def test_a_stream_that_takes_ascii_only_ends_no_command():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "100"}
    done = subprocess.run(
        [PFLTUNE, "methods"], env=environment, capture_output=True, timeout=900, check=False
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.thorough
def test_a_reader_that_has_read_enough_ends_a_command_quietly():
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [PFLTUNE, "methods"], stdout=writer, stderr=subprocess.PIPE, timeout=900, check=False
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_ask_for_a_clean_stop_and_the_second_one_interrupts(number):
    heard = []
    with stopping_by_signals(lambda: heard.append(1)) as stopping:
        signal.raise_signal(number)
        assert stopping
        assert heard == [1]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)


def test_sighup_that_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stopping_by_signals(lambda: None) as stopping:
            signal.raise_signal(signal.SIGHUP)
            assert not stopping
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_interruption_that_a_library_swallows_ends_the_step_all_the_same():
    before, done = signal.getsignal(signal.SIGINT), []

    @ending_when_interrupted()
    def step():
        with suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        done.append("the rest")

    with pytest.raises(KeyboardInterrupt):
        step()
    assert done
    assert signal.getsignal(signal.SIGINT) is before
    with ending_when_interrupted():
        pass


STOPPED = """
import time
from pfltune.running.stopping import stopping_by_signals
with stopping_by_signals(lambda: print("stopping", flush=True)) as stopping:
    print("up", flush=True)
    while not stopping:
        time.sleep(0.05)
    print("tidied up", flush=True)
"""


def test_a_closed_terminal_keeps_nobody_from_tidying_up():
    """The terminal is gone when SIGHUP comes: printing to it is an error."""
    process, terminal = pty.fork()
    if process == 0:
        os.execv(sys.executable, [sys.executable, "-c", STOPPED])
    assert b"up" in os.read(terminal, 100)
    os.close(terminal)  # the kernel sends SIGHUP
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
