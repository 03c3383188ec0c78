"""Does one job, from its file to its results."""

from __future__ import annotations

import faulthandler
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from .engine import Engine, formats, make_engine
from .job import Job, JobError, read_job
from .measure import every_sample, milliseconds_since, timed
from .samples import Samples


class NativeLog:
    """What the runtime's C++ writes to standard error, where some explain themselves."""

    def __init__(self, folder: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (as long as the process)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Standard error goes here; out to where it belongs after all if there is an error."""
        terminal = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        try:
            yield
        except BaseException:
            os.write(terminal, self.text().encode())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)

    def text(self) -> str:
        """All of it."""
        self._file.seek(0)
        return self._file.read().decode(errors="replace")


def run(folder: Path) -> dict[str, object]:
    """Does the job in `folder`; writes the outputs, and returns what belongs into result.json."""
    job = read_job(folder, formats())
    cpus = _pin(job.cpus)  # threads that the runtime starts inherit it
    samples = Samples(job.samples, job.inputs)
    if not job.model.is_file():
        raise JobError(f"there is no file {job.model.name}")
    log = NativeLog(folder)
    with log.capturing():
        engine = make_engine(job)
        with _refusing(engine, job, log, "does not load"):
            start = time.perf_counter_ns()
            engine.load()
            engine.bind(*([(s.name, s.dtype) for s in side] for side in (job.inputs, job.outputs)))
            load_ms = milliseconds_since(start)
        with _refusing(engine, job, log, "does not run"):
            outputs, cold_ms, first = every_sample(engine, job, samples)
            samples_ms = timed(engine, job, first) if job.runs else []
    peak = _peak_rss()
    _write_aside(folder / "outputs.npz", lambda file: np.savez(file, allow_pickle=False, **outputs))
    return {
        "runtime": engine.name,
        "load_ms": load_ms,
        "cold_ms": cold_ms,
        "samples_ms": samples_ms,
        "peak_rss": peak,
        "cpus": cpus,
    }


def _pin(cpus: tuple[int, ...]) -> list[int]:
    """Keeps this process to some cores; those that it got."""
    if cpus:
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as error:
            wanted = ", ".join(map(str, cpus))
            raise JobError(f"the device gives no core of {wanted}: {error.strerror}") from error
    return sorted(os.sched_getaffinity(0))


@contextmanager
def _refusing(engine: Engine, job: Job, log: NativeLog, what: str) -> Iterator[None]:
    """Makes what a runtime raises a `JobError` that names artifact, runtime and cause."""
    try:
        yield
    except MemoryError as error:
        raise JobError(f"{job.model.name} {what} in {engine.name}: no memory left") from error
    except engine.failures as error:
        cause = engine.cause(error, log.text()) or "it does not say why"
        cause = cause.replace(str(job.model), job.model.name)[:_LONGEST_CAUSE]
        raise JobError(f"{job.model.name} {what} in {engine.name}: {cause}") from error


_LONGEST_CAUSE = 300


def _peak_rss() -> int:
    """Bytes; `getrusage` would count what the process was before it became this program."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) * 1024


def _write_aside(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file whole or not at all."""
    aside = path.with_name(path.name + ".part")
    try:
        with aside.open("wb") as file:
            write(file)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)  # on a full disk, result.json needs the room
        raise JobError(f"{path.name} cannot be written: {error.strerror}") from error


def main(arguments: Sequence[str]) -> int:
    """Runs the job in the folder that is named; the exit code."""
    if len(arguments) != 1:
        print("usage: agent.pyz FOLDER", file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    for name in ("result.json", "outputs.npz"):
        (folder / name).unlink(missing_ok=True)  # so that none of an earlier job is left
    code, result = 0, {}
    try:
        result = run(folder)
    except JobError as error:
        print(error, file=sys.stderr)
        code, result = 1, {"error": " ".join(str(error).split())}
    content = json.dumps(result).encode()
    _write_aside(folder / "result.json", lambda file: file.write(content))
    return code


def start() -> None:
    """Runs the job in the folder that the command line names, and ends the process."""
    # A file of its own: standard error is taken away while the runtime works.
    faulthandler.enable(os.fdopen(os.dup(2), "w"))
    status = 3
    try:
        status = main(sys.argv[1:])
    except Exception:
        traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # runtimes' threads and destructors have crashed processes that were done
