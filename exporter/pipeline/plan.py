"""Everything that is known before the first artifact is built."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from exporter import data, loading, parity, passes
from exporter.errors import FormatError
from exporter.pipeline.build import BuildJob, eager
from exporter.pipeline.evidence import Inputs, choose_scheme, gather
from exporter.pipeline.options import ExportOptions, Progress
from exporter.pipeline.stages import Evidence, StageLog
from exporter.types import Format, Precision, Scheme, Stage, StageResult


@dataclass(frozen=True)
class Plan:
    """One export: the model, the data, the original's outputs.

    Attributes:
        options: what the user asked for.
        name: base name of the artifacts.
        source: the model.
        preprocess: how images become inputs, where that was given.
        inputs: calibration and evaluation data.
        evidence: evaluation samples with the original's outputs.
        int8_scheme: how int8 activations are treated.
        peak: largest magnitude of the original's outputs.
    """

    options: ExportOptions
    name: str
    source: loading.SourceModel
    preprocess: data.Preprocess | None
    inputs: Inputs
    evidence: Evidence
    int8_scheme: Scheme
    peak: float

    def scheme(self, precision: Precision) -> Scheme:
        """How activations are treated at a precision."""
        return self.int8_scheme if precision is Precision.INT8 else Scheme.FLOAT

    def tolerance(self, precision: Precision) -> parity.Tolerance:
        """What an artifact of a precision must hold."""
        return self.options.bounds.tolerance(precision, self.scheme(precision), self.peak)


@dataclass(frozen=True)
class Captured:
    """The model as a program, once for all artifacts.

    Attributes:
        program: file of the program; None where the model could not be captured.
        stages: what capture and the shared passes did to the outputs.
        passes: names of the passes that changed the graph.
        problem: why there is no program.
    """

    program: Path | None
    stages: tuple[StageResult, ...] = ()
    passes: tuple[str, ...] = ()
    problem: str | None = None


def plan(options: ExportOptions, progress: Progress) -> Plan:
    """Loads model and data, and runs the original model on every evaluation sample.

    Raises:
        UserError: the model or the data cannot be used; the message says why.
    """
    preprocess = data.parse_preprocess(options.preprocess) if options.preprocess else None
    progress.begin("model", "loading")
    request = options.load
    if options.example:
        request = replace(request, example=data.read_example(options.example, preprocess))
    source = loading.load(request)
    progress.begin("model", "reading data")
    specs = source.signature.inputs
    inputs = gather(specs, options.calibration, options.evaluation, preprocess, options.limit)
    progress.begin("model", f"running the original on {len(inputs.evaluation.samples)} samples")
    evidence = Evidence.of(source.run, inputs.evaluation, source.signature.outputs)
    return Plan(
        options=options,
        name=options.name or source.name,
        source=source,
        preprocess=preprocess,
        inputs=inputs,
        evidence=evidence,
        int8_scheme=choose_scheme(options.scheme, inputs.calibration),
        peak=parity.peak(evidence.reference),
    )


def capture(plan: Plan, target: Path, progress: Progress) -> Captured:
    """Captures the model, runs the shared passes, and saves the program for the workers."""
    import torch

    exact = plan.tolerance(Precision.FP32)
    log = StageLog(plan.evidence, exact, exact, lambda text: progress.begin("model", text))
    try:
        log.announce("capturing")
        program = loading.capture(plan.source, plan.options.dynamic_batch)
        log.check(Stage.CAPTURED, eager(program))
        log.announce("passes")
        program, outcomes = passes.apply(program, passes.SHARED)
        log.check(Stage.PASSES, eager(program))
    except FormatError as error:
        progress.finish("model", f"cannot be captured: {error.reason}")
        return Captured(None, tuple(log.results), problem=error.reason)
    torch.export.save(program, target)
    progress.finish("model", "captured")
    return Captured(target, tuple(log.results), tuple(o.name for o in outcomes if o.changed))


def jobs(plan: Plan, captured: Captured, folder: Path) -> list[BuildJob]:
    """One job for each precision and format that was asked for, slowest toolchain first."""
    if captured.program is None:
        return []
    order = [f for f in _SLOWEST_FIRST if f in plan.options.formats]
    return [
        _job(plan, captured.program, folder, p, f) for p in plan.options.precisions for f in order
    ]


_SLOWEST_FIRST = (Format.PTE, Format.TFLITE, Format.ONNX, Format.PTL)


def _job(plan: Plan, program: Path, folder: Path, precision: Precision, format: Format) -> BuildJob:
    scheme = plan.scheme(precision)
    calibration = plan.inputs.calibration
    return BuildJob(
        format=format,
        precision=precision,
        scheme=scheme,
        program=program,
        signature=plan.source.signature,
        calibration=calibration.samples if calibration and scheme is Scheme.STATIC else (),
        evidence=plan.evidence,
        tolerance=plan.tolerance(precision),
        float_tolerance=plan.tolerance(Precision.FP32),
        dynamic_batch=plan.options.dynamic_batch,
        target=folder / f"{plan.name}.{precision}.{format}",
    )
