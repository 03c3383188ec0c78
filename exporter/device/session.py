"""A run on a device: alone there, in a work folder that goes when it ends, however it ends."""

from __future__ import annotations

import re
import signal
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self

from exporter.device import agent
from exporter.device.adb import Completed, Device, quote
from exporter.device.job import (
    JOB_FILE,
    OUTPUTS_FILE,
    RESULT_FILE,
    Job,
    Result,
    read_outputs,
    read_result,
    to_json,
)
from exporter.device.refusals import Trouble, named, one_line, recognize
from exporter.device.survey import LOCK
from exporter.errors import DeviceError, FormatError
from exporter.types import Tensors

_SILENCE_SECONDS = 30.0
_AGENT = "agent.py"

_KEEP = """
home={home}
mkdir -p "$home" && cd "$home" || exit
if command -v flock >/dev/null
then exec 9>>{lock}; flock -n 9 || {{ echo busy; exit; }}
else echo unlocked
fi
rm -rf work-*
mkdir -m 700 {work} {work}/files && echo ready || exit
cat >/dev/null
rm -rf "$home"/{work}
"""
"""Holds the lock and the work folder until stdin ends, as it does when our process dies."""

_MEANING = {
    signal.SIGILL: "the CPU lacks an instruction that it uses",
    signal.SIGKILL: "out of memory?",
}


class Session:
    """The only run of export-mobile on a device.

    Args:
        device: where.
        home: our folder there, absolute.
        tell: takes a line of progress.

    Raises:
        DeviceError: on entering: another run is at work there.
    """

    def __init__(self, device: Device, home: str, tell: Callable[[str], None]) -> None:
        self._device = device
        self._home = home
        self._tell = tell
        self._jobs = 0
        self._put: set[Path] = set()
        self.work = f"{home}/work-{token_hex(6)}"

    def __enter__(self) -> Self:
        work = quote(self.work.rpartition("/")[2])
        script = _KEEP.format(home=quote(self._home), lock=LOCK, work=work)
        self._kept = self._device.keep(script)
        try:
            self._begin()
        except BaseException:
            with suppress(DeviceError):
                self._kept.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._kept.__exit__(kind, error, trace)

    def put(self, path: Path) -> None:
        """Copies a file into the work folder, once."""
        if path in self._put:
            return
        self._tell(f"sending {path.name}")
        self._device.push(path, f"{self.work}/files/{path.name}")
        self._put.add(path)

    def execute(
        self,
        job: Job,
        layers: Mapping[str, str],
        deadline: float,
        on_line: Callable[[str], None] | None = None,
    ) -> tuple[Result, list[Tensors]]:
        """Runs one artifact.

        Args:
            job: its `model` and `samples` are names of files that were put.
            layers: name of a layer -> its folder on the device.
            deadline: seconds it may take.
            on_line: takes the agent's lines of progress.

        Returns:
            What the agent measured, and the outputs of each sample.

        Raises:
            FormatError: the artifact does not run there.
            DeviceError: the device fails.
        """
        self._jobs += 1
        folder = f"{self.work}/job-{self._jobs}"
        with tempfile.TemporaryDirectory() as name:
            local = Path(name)
            inside = replace(job, model=f"../files/{job.model}", samples=f"../files/{job.samples}")
            (local / JOB_FILE).write_text(to_json(inside), encoding="utf-8")
            for path in (local / JOB_FILE, Path(agent.__file__)):
                self._device.push(path, f"{folder}/{path.name}")
            done = self._run(folder, layers["core"], layers[job.format], deadline, on_line)
            self._judge(done, folder, local)
            self._device.pull(f"{folder}/{OUTPUTS_FILE}", local / OUTPUTS_FILE)
            result, outputs = read_result(local), read_outputs(local, job)
        self._device.run(f"rm -rf {quote(folder)}")
        return result, outputs

    def _begin(self) -> None:
        line = self._kept.line()
        if line == "unlocked":
            self._tell("this device has no `flock`: runs at the same time are not kept apart")
            line = self._kept.line()
        if line == "busy":
            raise DeviceError(
                f"{named(self._device.serial)} is being used by another run of export-mobile.",
                "Wait for it to end, or stop it.",
            )
        if line != "ready":
            why = one_line(self._kept.close().stderr) or "it gave no reason"
            raise DeviceError(
                f"{named(self._device.serial)} has no room for a work folder: {why}.",
                f"Free some space, or: export-mobile devices clean {quote(self._device.serial)}",
            )

    def _run(
        self,
        folder: str,
        core: str,
        overlay: str,
        deadline: float,
        on_line: Callable[[str], None] | None,
    ) -> Completed:
        command = (
            f"cd {quote(folder)} && "
            f"sh {quote(core)}/run.sh {quote(overlay)} {quote(f'{folder}/{_AGENT}')} ."
        )
        try:
            return self._device.stream(
                command, silence=_SILENCE_SECONDS, deadline=deadline, on_line=on_line
            )
        except DeviceError as error:
            if error.lost:
                raise
            raise FormatError(
                f"did not finish within {deadline:g} s on {named(self._device.serial)}"
            ) from error

    def _judge(self, done: Completed, folder: str, local: Path) -> None:
        """Returns where the agent has done its job; else raises why it has not."""
        if recognize(done.stderr) is Trouble.NO_SPACE:
            raise FormatError(f"no space is left on {named(self._device.serial)}")
        if done.code > 128:
            raise FormatError(_killed(done))
        if done.code in (0, 1):
            self._device.pull(f"{folder}/{RESULT_FILE}", local / RESULT_FILE)
            read_result(local)
        if done.code:
            words = _last_words(done.stderr)
            raise FormatError(f"the agent ended with exit code {done.code}: {words}")


def _killed(done: Completed) -> str:
    """Of a process that a signal ended."""
    number = done.code - 128
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    meaning = _MEANING.get(signal.Signals(number)) if number in set(signal.Signals) else None
    words = _last_words(done.stderr)
    said = f"; it said: {words}" if words and number != signal.SIGKILL else ""
    return f"the runtime was killed by {name}" + (f" ({meaning})" if meaning else "") + said


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kept = [line for line in lines if not re.match(r"File \"|Thread 0x|Current thread", line)]
    return one_line(" / ".join(kept[-3:]), 300)
