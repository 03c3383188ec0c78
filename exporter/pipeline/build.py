"""Builds and proves one artifact, in a worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from exporter.errors import FormatError
from exporter.parity import Mismatch, Tolerance
from exporter.pipeline.audit import audit, share_notes, written
from exporter.pipeline.stages import Evidence, StageLog
from exporter.runtimes import (
    TAKES_QUANTIZED_GRAPH,
    load_convert,
    load_convert_script,
    load_runner,
)
from exporter.runtimes.api import Conversion, ConvertJob
from exporter.types import (
    Delegation,
    Format,
    Latency,
    Needs,
    Parity,
    Precision,
    RunFn,
    Sample,
    Scheme,
    Signature,
    Stage,
    StageResult,
    Tensors,
)

if TYPE_CHECKING:
    from torch.export import ExportedProgram


@dataclass(frozen=True, eq=False)  # arrays have no equality; a job is itself
class BuildJob:
    """One artifact to build.

    Attributes:
        program: file of the captured program (torch.export.save), after the shared passes.
        script: file of the TorchScript to convert where there is no program.
        target: the file to write.
    """

    format: Format
    precision: Precision
    scheme: Scheme
    program: Path | None
    script: Path | None
    signature: Signature
    calibration: tuple[Sample, ...]
    evidence: Evidence
    tolerance: Tolerance
    float_tolerance: Tolerance
    dynamic_batch: bool
    target: Path

    @property
    def lane(self) -> str:
        """What the progress display and the log file call this job."""
        return f"{self.precision} {self.format}"


@dataclass(frozen=True)
class BuildResult:
    """What came of a `BuildJob`.

    Attributes:
        stages: each stage of its own, in order.
        parity: the artifact in its runtime, on all evaluation samples; None where it does not run.
        golden_parity: the same on the samples of golden.npz.
        delegation: for runtimes with delegates.
        weight_bytes: element type -> bytes, read from the artifact.
        needs: what the library that runs the artifact must have.
        notes: what the user should know.
        latency: filled in when everything is built.
        problem: why the artifact does not hold, or None.
        diverged: the first stage that is out of tolerance.
        seconds: what it took.
    """

    stages: tuple[StageResult, ...] = ()
    parity: Parity | None = None
    golden_parity: Parity | None = None
    delegation: Delegation | None = None
    weight_bytes: dict[str, int] = field(default_factory=dict)
    needs: Needs = field(default_factory=Needs)
    notes: tuple[str, ...] = ()
    latency: Latency | None = None
    problem: str | None = None
    diverged: Stage | None = None
    seconds: float = 0.0


def work(connection: Connection, job: BuildJob) -> None:
    """The worker's target: sends progress texts, then the `BuildResult`."""
    connection.send(build(job, connection.send))


def build(job: BuildJob, announce: Callable[[str], None]) -> BuildResult:
    """Converts, loads back, compares and audits one artifact.

    Args:
        job: what to build.
        announce: called with what begins, for the progress display.
    """
    start = time.perf_counter()
    log = StageLog(job.evidence, job.tolerance, job.float_tolerance, announce)
    result = BuildResult()
    try:
        conversion = _convert(job, log)
        result = replace(result, delegation=conversion.delegation, notes=conversion.notes)
        announce("loading back")
        result = _prove(job, log, result)
    except FormatError as error:
        result = replace(result, problem=error.reason)
    except Mismatch as mismatch:  # all samples together may vary where the golden few do not
        result = replace(result, problem=f"on the golden samples, {mismatch}")
    wrong = log.diverged
    return replace(
        result,
        stages=tuple(log.results),
        problem=result.problem or _artifact_problem(log),
        diverged=wrong.stage if wrong else None,
        seconds=time.perf_counter() - start,
    )


def _convert(job: BuildJob, log: StageLog) -> Conversion:
    """Passes, quantization and conversion; checks each stage on the way."""
    if job.program is None:
        return _convert_script(job, log)
    from torch.export import load

    from exporter import passes
    from exporter.quantize.half import to_half
    from exporter.quantize.pt2e import quantize

    log.announce("passes")
    program, outcomes = passes.apply(load(job.program), passes.FOR_FORMAT[job.format])
    if any(o.changed for o in outcomes):
        log.check(Stage.PASSES, eager(program))
    if job.format in TAKES_QUANTIZED_GRAPH and job.precision is not Precision.FP32:
        log.announce("quantizing")
        program = (
            quantize(program, job.scheme, job.calibration or job.evidence.samples[:1])
            if job.precision is Precision.INT8
            else to_half(program)
        )
        log.check(Stage.QUANTIZED, eager(program))
    log.announce("converting")
    convert_job = ConvertJob(
        program=program,
        signature=job.signature,
        precision=job.precision,
        scheme=job.scheme,
        calibration=job.calibration,
        example=job.evidence.samples[0],
        dynamic_batch=job.dynamic_batch,
        target=job.target,
    )
    return load_convert(job.format)(convert_job, log.check)


def _convert_script(job: BuildJob, log: StageLog) -> Conversion:
    """Conversion of TorchScript that cannot be captured."""
    import torch

    log.announce("converting the TorchScript")
    return load_convert_script()(
        torch.jit.load(job.script, map_location="cpu"),
        job.signature,
        job.evidence.samples[0],
        job.target,
        dynamic_batch=job.dynamic_batch,
    )


def eager(program: ExportedProgram) -> RunFn:
    """Runs a program in eager PyTorch, on and with numpy arrays."""
    import torch

    module = program.module()

    def run(sample: Sample) -> Tensors:
        with torch.no_grad():
            outputs = module(*(torch.from_numpy(x.copy()) for x in sample))
        return tuple(o.numpy() for o in outputs)

    return run


def _prove(job: BuildJob, log: StageLog, result: BuildResult) -> BuildResult:
    """Adds the facts about a written artifact: parity in its runtime, what it holds and needs."""
    with load_runner(job.format)(job.target, 1) as runner:
        measured = log.check(Stage.ARTIFACT, runner.run)
        golden = job.evidence.golden.measure(runner.run) if measured.parity else None
    described = written(job.format, job.target)
    weights = described.weight_bytes
    return replace(
        result,
        parity=measured.parity,
        golden_parity=golden,
        weight_bytes=weights,
        needs=described.needs,
        notes=(*result.notes, *share_notes(job.precision, weights)),
        problem=audit(job.precision, weights),
    )


def _artifact_problem(log: StageLog) -> str | None:
    """What is wrong with the artifact itself: an earlier stage may stray and the end still hold."""
    return next((s.problem for s in log.results if s.stage is Stage.ARTIFACT), None)
