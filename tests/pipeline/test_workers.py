from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exporter.errors import FormatError, UserError
from exporter.pipeline.workers import Worker, WorkerBugError, wait_for_any
from tests.pipeline import crashing

Start = Callable[..., Worker[str]]


@pytest.fixture
def start(tmp_path: Path) -> Any:
    started: list[Worker[str]] = []

    def starter(target: Any, *args: object) -> Worker[str]:
        worker = Worker.start("job", target, args, tmp_path / f"{len(started)}.log", threads=1)
        started.append(worker)
        return worker

    yield starter
    for worker in started:
        worker.stop()


def test_a_message_arrives(start: Start) -> None:
    assert start(crashing.answers, 41).receive() == 42


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_names_the_signal_and_the_last_words(start: Start, number: signal.Signals) -> None:
    with pytest.raises(FormatError) as caught:
        start(crashing.dies, number).receive()
    assert number.name in caught.value.reason
    assert "llvm: cannot lower this" in caught.value.reason


def test_a_kill_from_outside_blames_no_output(start: Start) -> None:
    with pytest.raises(FormatError) as caught:
        start(crashing.dies, signal.SIGKILL).receive()
    assert caught.value.reason == "the native code was killed by SIGKILL (out of memory?)"


def test_what_the_system_refuses_is_the_users_to_mend(start: Start) -> None:
    with pytest.raises(UserError, match=r"No space left on device: model\.onnx"):
        start(crashing.raises, "disk").receive()
    with pytest.raises(FormatError, match="not enough memory"):
        start(crashing.raises, "memory").receive()


@pytest.mark.skipif(sys.platform != "linux", reason="asks the Linux kernel")
def test_a_worker_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from exporter.pipeline.workers import Worker\n"
        "from tests.pipeline import crashing\n"
        "worker = Worker.start('', crashing.stubborn_once_told, (), pathlib.Path(sys.argv[1]), 1)\n"
        "worker.receive()\n"
        "print(worker.process.pid, flush=True)\n"
        "sys.stdin.read()\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code, tmp_path / "log"],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert parent.stdout is not None
    status = Path(f"/proc/{int(parent.stdout.readline())}/status")
    assert status.exists()
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 10
    while status.exists() and "zombie" not in status.read_text():  # nobody may be there to reap it
        assert time.monotonic() < deadline, "the worker outlived its parent"
        time.sleep(0.02)


def test_an_exit_code_is_named(start: Start) -> None:
    with pytest.raises(FormatError, match="exit code 7"):
        start(crashing.exits).receive()


def test_errors_keep_their_kind(start: Start) -> None:
    with pytest.raises(UserError, match="wrong shape use another"):
        start(crashing.raises, "user").receive()
    with pytest.raises(FormatError, match=r"aten\.foo"):
        start(crashing.raises, "format").receive()
    with pytest.raises(WorkerBugError, match="KeyError: 'a bug of ours'"):
        start(crashing.raises, "bug").receive()


def test_asking_a_dead_worker_is_a_format_error(start: Start) -> None:
    worker = start(crashing.dies, signal.SIGABRT)
    worker.process.wait()
    with pytest.raises(FormatError, match="SIGABRT"):
        worker.ask("run")


def test_stop_ends_a_worker_that_would_not(start: Start) -> None:
    worker = start(crashing.stubborn)
    worker.stop()
    assert worker.process.poll() is not None


def test_ready_returns_who_spoke_and_who_died(start: Start) -> None:
    speaks, dead, silent = (
        start(crashing.answers, 0),
        start(crashing.exits),
        start(crashing.stubborn),
    )
    speaks.process.wait()
    dead.process.wait()
    assert wait_for_any([speaks, dead, silent]) == [speaks, dead]
