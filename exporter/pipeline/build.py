"""Builds and proves one artifact, in a worker process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path

from exporter.base.eager import eager
from exporter.data import Stored
from exporter.errors import FormatError
from exporter.parity import Mismatch, Tolerance
from exporter.pipeline.audit import audit, share_notes, written
from exporter.pipeline.stages import Evidence, StageLog
from exporter.quantize.recipe import Recipe
from exporter.runtimes import runtime
from exporter.runtimes.api import Conversion, ConvertJob
from exporter.runtimes.load import load_convert, load_convert_script, load_runner
from exporter.types import (
    Compute,
    Delegation,
    Format,
    Latency,
    Layer,
    Needs,
    Parity,
    PassOutcome,
    Signature,
    Stage,
    StageResult,
    Variant,
)


@dataclass(frozen=True, eq=False)  # arrays have no equality; a job is itself
class BuildJob:
    """One artifact to build.

    Attributes:
        program: file of the captured program (torch.export.save), after the shared passes.
        script: file of the TorchScript to convert where there is no program.
        recipe: what becomes of each operator; None unless the variant is int8.
        calibration: a few samples, where the variant is static.
        target: the file to write.
        digest: of everything that has a say in the result.
    """

    format: Format
    variant: Variant
    program: Path | None
    script: Path | None
    recipe: Recipe | None
    signature: Signature
    calibration: Stored | None
    evidence: Evidence
    tolerance: Tolerance
    float_tolerance: Tolerance
    dynamic_batch: bool
    target: Path
    digest: str

    @property
    def lane(self) -> str:
        """What the progress display and the log file call this job."""
        return f"{self.variant} {self.format}"


@dataclass(frozen=True)
class BuildResult:
    """What came of a `BuildJob`.

    Attributes:
        stages: each stage of its own, in order.
        passes: what each pass for this format alone did.
        layers: how each operator with weights or products computes, where the variant is int8.
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
    passes: tuple[PassOutcome, ...] = ()
    layers: tuple[Layer, ...] = ()
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
        result = _converted(job, log)
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


def _converted(job: BuildJob, log: StageLog) -> BuildResult:
    """Passes and conversion; checks each stage on the way."""
    if job.program is None:
        conversion = _convert_script(job, log)
        return BuildResult(delegation=conversion.delegation, notes=conversion.notes)
    from torch.export import load

    from exporter import passes

    log.announce("passes")
    program, outcomes = passes.apply(load(job.program), passes.for_format(job.format))
    if any(o.changed for o in outcomes):
        log.check(Stage.PASSES, eager(program))
    log.announce("converting")
    convert_job = ConvertJob(
        program=program,
        signature=job.signature,
        variant=job.variant,
        recipe=job.recipe,
        calibration=tuple(job.calibration or ()),
        example=job.evidence.samples[0],
        dynamic_batch=job.dynamic_batch,
        target=job.target,
    )
    conversion = load_convert(job.format)(convert_job, log.check)
    return BuildResult(
        passes=tuple(o for o in outcomes if o.notable),
        layers=_layers(job, conversion) if job.recipe else (),
        delegation=conversion.delegation,
        notes=conversion.notes,
    )


def _layers(job: BuildJob, conversion: Conversion) -> tuple[Layer, ...]:
    """How each operator of the recipe that multiplies, or is said to be int8, computes."""
    assert job.recipe
    name = runtime(job.format).name
    found = []
    for step in job.recipe.steps:
        compute = conversion.computes.get(step.node, Compute.FLOAT)
        if not step.macs and compute is Compute.FLOAT:
            continue
        lost = compute is Compute.FLOAT and step.compute is not Compute.FLOAT
        why = f"{name} has no int8 kernel for it here" if lost else step.why
        found.append(
            Layer(step.node, step.operator, step.module, step.source, compute, step.macs, why)
        )
    return tuple(found)


def _convert_script(job: BuildJob, log: StageLog) -> Conversion:
    """Conversion of TorchScript that cannot be captured."""
    import torch

    log.announce("converting the TorchScript")
    return load_convert_script(job.format)(
        torch.jit.load(job.script, map_location="cpu"),
        job.signature,
        job.evidence.samples[0],
        job.target,
        dynamic_batch=job.dynamic_batch,
    )


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
        notes=(*result.notes, *share_notes(job.variant.precision, weights)),
        problem=audit(job.variant.precision, weights),
    )


def _artifact_problem(log: StageLog) -> str | None:
    """What is wrong with the artifact itself: an earlier stage may stray and the end still hold."""
    return next((s.problem for s in log.results if s.stage is Stage.ARTIFACT), None)
