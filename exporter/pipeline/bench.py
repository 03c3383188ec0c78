"""Runs an output folder on ARM devices and records what was measured there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import FormatError, UserError
from exporter.manifest import FILE_NAME, Artifact, Manifest
from exporter.pipeline import measure, sweep
from exporter.pipeline.device_run import Settings
from exporter.pipeline.devices import Target, reachable
from exporter.pipeline.exported import Exported
from exporter.pipeline.fleet import Fleet
from exporter.pipeline.output import aside, move_into_place
from exporter.pipeline.runner import IsolatedRunner
from exporter.types import Format, Tensors, Verdict

if TYPE_CHECKING:  # it imports torch
    from exporter.pipeline.options import Progress


@dataclass(frozen=True)
class BenchOptions:
    """What the user asked for.

    Attributes:
        folder: an output folder of export-mobile.
        settings: how each artifact is run.
        devices: on which ones.
        formats: which artifacts.
        sweep: CPUs to count instructions on; empty for none.
    """

    folder: Path
    settings: Settings
    devices: tuple[Target, ...] = ()
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
    exported.manifest.require_known(options.folder / FILE_NAME)
    chosen = tuple(a for a in exported.manifest.artifacts if a.file and a.format in options.formats)
    if not chosen:
        raise UserError(
            f"{options.folder} holds no artifact of {', '.join(options.formats)}.",
            "Name other formats, or export again.",
        )
    ready, problems = reachable(options.devices)
    with aside(options.folder) as scratch:
        fleet = Fleet(scratch, progress, problems)
        try:
            for target in ready:
                args = (options.folder, chosen, target, options.settings)
                fleet.start(target.name, measure.work, *args)
            if options.sweep:
                (scratch / "sweep").mkdir()
                fleet.start(
                    "sweep",
                    sweep.work,
                    options.folder,
                    chosen,
                    options.sweep,
                    options.settings.samples,
                    scratch / "sweep",
                )
            if ready:  # while the devices are being prepared
                few = exported.first(options.settings.samples, scratch)
                host = host_outputs(few, chosen, scratch, progress, fleet.catch_up)
                fleet.hand_out(host, [target.name for target in ready])
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


def _publish(folder: Path, scratch: Path, fleet: Fleet) -> Manifest:
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
