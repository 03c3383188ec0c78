"""Everything that is known before the first artifact is built."""

from __future__ import annotations

import io
from collections.abc import Callable
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
        script: file of the TorchScript itself, in the place of a program that could not be had.
        stages: what capture and the shared passes did to the outputs.
        passes: names of the passes that changed the graph.
        problem: why there is no program.
    """

    program: Path | None
    stages: tuple[StageResult, ...] = ()
    passes: tuple[str, ...] = ()
    problem: str | None = None
    script: Path | None = None


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
    elif reference := options.evaluation or options.calibration:
        request = replace(request, sample=lambda n: data.first_sample(reference, n, preprocess))
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
        script = _keep_script(plan, target.with_name("script.pt"))
        return Captured(None, tuple(log.results), problem=error.reason, script=script)
    _write(target, lambda buffer: torch.export.save(program, buffer))
    progress.finish("model", "captured")
    return Captured(target, tuple(log.results), tuple(o.name for o in outcomes if o.changed))


def _keep_script(plan: Plan, target: Path) -> Path | None:
    """Saves TorchScript as it is, flat inputs apart; None where there is none that can be kept."""
    import torch

    if not plan.source.script:
        return None
    try:
        script = loading.flat_script(plan.source)
    except FormatError:
        return None  # the reason of the capture is the one to tell
    _write(target, lambda buffer: torch.jit.save(script, buffer))
    return target


def _write(target: Path, save: Callable[[io.BytesIO], None]) -> None:
    """Writes what torch saves: torch itself ends the process where a disk is full."""
    buffer = io.BytesIO()
    save(buffer)
    target.write_bytes(buffer.getbuffer())


def jobs(plan: Plan, captured: Captured, folder: Path) -> list[BuildJob]:
    """One job for each precision and format that was asked for, slowest toolchain first.

    Of a script that cannot be captured, the one artifact that keeps its control flow.
    """
    asked = [
        (precision, format)
        for precision in plan.options.precisions
        for format in _SLOWEST_FIRST
        if format in plan.options.formats
    ]
    if captured.program is None:
        asked = [a for a in asked if captured.script and a == (Precision.FP32, Format.PTL)]
    return [_job(plan, captured, folder, *which) for which in asked]


_SLOWEST_FIRST = (Format.PTE, Format.TFLITE, Format.ONNX, Format.PTL)


def _job(
    plan: Plan, captured: Captured, folder: Path, precision: Precision, format: Format
) -> BuildJob:
    scheme = plan.scheme(precision)
    calibration = plan.inputs.calibration
    return BuildJob(
        format=format,
        precision=precision,
        scheme=scheme,
        program=captured.program,
        script=captured.script,
        signature=plan.source.signature,
        calibration=calibration.samples if calibration and scheme is Scheme.STATIC else (),
        evidence=plan.evidence,
        tolerance=plan.tolerance(precision),
        float_tolerance=plan.tolerance(Precision.FP32),
        dynamic_batch=plan.options.dynamic_batch,
        target=folder / f"{plan.name}.{precision}.{format}",
    )
