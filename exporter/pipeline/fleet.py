"""The workers of one run, one a device, and what they have reported so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import FormatError, UserError
from exporter.manifest import DeviceResult, DeviceRun, Sweep, SweepRun
from exporter.pipeline.measure import Finished
from exporter.pipeline.workers import Worker, WorkerBugError, wait_for_any
from exporter.types import Tensors

if TYPE_CHECKING:  # it imports torch
    from exporter.pipeline.options import Progress

_CLEAN_UP_SECONDS = 20.0
"""For a device to be left clean after Ctrl-C; then its worker is killed."""
_STOPPED = "stopped before all was run"


@dataclass
class Fleet:
    """One worker a device, and what they have reported so far."""

    logs: Path
    progress: Progress
    problems: list[UserError]
    _running: list[Worker[str]] = field(default_factory=list)
    _opened: dict[str, DeviceResult] = field(default_factory=dict)
    _runs: dict[str, list[DeviceRun]] = field(default_factory=dict)
    _swept: list[SweepRun] = field(default_factory=list)
    _stopping: bool = False

    @property
    def measured(self) -> bool:
        """Whether there is anything to write."""
        return any(self._runs.values()) or bool(self._swept)

    def start(self, name: str, target: Callable[..., None], *args: Any) -> None:
        """Starts a worker, which sends what `_keep` takes."""
        log = self.logs / f"worker-{len(self._running)}.log"
        # One that is killed leaves its files where the next run removes them.
        worker = Worker.start(name, target, args, log, threads=1, temporary=self.logs)
        self._running.append(worker)
        self.progress.begin(name, "starting")

    def hand_out(self, host: Mapping[str, list[Tensors]], names: Sequence[str]) -> None:
        """Gives the workers of these devices what they compare with."""
        for worker in self._running:
            if worker.tag in names:
                with suppress(FormatError):  # one that has died says so itself
                    worker.send(host)

    def wait(self, seconds: float | None = None) -> None:
        """Takes messages until every worker has ended, or for so long."""
        until = None if seconds is None else time.monotonic() + seconds
        while self._running:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                return
            for worker in wait_for_any(self._running, left):
                self._take(worker)

    def catch_up(self) -> None:
        """Takes the messages that have come by now."""
        while self._running and (telling := wait_for_any(self._running, 0)):
            for worker in telling:
                self._take(worker)

    def stop(self) -> None:
        """Ends every worker, with time to leave its device clean."""
        self._stopping = True
        for worker in self._running:
            worker.process.terminate()
        with suppress(KeyboardInterrupt):
            self.wait(_CLEAN_UP_SECONDS)
        for worker in tuple(self._running):  # its device hangs, or the user is in a hurry
            worker.process.kill()
            self._end(worker, UserError(f"{worker.tag}: {_STOPPED}."))

    def kill(self) -> None:
        """Ends every worker that is left, at once."""
        for worker in self._running:
            worker.stop()
        self._running.clear()

    def devices(self) -> tuple[DeviceResult, ...]:
        """Devices that something was measured on, with their runs."""
        return tuple(
            device.model_copy(update={"runs": tuple(self._runs[name])})
            for name, device in self._opened.items()
            if self._runs[name]
        )

    def sweep(self) -> Sweep | None:
        """What was counted on several CPUs, or None."""
        if not self._swept:
            return None
        cpus = tuple(dict.fromkeys(run.cpu for run in self._swept))
        return Sweep(measured=datetime.now(UTC), cpus=cpus, runs=tuple(self._swept))

    def _take(self, worker: Worker[str]) -> None:
        """Takes one message of a worker; its end, too."""
        name = worker.tag
        try:
            message = worker.receive()
        except UserError as error:
            self._end(worker, error)
        except FormatError as error:
            reason = _STOPPED if self._stopping else error.reason
            self._end(worker, UserError(f"{name}: {reason}."))
        except WorkerBugError as bug:
            self.progress.bug(name, str(bug))
            self._end(worker, UserError(f"{name}: export-mobile itself failed.", "See above."))
        else:
            self._keep(worker, message)

    def _keep(self, worker: Worker[str], message: object) -> None:
        name = worker.tag
        if isinstance(message, str):
            self.progress.begin(name, message)
        elif isinstance(message, DeviceResult):
            self._opened[name] = message
            self._runs.setdefault(name, [])
        elif isinstance(message, DeviceRun):
            self._runs[name].append(message)
        elif isinstance(message, SweepRun):
            self._swept.append(message)
        elif isinstance(message, Finished):
            if name in self._opened:
                self._opened[name] = self._opened[name].model_copy(
                    update={"seconds": message.seconds}
                )
            self.progress.finish(name, f"done in {message.seconds:.0f} s")
            self._running.remove(worker)
            worker.finish()
        else:
            raise TypeError(f"{name} sent a {type(message).__name__}")

    def _end(self, worker: Worker[str], error: UserError) -> None:
        name = worker.tag
        if name in self._opened:
            self._opened[name] = self._opened[name].model_copy(update={"problem": str(error)})
        self.problems.append(error)
        self.progress.finish(name, error.message)
        self._running.remove(worker)
        worker.finish()
