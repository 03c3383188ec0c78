"""Runs an output folder on ARM devices and records what was measured there."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from exporter.errors import FormatError, UserError
from exporter.manifest import FILE_NAME, Artifact, Device, DeviceRun, Manifest, Sweep, SweepRun
from exporter.pipeline import measure, sweep
from exporter.pipeline.exported import Exported
from exporter.pipeline.output import aside, move_into_place
from exporter.pipeline.runner import IsolatedRunner
from exporter.pipeline.workers import Worker, WorkerBugError, ready
from exporter.types import Format, Tensors, Verdict

if TYPE_CHECKING:  # it imports torch
    from exporter.pipeline.options import Progress

_CLEAN_UP_SECONDS = 20.0
"""For a device to be left clean after Ctrl-C; then its worker is killed."""
_STOPPED = "stopped before all was run"


@dataclass(frozen=True)
class BenchOptions:
    """What the user asked for.

    Attributes:
        folder: an output folder of export-mobile.
        devices: serials, `auto`, or `emulator[:cpu]`.
        formats: which artifacts.
        settings: how each is run.
        sweep: CPUs to count instructions on; empty for none.
    """

    folder: Path
    settings: measure.Settings
    devices: tuple[str, ...] = ()
    formats: tuple[Format, ...] = tuple(Format)
    sweep: tuple[str, ...] = ()


@dataclass(frozen=True)
class BenchResult:
    """What came of it.

    Attributes:
        manifest: as it now lies in the folder.
        devices: names of the devices that something was measured on just now.
        swept: whether instructions were counted on several CPUs just now.
        problems: devices that could not be used, or not to the end.
    """

    manifest: Manifest
    devices: tuple[str, ...]
    swept: bool
    problems: tuple[UserError, ...]

    @property
    def holds(self) -> bool:
        """Whether every artifact holds on every device of this run."""
        devices = (d for d in self.manifest.devices if d.name in self.devices)
        return all(run.verdict is Verdict.PASS for d in devices for run in d.runs)


class BenchStopped(KeyboardInterrupt):
    """Ctrl-C, after what was measured until then has been written."""


def bench(options: BenchOptions, progress: Progress) -> BenchResult:
    """Runs every chosen artifact on every device, and writes the results beside the host's.

    Devices are independent of each other: they work at the same time, each in a process of its
    own, and one that fails costs its own results only. What was measured on a device before is
    replaced.

    Raises:
        UserError: the folder, or an option, is not fit for it.
        BenchStopped: the user stopped it; what was measured until then is in the folder.
    """
    exported = Exported.read(options.folder)
    chosen = tuple(a for a in exported.manifest.artifacts if a.file and a.format in options.formats)
    if not chosen:
        raise UserError(
            f"{options.folder} holds no artifact of {', '.join(options.formats)}.",
            "Name other formats, or export again.",
        )
    ready, problems = measure.ready(measure.resolve(options.devices))
    with aside(options.folder) as scratch:
        fleet = _Fleet(scratch, progress, problems)
        try:
            for name in ready:
                fleet.start(name, measure.work, options.folder, chosen, name, options.settings)
            if options.sweep:
                (scratch / "sweep").mkdir()
                args = (chosen, options.sweep, options.settings.samples, scratch / "sweep")
                fleet.start("sweep", sweep.work, options.folder, *args)
            if ready:  # while the devices are being prepared
                few = exported.first(options.settings.samples, scratch)
                host = host_outputs(few, chosen, scratch, progress, fleet.catch_up)
                fleet.hand_out(host, ready)
            fleet.wait()
        except KeyboardInterrupt:
            fleet.stop()
            if fleet.measured:
                _publish(options.folder, scratch, fleet)
                raise BenchStopped(f"Stopped; what was measured is in {options.folder}.") from None
            raise
        finally:
            fleet.kill()
        manifest = exported.manifest
        if fleet.measured:
            manifest = _publish(options.folder, scratch, fleet)
    return BenchResult(
        manifest,
        tuple(d.name for d in fleet.devices()),
        fleet.sweep() is not None,
        tuple(fleet.problems),
    )


def host_outputs(
    exported: Exported,
    artifacts: Sequence[Artifact],
    logs: Path,
    progress: Progress,
    meanwhile: Callable[[], None] = lambda: None,
) -> dict[str, list[Tensors]]:
    """Outputs of each artifact on the golden samples on this machine; without those that fail.

    Args:
        exported: the output folder.
        artifacts: which of them.
        logs: folder for what the runtimes print.
        progress: told of each artifact.
        meanwhile: called after each, as it takes a while.
    """
    found: dict[str, list[Tensors]] = {}
    for artifact in artifacts:
        if artifact.file is None or exported.damage(artifact):
            continue
        progress.begin("host", f"{artifact.file}: running the golden samples")
        path, log = exported.folder / artifact.file, logs / f"{artifact.file}.log"
        with suppress(FormatError), IsolatedRunner(artifact.format, path, log) as runner:
            found[artifact.file] = [runner.run(s) for s in exported.golden.samples]
        meanwhile()
    progress.finish("host", f"ran {len(found)} of {len(artifacts)} artifacts")
    return found


@dataclass
class _Fleet:
    """One worker a device, and what they have reported so far."""

    logs: Path
    progress: Progress
    problems: list[UserError]
    _running: list[Worker[str]] = field(default_factory=list)
    _opened: dict[str, Device] = field(default_factory=dict)
    _runs: dict[str, list[DeviceRun]] = field(default_factory=dict)
    _swept: list[SweepRun] = field(default_factory=list)
    _stopping: bool = False

    @property
    def measured(self) -> bool:
        """Whether there is anything to write."""
        return any(self._runs.values()) or bool(self._swept)

    def start(self, name: str, target: Callable[..., None], *args: Any) -> None:
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
            for worker in ready(self._running, left):
                self._take(worker)

    def catch_up(self) -> None:
        """Takes the messages that have come by now."""
        while self._running and (telling := ready(self._running, 0)):
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
        for worker in self._running:
            worker.stop()
        self._running.clear()

    def devices(self) -> tuple[Device, ...]:
        """Devices that something was measured on, with their runs."""
        return tuple(
            device.model_copy(update={"runs": tuple(self._runs[name])})
            for name, device in self._opened.items()
            if self._runs[name]
        )

    def sweep(self) -> Sweep | None:
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
        elif isinstance(message, Device):
            self._opened[name] = message
            self._runs.setdefault(name, [])
        elif isinstance(message, DeviceRun):
            self._runs[name].append(message)
        elif isinstance(message, SweepRun):
            self._swept.append(message)
        elif isinstance(message, measure.Finished):
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


def _publish(folder: Path, scratch: Path, fleet: _Fleet) -> Manifest:
    """Adds the results to the folder's manifest as it is now, and renders the report again."""
    from exporter.report import REPORT_NAME, render_html

    written: list[Manifest] = []

    def prepare() -> set[str]:
        manifest = Manifest.read(folder / FILE_NAME)
        news = {device.name: device for device in fleet.devices()}
        kept = (d for d in manifest.devices if d.name not in news)
        manifest = manifest.model_copy(
            update={
                "devices": (*kept, *news.values()),
                "sweep": fleet.sweep() or manifest.sweep,
            }
        )
        Manifest.model_validate_json(manifest.to_json())  # copies are not checked
        manifest.write(scratch / FILE_NAME)
        (scratch / REPORT_NAME).write_text(render_html(manifest), encoding="utf-8")
        written.append(manifest)
        return set()

    move_into_place(scratch, folder, [REPORT_NAME, FILE_NAME], prepare)
    return written[0]
