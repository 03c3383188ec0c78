"""One artifact on one device: runs it there, judges its outputs, and says what it costs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from exporter import parity
from exporter.device.adb import Device
from exporter.device.emulator import DEFAULT_STORAGE
from exporter.device.job import Result
from exporter.device.probe import state
from exporter.device.session import Session
from exporter.errors import FormatError
from exporter.manifest import Artifact, DeviceRun
from exporter.parity import Mismatch
from exporter.pipeline.count import files, job_for
from exporter.pipeline.exported import Exported
from exporter.pipeline.latency import summarize
from exporter.runtimes import runtime
from exporter.types import (
    DeviceFacts,
    Format,
    Instructions,
    Latency,
    Parity,
    Tell,
    Tensors,
    Verdict,
    Where,
)


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
    storage: str = DEFAULT_STORAGE
    samples: int | None = None


@dataclass(frozen=True)
class _Judged:
    """What the outputs say: a `DeviceRun`'s fields of these names."""

    reason: str | None
    parity: Parity | None = None
    host_parity: Parity | None = None


@dataclass(frozen=True)
class _Counted:
    """Instructions of one inference, or a note on why they could not be counted: likewise."""

    instructions: Instructions | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class DeviceBench:
    """A device that is ready to run artifacts.

    Attributes:
        exported: the output folder.
        host: file -> outputs on each golden sample on this machine.
        device: it.
        facts: what it says of itself.
        session: of ours there.
        layers: layer of the runtime bundle -> its folder there.
        settings: how to run.
        cores: the numbers of those to run on; empty for all.
        count: instructions of one inference, where it is an emulator of ours that can be counted
            on; raises `FormatError` where an artifact cannot.
    """

    exported: Exported
    host: Mapping[str, list[Tensors]]
    device: Device
    facts: DeviceFacts
    session: Session
    layers: Mapping[str, str]
    settings: Settings
    cores: tuple[int, ...]
    count: Callable[[Artifact], Instructions] | None = None

    def run(self, artifact: Artifact, threads: int, tell: Tell) -> DeviceRun:
        """Runs one artifact; what goes wrong with it is in the result.

        Raises:
            DeviceError: the device fails; `lost` if for good.
        """
        file = str(artifact.file)
        if damage := self.exported.damage(artifact):
            return DeviceRun(file=file, threads=threads, verdict=Verdict.FAIL, reason=damage)
        before = state(self.device)
        try:
            result, outputs = self._execute(artifact, threads, tell)
        except FormatError as error:
            reason = explained(error.reason, artifact.format, self.facts.features)
            return DeviceRun(
                file=file, threads=threads, verdict=Verdict.FAIL, reason=reason, before=before
            )
        after = state(self.device)
        judged = self._judge(artifact, outputs)
        counted = _Counted()
        if self.count and threads == 1 and judged.parity:
            tell(f"{artifact.file}: counting instructions")
            counted = _counted(self.count, artifact)
        return DeviceRun(
            file=file,
            threads=threads,
            verdict=Verdict.FAIL if judged.reason else Verdict.PASS,
            reason=judged.reason,
            parity=judged.parity,
            host_parity=judged.host_parity,
            latency_ms=self._latency(result, threads),
            load_ms=None if self.facts.emulated else result.load_ms,
            peak_rss=result.peak_rss,
            instructions=counted.instructions,
            runtime=result.runtime,
            before=before,
            after=after,
            notes=counted.notes,
        )

    def _execute(
        self, artifact: Artifact, threads: int, tell: Tell
    ) -> tuple[Result, list[Tensors]]:
        for path in files(self.exported, artifact):
            self.session.put(path)
        # An emulated device's wall time says nothing, so nothing is timed there.
        timed = not self.facts.emulated
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
            self.layers,
            self.settings.timeout,
            lambda line: tell(f"{artifact.file}: {line}"),
        )

    def _latency(self, result: Result, threads: int) -> Latency | None:
        if self.facts.emulated:
            return None
        latency = summarize(list(result.samples_ms), threads, Where.DEVICE)
        return replace(latency, cold=result.cold_ms)

    def _judge(self, artifact: Artifact, outputs: list[Tensors]) -> _Judged:
        """Parity against the original model and against this machine, and what follows."""
        golden, specs = self.exported.golden, self.exported.manifest.signature.outputs
        try:
            measured = parity.compare(golden.outputs, outputs, golden.labels, specs)
        except Mismatch as error:
            return _Judged(str(error))
        before, host_parity = artifact.golden_parity, None
        if ours := self.host.get(str(artifact.file)):
            with suppress(Mismatch):  # of this machine's outputs, which is not the device's fault
                shown = parity.compare(golden.outputs, ours, golden.labels, specs)
                # What it showed at its export says more, but not of some of the samples only.
                before = shown if before and before.samples != shown.samples else before
                host_parity = parity.compare(ours, outputs, golden.labels, specs)
        reason = self.exported.problem(artifact, measured, before)
        if artifact.verdict is Verdict.FAIL:
            reason = reason or f"failed at export already: {artifact.reason}"
        return _Judged(reason, measured, host_parity)


def _counted(count: Callable[[Artifact], Instructions], artifact: Artifact) -> _Counted:
    try:
        return _Counted(count(artifact))
    except FormatError as error:
        return _Counted(notes=(f"not counted: {error.reason}",))


def explained(reason: str, format: Format, features: tuple[str, ...]) -> str:
    """Why an artifact does not run, where its runtime knows what that means on such a CPU.

    Args:
        reason: what the device said.
        format: of the artifact.
        features: of the CPU.
    """
    crashes = (c for c in runtime(format).crashes if c.sign in reason and c.unless not in features)
    return next((crash.meaning for crash in crashes), reason)
