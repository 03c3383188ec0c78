"""Running a program in a process group of its own, which ends with this process or its time."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path


class OutOfTimeError(Exception):
    """The program did not end in its time, and was killed."""


def run(
    command: Sequence[str | Path],
    *,
    folder: Path,
    log: Path,
    seconds: float,
    env: Mapping[str, str] | None = None,
    on_line: Callable[[str], None] = lambda _: None,
) -> int:
    """Runs a program to its end, or kills it with all that it started.

    util-linux's setpriv ties it to this process, and its prlimit lets it leave no core dump: set
    between fork and exec in Python, neither would be safe in a program with threads.

    Args:
        command: program and arguments.
        folder: to run in.
        log: file that gets both of its outputs.
        seconds: that it may take.
        env: all of its environment; None for that of this process.
        on_line: is given each line, as it comes.

    Returns:
        The exit code; -n when it died of signal n.

    Raises:
        OutOfTimeError: it took longer.
    """
    late = threading.Event()
    with log.open("w", encoding="utf-8") as file:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "prlimit", "--core=0", "--", *map(str, command)],
            cwd=folder,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            process_group=0,
        )

        def stop() -> None:
            late.set()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            assert process.stdout is not None
            with process.stdout as lines:
                for line in lines:
                    file.write(line)
                    on_line(line.rstrip("\n"))
            code = process.wait()
        finally:
            timer.cancel()
            _kill(process)
    if late.is_set():
        raise OutOfTimeError
    return code


def _kill(process: subprocess.Popen[str]) -> None:
    if process.returncode is None:  # not waited for: the number is nobody else's yet
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
