"""One device: opens it, brings the runtime bundle there, and runs every artifact. Works in a worker
process and reports each result as it comes, so that what was measured survives what comes after."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType

from exporter import parity
from exporter.device import emulator
from exporter.device.adb import Adb
from exporter.device.adb import Device as Phone
from exporter.device.affinity import cores
from exporter.device.bundle import Layer, layers
from exporter.device.emulator import counter
from exporter.device.install import install
from exporter.device.job import Result
from exporter.device.probe import clusters, home, probe, require_arm64, state
from exporter.device.session import Session
from exporter.device.survey import clean
from exporter.errors import DeviceError, FormatError, UserError
from exporter.manifest import Artifact, Device, DeviceRun, Facts
from exporter.parity import Mismatch
from exporter.pipeline.count import Counting, files, job_for
from exporter.pipeline.exported import Exported
from exporter.pipeline.latency import summarize
from exporter.types import Format, Tell, Tensors, Verdict, Where

EMULATOR = "emulator"
"""Name of a device that is started for this run; `emulator:cortex-a53` names its CPU as well."""


@dataclass(frozen=True)
class Settings:
    """How artifacts are run.

    Attributes:
        threads: each number of threads to run with.
        runs: timed runs.
        warmup: runs before those, after the cold one.
        cooldown: seconds to wait before each artifact.
        affinity: `big`, `little`, a mask such as `0xf0`, or None for all cores.
        timeout: seconds for one artifact.
        keep_runtime: whether the runtime bundle stays on the device for the next run.
        storage: of an emulator that is started for this run.
        samples: at most so many golden samples are compared; None for all.
    """

    threads: tuple[int, ...] = (1,)
    runs: int = 50
    warmup: int = 5
    cooldown: float = 0.0
    affinity: str | None = None
    timeout: float = 600.0
    keep_runtime: bool = True
    storage: str = emulator.DEFAULT_STORAGE
    samples: int | None = None


@dataclass(frozen=True)
class Finished:
    """A worker's last message."""

    seconds: float


def resolve(names: Sequence[str]) -> tuple[str, ...]:
    """The devices that were named: `auto` becomes the serial of the only one, `emulator:a53` names
    its CPU in full.

    Raises:
        UserError: a device is named twice, there is no such CPU, or `auto` has none or several to
            choose from.
    """
    found = tuple(map(_resolved, names))
    if twice := next((name for name in found if found.count(name) > 1), None):
        raise UserError(f"--device {twice} is given twice.", "Name each device once.")
    return found


def _resolved(name: str) -> str:
    if is_emulator(name):
        return f"{EMULATOR}:{emulator.cpu_name(name.partition(':')[2] or emulator.DEFAULT_CPU)}"
    return Adb().resolve(name).serial if name == "auto" else name


def ready(names: Sequence[str]) -> tuple[tuple[str, ...], list[UserError]]:
    """The devices that can be talked to (or can be started), and what is wrong with the others."""
    found, problems = [], []
    for name in names:
        try:
            found.append(name if is_emulator(name) else Adb().resolve(name).serial)
        except UserError as error:
            problems.append(error)
    return tuple(found), problems


def is_emulator(name: str) -> bool:
    """Whether a device of this name is started by us; `emulator-5554` is Android Studio's."""
    return name == EMULATOR or name.startswith(f"{EMULATOR}:")


def work(
    connection: Connection,
    folder: Path,
    artifacts: Sequence[Artifact],
    name: str,
    settings: Settings,
) -> None:
    """Runs artifacts on one device; sends progress texts, a `Device`, each `DeviceRun`, `Finished`.

    Args:
        connection: to the parent, which sends the outputs on the golden samples on this machine
            (file -> outputs of each sample) while the device is being prepared.
        folder: output folder with the artifacts.
        artifacts: which of them, with a file each.
        name: of the device, as the user named it.
        settings: how to run.
    """
    end_on_sigterm()
    started = time.monotonic()
    tell = connection.send
    with tempfile.TemporaryDirectory() as scratch, _opened(name, settings, tell) as (phone, cpu):
        exported = Exported.read(folder).first(settings.samples, Path(scratch))
        facts = probe(phone)
        require_arm64(facts)
        chosen = cores(settings.affinity, clusters(phone))
        bundle = layers(dict.fromkeys(a.format for a in artifacts), tell)
        counting = _counting(exported, bundle, cpu, Path(scratch, "count"))
        base = home(phone)
        with _left_clean(phone, settings.keep_runtime), Session(phone, base, tell) as session:
            remote = install(phone, base, bundle, tell)
            tell("ready, waiting for this machine's outputs")
            host: Mapping[str, list[Tensors]] = connection.recv()
            device = Device(
                name=name,
                where=Where.EMULATED if facts.emulated else Where.DEVICE,
                facts=facts,
                measured=datetime.now(UTC),
                seconds=0.0,
                options=_options(settings, chosen, facts.emulated),
                bundle={layer.name: layer.digest for layer in bundle},
            )
            connection.send(device)
            bench = _Bench(exported, host, phone, session, remote, settings, chosen, device)
            bench.run_all(artifacts, counting, cpu, connection)
    connection.send(Finished(time.monotonic() - started))


@dataclass(frozen=True)
class _Bench:
    """A device that is ready to run artifacts."""

    exported: Exported
    host: Mapping[str, list[Tensors]]
    phone: Phone
    session: Session
    remote: Mapping[str, str]
    settings: Settings
    cores: tuple[int, ...]
    device: Device

    def run_all(
        self,
        artifacts: Sequence[Artifact],
        counting: Counting | None,
        cpu: str | None,
        connection: Connection,
    ) -> None:
        """Runs artifacts, and sends each result.

        Raises:
            DeviceError: the device has gone; or it had no space for one of the artifacts, or the
                like, and the others have been run.
        """
        tell, trouble = connection.send, None
        for artifact, threads in product(artifacts, self.settings.threads):
            time.sleep(self.settings.cooldown)
            tell(f"{artifact.file}: running")
            try:
                run = self.run(artifact, threads, tell)
            except DeviceError as error:
                if error.lost:
                    raise
                trouble = trouble or error
                continue
            if counting and cpu and threads == 1 and run.parity:
                tell(f"{artifact.file}: counting instructions")
                run = _counted(run, counting, artifact, cpu)
            connection.send(run)
        if trouble:
            raise trouble

    def run(self, artifact: Artifact, threads: int, tell: Tell) -> DeviceRun:
        """Runs one artifact; what goes wrong with it is in the result.

        Raises:
            DeviceError: the device fails; `lost` if for good.
        """
        run = DeviceRun(
            file=str(artifact.file), threads=threads, verdict=Verdict.FAIL, reason="not run"
        )
        if damage := self.exported.damage(artifact):
            return run.model_copy(update={"reason": damage})
        before = state(self.phone)
        try:
            result, outputs = self._execute(artifact, threads, tell)
        except FormatError as error:
            reason = _explained(error.reason, artifact, self.device.facts.features)
            return run.model_copy(update={"reason": reason, "before": before})
        run = run.model_copy(
            update={"before": before, "after": state(self.phone), **self._figures(result, threads)}
        )
        return run.model_copy(update=self._verdict(artifact, outputs))

    def _execute(
        self, artifact: Artifact, threads: int, tell: Tell
    ) -> tuple[Result, list[Tensors]]:
        for path in files(self.exported, artifact):
            self.session.put(path)
        # An emulated device's wall time says nothing, so nothing is timed there.
        timed = self.device.where is Where.DEVICE
        job = job_for(
            self.exported,
            artifact,
            runs=self.settings.runs if timed else 0,
            warmup=self.settings.warmup if timed else 0,
            threads=threads,
            cpus=self.cores,
        )
        return self.session.execute(
            job,
            self.remote,
            self.settings.timeout,
            lambda line: tell(f"{artifact.file}: {line}"),
        )

    def _figures(self, result: Result, threads: int) -> dict[str, object]:
        figures: dict[str, object] = {"runtime": result.runtime, "peak_rss": result.peak_rss}
        if self.device.where is Where.DEVICE:
            latency = summarize(list(result.samples_ms), threads, Where.DEVICE)
            figures["latency_ms"] = replace(latency, cold=result.cold_ms)
            figures["load_ms"] = result.load_ms
        return figures

    def _verdict(self, artifact: Artifact, outputs: list[Tensors]) -> dict[str, object]:
        """Parity against the original model and against this machine, and what follows."""
        golden, specs = self.exported.golden, self.exported.manifest.signature.outputs
        try:
            measured = parity.compare(golden.outputs, outputs, golden.labels, specs)
        except Mismatch as error:
            return {"reason": str(error)}
        found: dict[str, object] = {"parity": measured}
        before = artifact.golden_parity
        if ours := self.host.get(str(artifact.file)):
            with suppress(Mismatch):  # of this machine's outputs, which is not the device's fault
                shown = parity.compare(golden.outputs, ours, golden.labels, specs)
                # What it showed at its export says more, but not of some of the samples only.
                before = shown if before and before.samples != shown.samples else before
                found["host_parity"] = parity.compare(ours, outputs, golden.labels, specs)
        reason = self.exported.problem(artifact, measured, before)
        if artifact.verdict is Verdict.FAIL:
            reason = reason or f"failed at export already: {artifact.reason}"
        return {**found, "reason": reason, "verdict": Verdict.FAIL if reason else Verdict.PASS}


def _explained(reason: str, artifact: Artifact, features: tuple[str, ...]) -> str:
    """Adds what is known of a crash."""
    if "SIGILL" in reason and artifact.format is Format.PTL and "lse" not in features:
        return (
            "PyTorch's aarch64 wheel, which runs .ptl files here, needs a CPU with atomic "
            "instructions (LSE, Armv8.1); this one has none, and killed it by SIGILL"
        )
    if (
        "unsupported_hardware" in reason
        and artifact.format is Format.PTE
        and "fp16" not in features
    ):
        return (
            "XNNPACK computes an fp16 .pte in fp16, which takes a CPU with half-precision "
            "arithmetic (FP16, Armv8.2); this one has none"
        )
    return reason


def _counting(
    exported: Exported, bundle: Sequence[Layer], cpu: str | None, scratch: Path
) -> Counting | None:
    ready = counter.available() if cpu else None
    if ready is None:
        return None
    scratch.mkdir()
    return Counting(exported.first(1, scratch), bundle, ready)  # the device has run all of them


def _counted(run: DeviceRun, counting: Counting, artifact: Artifact, cpu: str) -> DeviceRun:
    try:
        instructions, _ = counting.count(artifact, cpu)
    except FormatError as error:
        return run.model_copy(update={"notes": (f"not counted: {error.reason}",)})
    return run.model_copy(update={"instructions": instructions})


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


@contextmanager
def _left_clean(phone: Phone, keep_runtime: bool) -> Iterator[None]:
    """Removes all of ours from a device at the end, where it has no leave to stay."""
    try:
        yield
    except BaseException as error:
        if not keep_runtime and not (isinstance(error, DeviceError) and error.lost):
            with suppress(DeviceError):  # the reason of the end is worth more
                clean(phone)
        raise
    if not keep_runtime:
        clean(phone)


@contextmanager
def _opened(name: str, settings: Settings, tell: Tell) -> Iterator[tuple[Phone, str | None]]:
    """The device, and the CPU where it is an emulated one of ours."""
    if not is_emulator(name):
        phone = Adb().resolve(name)
        mine = (r.cpu for r in emulator.status() if r.serial == phone.serial)
        yield phone, next(mine, None)
        return
    with emulator.running(name.partition(":")[2], settings.storage, tell) as running:
        adb = Adb()
        adb.connect(running.serial)
        try:
            yield adb.device(running.serial), running.cpu
        finally:
            adb.disconnect(running.serial)
