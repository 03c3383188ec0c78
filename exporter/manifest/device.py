"""What was measured on devices, and counted on emulated CPUs."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import AwareDatetime, Field, model_validator

from exporter.manifest.base import Facts, FileName, Record, Seconds, Sha256, Size
from exporter.types import (
    DeviceFacts,
    DeviceState,
    Instructions,
    Latency,
    Parity,
    Verdict,
    Where,
)


class DeviceRun(Record):
    """One artifact on one device with one number of threads.

    Attributes:
        file: the artifact.
        threads: of the runtime.
        verdict: whether its outputs there hold.
        reason: why not; set exactly when the verdict is `fail`.
        parity: on the golden samples, against the original model.
        host_parity: on the golden samples, against the same artifact on this machine.
        latency_ms: warm inference; never of an emulated device.
        load_ms: from opening the file to being ready to run; never of an emulated device.
        peak_rss: bytes of the process, runtime and Python included (and qemu where emulated).
        instructions: of an emulated device, where they were counted.
        runtime: name and version of the runtime there.
        before: state of the device before the run.
        after: and after it.
        notes: what the user should know.
    """

    file: FileName
    threads: Annotated[int, Field(ge=1)]
    verdict: Verdict
    reason: str | None = None
    parity: Parity | None = None
    host_parity: Parity | None = None
    latency_ms: Latency | None = None
    load_ms: Annotated[float, Field(ge=0)] | None = None
    peak_rss: Size | None = None
    instructions: Instructions | None = None
    runtime: str | None = None
    before: DeviceState | None = None
    after: DeviceState | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _verdict_is_backed(self) -> Self:
        if (self.verdict is Verdict.FAIL) != bool(self.reason):
            raise ValueError(f"verdict is {self.verdict}, and the reason is {self.reason!r}")
        if self.verdict is Verdict.PASS and self.parity is None:
            raise ValueError("verdict is pass, but missing: parity")
        return self


class DeviceResult(Record):
    """What was measured on one device.

    Attributes:
        name: as the user named it: a serial, or such as `emulator:cortex-a76`.
        where: `device`, or `emulated`.
        facts: what it says of itself.
        measured: when, UTC.
        seconds: from the command to the last result.
        options: command line options of interest.
        bundle: layer of the runtime bundle -> digest of what was run.
        runs: each artifact with each number of threads, in the order they were run.
        problem: why it ended before all was run, such as a cable that was pulled, or None.
        notes: what the user should know about the whole.
    """

    name: str
    where: Where
    facts: DeviceFacts
    measured: AwareDatetime
    seconds: Seconds
    options: Facts = Field(default_factory=dict)
    bundle: dict[str, Sha256] = Field(default_factory=dict)
    runs: tuple[DeviceRun, ...] = ()
    problem: str | None = None
    notes: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _time_is_real(self) -> Self:
        """Emulated wall time says nothing of any device, and is never kept as if it did."""
        if self.where is Where.HOST:
            raise ValueError("where is host, which is no device")
        if self.facts.emulated != (self.where is Where.EMULATED):
            raise ValueError(f"where is {self.where}, but emulated is {self.facts.emulated}")
        for run in self.runs if self.where is Where.EMULATED else ():
            if run.latency_ms is not None or run.load_ms is not None:
                raise ValueError(f"{run.file} has wall time of an emulated device")
        for run in self.runs if self.where is Where.DEVICE else ():
            if run.latency_ms is not None and run.latency_ms.where is not Where.DEVICE:
                raise ValueError(f"{run.file} has latency of {run.latency_ms.where}")
        return self


class SweepRun(Record):
    """One artifact on one emulated CPU.

    Attributes:
        file: the artifact.
        cpu: such as `cortex-a53`.
        instructions: of one inference, or None where it does not run.
        reason: why it does not run.
        max_abs: largest difference of any output on the golden samples from the first CPU's.
    """

    file: FileName
    cpu: str
    instructions: Instructions | None = None
    reason: str | None = None
    max_abs: Annotated[float, Field(ge=0)] | None = None


class Sweep(Record):
    """Cost and outputs of every artifact on several generations of CPUs.

    Attributes:
        measured: when, UTC.
        cpus: in order of age; the first one that an artifact runs on is what its outputs are
            compared with.
        runs: each artifact on each CPU.
    """

    measured: AwareDatetime
    cpus: tuple[str, ...]
    runs: tuple[SweepRun, ...]
