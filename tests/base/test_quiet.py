from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import pytest

from exporter.base.quiet import STDERR, STDOUT, hushed, silenced

PRELUDE = """
import os, sys
from exporter.base.quiet import STDERR, STDOUT, redirected, silenced

def say():
    # As Python does, which may hold it back, and as native code does, around Python's back.
    for stream, handle in ((sys.stdout, STDOUT), (sys.stderr, STDERR)):
        print("python", file=stream)
        stream.flush()
        os.write(handle, b"native\\n")

"""


def heard(code: str, *words: str) -> tuple[str, str]:
    """What a process lets through to its stdout and stderr."""
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(code), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout, done.stderr


def test_only_the_streams_that_are_named_are_silent() -> None:
    spoken = "python\nnative\n"
    assert heard("with silenced(STDERR): say()") == (spoken, "")
    assert heard("with silenced(STDOUT): say()") == ("", spoken)
    assert heard("with silenced(STDOUT, STDERR): say()") == ("", "")
    assert heard("with redirected(STDERR, STDOUT): say()") == ("", 2 * spoken)


def test_what_was_said_before_and_after_is_heard() -> None:
    code = """
    print("before")
    try:
        with silenced(STDOUT):
            print("inside")
            raise KeyError
    except KeyError:
        print("after")
    """
    assert heard(code) == ("before\nafter\n", "")


def test_streams_go_to_a_file(tmp_path: Path) -> None:
    code = """
    with open(sys.argv[1], "wb") as log, redirected(log.fileno(), STDOUT, STDERR):
        say()
    """
    assert heard(code, str(tmp_path / "log")) == ("", "")
    assert (tmp_path / "log").read_text() == 2 * "python\nnative\n"


def test_handles_are_given_back() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with silenced(STDOUT, STDERR):
        pass
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_process_without_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    with silenced(STDERR):
        os.write(STDERR, b"native\n")


def test_logs_up_to_a_level_and_warnings_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    with warnings.catch_warnings(record=True) as warned, hushed(logging.WARNING):
        warnings.warn("dropped", stacklevel=1)
        logging.getLogger("x").warning("dropped")
        logging.getLogger("x").error("kept")
    logging.getLogger("x").warning("after")
    assert caplog.messages == ["kept", "after"]
    assert not warned
