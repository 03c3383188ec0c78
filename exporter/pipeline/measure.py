"""One device: opens it, brings the runtime bundle there, and runs every artifact. Works in a worker
process and reports each result as it comes, so that what was measured survives what comes after."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from exporter.device.affinity import cores
from exporter.device.bundle import Layer, layers
from exporter.device.emulator import counter
from exporter.device.install import install
from exporter.device.probe import clusters, home, probe, require_arm64
from exporter.device.session import Session
from exporter.errors import DeviceError
from exporter.manifest import Artifact, DeviceResult, Facts
from exporter.pipeline.count import Counting
from exporter.pipeline.device_run import DeviceBench, Settings
from exporter.pipeline.devices import Target, left_clean, opened
from exporter.pipeline.exported import Exported
from exporter.types import Instructions, Tensors, Where


@dataclass(frozen=True)
class Finished:
    """A worker's last message."""

    seconds: float


def work(
    connection: Connection,
    folder: Path,
    artifacts: Sequence[Artifact],
    target: Target,
    settings: Settings,
) -> None:
    """Runs artifacts on one device.

    Sends progress texts, a `DeviceResult` without runs, each `DeviceRun`, and `Finished`.

    Args:
        connection: to the parent, which sends the outputs on the golden samples on this machine
            (file -> outputs of each sample) while the device is being prepared.
        folder: output folder with the artifacts.
        artifacts: which of them, with a file each.
        target: the device.
        settings: how to run.
    """
    end_on_sigterm()
    started = time.monotonic()
    tell = connection.send
    with tempfile.TemporaryDirectory() as scratch, opened(target, settings.storage, tell) as there:
        exported = Exported.read(folder).first(settings.samples, Path(scratch))
        device = there.device
        facts = probe(device)
        require_arm64(facts)
        chosen = cores(settings.affinity, clusters(device))
        bundle = layers(dict.fromkeys(a.format for a in artifacts), tell)
        count = _count(exported, bundle, there.cpu, Path(scratch, "count"))
        base = home(device)
        with left_clean(device, settings.keep_runtime), Session(device, base, tell) as session:
            remote = install(device, base, bundle, tell)
            tell("ready, waiting for this machine's outputs")
            host: Mapping[str, list[Tensors]] = connection.recv()
            connection.send(
                DeviceResult(
                    name=target.name,
                    where=Where.EMULATED if facts.emulated else Where.DEVICE,
                    facts=facts,
                    measured=datetime.now(UTC),
                    seconds=0.0,
                    options=_options(settings, chosen, facts.emulated),
                    bundle={layer.name: layer.digest for layer in bundle},
                )
            )
            bench = DeviceBench(
                exported, host, device, facts, session, remote, settings, chosen, count
            )
            _run_all(bench, artifacts, connection)
    connection.send(Finished(time.monotonic() - started))


def _run_all(bench: DeviceBench, artifacts: Sequence[Artifact], connection: Connection) -> None:
    """Runs artifacts, and sends each result.

    Raises:
        DeviceError: the device has gone; or it had no space for one of the artifacts, or the
            like, and the others have been run.
    """
    tell, trouble = connection.send, None
    for artifact, threads in product(artifacts, bench.settings.threads):
        time.sleep(bench.settings.cooldown)
        tell(f"{artifact.file}: running")
        try:
            run = bench.run(artifact, threads, tell)
        except DeviceError as error:
            if error.lost:
                raise
            trouble = trouble or error
            continue
        connection.send(run)
    if trouble:
        raise trouble


def _count(
    exported: Exported, bundle: Sequence[Layer], cpu: str | None, scratch: Path
) -> Callable[[Artifact], Instructions] | None:
    """What counts the instructions of an artifact, where there is a counter and a CPU for it."""
    ready = counter.available() if cpu else None
    if cpu is None or ready is None:
        return None
    scratch.mkdir()
    # One sample will do: the device runs all of them.
    counting = Counting(exported.first(1, scratch), bundle, ready)
    return lambda artifact: counting.count(artifact, cpu)[0]


def _options(settings: Settings, cores: tuple[int, ...], emulated: bool) -> Facts:
    """Command line options that had an effect."""
    shared: Facts = {
        "threads": settings.threads,
        "affinity": settings.affinity,
        "cores": cores or None,
        "samples": settings.samples,
    }
    if emulated:  # nothing is timed there
        return shared
    timing: Facts = {
        "runs": settings.runs,
        "warmup": settings.warmup,
        "cooldown": settings.cooldown,
    }
    return {**shared, **timing}


def end_on_sigterm() -> None:
    """Makes SIGTERM an exception, once: contexts then leave the device clean.

    The worker leaves the terminal's process group, so that Ctrl-C does not hit the `adb` that it
    is talking through; the parent hears it, and says when to stop.
    """
    os.setpgid(0, 0)

    def stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001 (shape of a handler)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + number)

    signal.signal(signal.SIGTERM, stop)
