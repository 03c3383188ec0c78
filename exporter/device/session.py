"""One run's time on a device: nobody else's meanwhile, and nothing of it stays there afterwards."""

from __future__ import annotations

import re
import shlex
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Self

from exporter.base.files import sha256
from exporter.device.adb import Completed, Device, quote
from exporter.device.bundle import CORE
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
from exporter.device.kept import Kept
from exporter.device.pack import AGENT_FILE, write_agent
from exporter.device.refusals import Trouble, explain, named, one_line, recognize, refusal
from exporter.device.survey import LOCK
from exporter.device.transfer import pull, push
from exporter.errors import DeviceError, FormatError
from exporter.types import Tell, Tensors

_SILENCE_S = 20.0
_CLEAN_S = 30.0
_HASTE_S = 5.0
"""To clean up after what went wrong; the device does it by itself once the link has ended."""
_GROUP_FILE = "group"

# The shell that runs it holds the lock until its stdin ends: with the session, or with this
# process, however that dies, or with the link.
_OPEN = """mkdir -p -m 700 {home} || exit
if [ -L {home} ] || [ ! -O {home} ]; then echo 'Permission denied: it is not ours' >&2; exit 1; fi
if command -v flock >/dev/null
then exec 9>>{lock}; flock -n 8 8>&9 || {{ echo busy; exit 0; }}
else mkdir {lock}.d || {{ echo locked; exit 0; }}
fi
rm -rf {home}/work-*
if mkdir -m 700 {work} && mkdir {work}/files
then echo ready; cat >/dev/null; fi
rm -rf {work} || {{ sleep 1; rm -rf {work}; }}
[ ! -d {lock}.d ] || rmdir {lock}.d
"""

_RUN = """cd {folder} && echo $$ >{group} && exec sh {core}/run.sh {overlay} {agent} {folder}"""

_END = """read -r group <{folder}/{group} && tries=0 &&
while kill -9 -$group && [ $tries -lt 100 ]; do tries=$((tries + 1)); sleep 0.1; done
rm -rf {folder}
"""
"""adb's shells lead process groups, so that nothing of the run is left when this has ended."""

_MEANINGS = {
    signal.SIGILL: "the CPU lacks an instruction that it uses",
    signal.SIGKILL: "out of memory?",
    signal.SIGSYS: "the device forbids a system call that it makes",
}


class Session:
    """The device for ourselves, with a folder of our own there, for the length of a `with`.

    Args:
        device: where.
        home: our folder there; see `exporter.device.probe.home`.
        tell: takes a line of progress before something that may take seconds.

    Raises:
        DeviceError: on entering; another run uses the device, or nothing can be written there.
    """

    def __init__(self, device: Device, home: str, tell: Tell) -> None:
        self._device, self._home, self._tell = device, home, tell
        self._work = f"{home}/work-{token_hex(8)}"
        self._stack = ExitStack()
        self._put: dict[str, str] = {}
        self._jobs = 0

    def __enter__(self) -> Self:
        words = {"home": self._home, "lock": f"{self._home}/{LOCK}", "work": self._work}
        script = _OPEN.format(**{name: quote(word) for name, word in words.items()})
        with ExitStack() as stack:
            kept = stack.enter_context(Kept(self._device, script))
            if (line := kept.line()) != "ready":
                raise self._refused(line, kept)
            with tempfile.TemporaryDirectory() as scratch:
                push(self._device, write_agent(Path(scratch)), f"{self._work}/{AGENT_FILE}")
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def put(self, path: Path) -> str:
        """Brings a file into the session's folder, where jobs find it by its name.

        A file that is there with the same content is not sent again; one of the same name with
        another content is replaced.

        Returns:
            Its path on the device.
        """
        remote = f"{self._work}/files/{path.name}"
        digest = sha256(path)
        if self._put.get(path.name) != digest:
            self._put.pop(path.name, None)
            self._tell(f"{path.name}: sending {path.stat().st_size / 1e6:.2f} MB")
            push(self._device, path, remote)
            self._put[path.name] = digest
        return remote

    def execute(
        self,
        job: Job,
        layers: Mapping[str, str],
        deadline: float,
        on_line: Callable[[str], None] | None = None,
    ) -> tuple[Result, list[Tensors]]:
        """Runs one artifact in a process of its own.

        Args:
            job: `model` and `samples` are names of files that were `put`.
            layers: folder of each layer of the runtime there, as `install` returns them.
            deadline: seconds that it may take.
            on_line: called with each line that the agent writes.

        Returns:
            What was measured, and the outputs of each sample.

        Raises:
            FormatError: the artifact cannot be run; others may.
            DeviceError: the device, or the way to it, fails; `lost` if for good.
        """
        with self._folder() as folder:
            self._send(job, folder)
            command = _RUN.format(
                folder=quote(folder),
                group=_GROUP_FILE,
                core=quote(layers[CORE]),
                overlay=quote(layers[job.format]),
                agent=quote(f"{self._work}/{AGENT_FILE}"),
            )
            started = time.monotonic()
            try:
                done = self._device.stream(
                    command, silence=_SILENCE_S, deadline=deadline, on_line=on_line
                )
            except DeviceError as error:
                if error.lost or time.monotonic() < started + deadline:
                    raise
                raise FormatError(f"did not finish within {deadline:g} s") from error
            return self._results(job, done, folder)

    @contextmanager
    def _folder(self) -> Iterator[str]:
        """A folder for one job; when it goes, nothing that ran in it is running any more."""
        self._jobs += 1
        folder = f"{self._work}/job-{self._jobs}"
        end = f"{{ {_END.format(folder=quote(folder), group=_GROUP_FILE)} }} 2>/dev/null"
        try:
            yield folder
        except BaseException as error:
            if not (isinstance(error, DeviceError) and error.lost):
                with suppress(DeviceError):
                    self._device.run(end, timeout=_HASTE_S)
            raise
        self._device.run(end, timeout=_CLEAN_S)

    def _send(self, job: Job, folder: str) -> None:
        if missing := {job.model, job.samples} - self._put.keys():
            raise ValueError(f"{missing} were not put")
        theirs = replace(job, model=f"../files/{job.model}", samples=f"../files/{job.samples}")
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / JOB_FILE
            file.write_text(to_json(theirs), encoding="utf-8")
            push(self._device, file, f"{folder}/{JOB_FILE}")

    def _results(self, job: Job, done: Completed, folder: str) -> tuple[Result, list[Tensors]]:
        if done.code and recognize(_last_words(done.stderr)) is Trouble.NO_SPACE:
            raise refusal(Trouble.NO_SPACE, self._device.serial, f" while {named(job.model)} ran")
        if done.code > 1:
            raise FormatError(_ending(done))
        with tempfile.TemporaryDirectory() as scratch:
            local = Path(scratch)
            try:
                pull(self._device, f"{folder}/{RESULT_FILE}", local / RESULT_FILE)
            except DeviceError as error:
                if error.lost or not done.code:
                    raise
                raise FormatError(_ending(done)) from error  # it did not come that far
            result = read_result(local)
            pull(self._device, f"{folder}/{OUTPUTS_FILE}", local / OUTPUTS_FILE)
            return result, read_outputs(local, job)

    def _refused(self, line: str | None, kept: Kept) -> DeviceError:
        """Why the session cannot begin."""
        serial = named(self._device.serial)
        busy = f"{serial} is being used by another run of export-mobile."
        if line == "busy":
            return DeviceError(busy, "Wait until it has ended, or stop it, and try again.")
        if line == "locked":
            return DeviceError(
                busy,
                "If there is none: the device was switched off during one. Then: "
                f"export-mobile devices clean {shlex.quote(self._device.serial)}",
            )
        text = kept.close().stderr
        trouble = recognize(text)
        if trouble in (Trouble.DENIED, Trouble.READ_ONLY, Trouble.NO_SPACE):
            return refusal(trouble, self._device.serial, f": {named(self._home)}")
        return explain(text, self._device.serial)


def _ending(done: Completed) -> str:
    """Why a process ended that did not do its work."""
    words = _last_words(done.stderr)
    try:
        number = signal.Signals(done.code - 128)
    except ValueError:
        return f"the runtime failed: {words or f'exit code {done.code}, it gave no reason'}"
    meaning = _MEANINGS.get(number)
    return (
        f"the runtime was killed by {number.name}"
        + (f" ({meaning})" if meaning else "")
        + (f": {words}" if words else "")
    )


def _last_words(text: str) -> str:
    """The last line of stderr that a runtime wrote, or the last of a traceback."""
    own = text.partition("Fatal Python error: ")[0]  # after which comes where the interpreter was
    lines = [line.strip() for line in own.splitlines() if not _OF_A_DEATH.match(line)]
    return one_line(lines[-1]) if lines else ""


_OF_A_DEATH = re.compile(
    rf"\s*$|qemu: |({'|'.join(filter(None, map(signal.strsignal, signal.Signals)))})\b[^:]*$"
)
"""Lines of shells and qemu about a signal, such as `Segmentation fault (core dumped)`."""
