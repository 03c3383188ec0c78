"""Assembles the manifest from what was measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from exporter import __version__
from exporter.manifest import (
    Artifact,
    Capture,
    Evidence,
    Facts,
    Golden,
    Manifest,
    Needs,
    Provenance,
    Source,
)
from exporter.pipeline.build import BuildJob, BuildResult
from exporter.pipeline.output import sha256, sidecars
from exporter.pipeline.plan import Captured, Plan
from exporter.runtimes.libraries import lacking
from exporter.types import Dataset, Latency, Precision, Scheme, Verdict

GOLDEN = "golden.npz"

_TOOLS = (
    "torch",
    "executorch",
    "torchao",
    "onnx",
    "onnxscript",
    "onnxsim",
    "onnxruntime",
    "litert-torch",
    "ai-edge-litert",
    "ai-edge-quantizer",
    "numpy",
)


def manifest(
    plan: Plan,
    captured: Captured,
    built: Mapping[BuildJob, BuildResult],
    original: Latency | None,
    folder: Path,
    seconds: float,
) -> Manifest:
    """The manifest of one export.

    Args:
        plan: model and data.
        captured: the program that all artifacts share.
        built: what came of each job.
        original: latency of the eager model.
        folder: where artifacts and golden data lie.
        seconds: the whole job so far.
    """
    calibration = plan.inputs.calibration if _calibrates(plan) else None
    return Manifest(
        name=plan.name,
        created=datetime.now(UTC),
        seconds=seconds,
        source=_source(plan),
        signature=plan.source.signature,
        evidence=Evidence.RANDOM if plan.evidence.random else Evidence.DATA,
        evaluation=_provenance(plan.inputs.evaluation),
        calibration=_provenance(calibration) if calibration else None,
        preprocessing=asdict(plan.preprocess) if plan.preprocess else None,
        options=_options(plan),
        tools=_tools(),
        reference_latency_ms=original,
        capture=Capture(stages=captured.stages, passes=captured.passes, problem=captured.problem),
        golden=Golden(
            file=GOLDEN,
            sha256=sha256(folder / GOLDEN),
            samples=len(plan.evidence.golden.samples),
        ),
        artifacts=_artifacts(plan, captured, built),
        notes=(*plan.inputs.notes, *_label_notes(plan, built)),
    )


def _artifacts(
    plan: Plan, captured: Captured, built: Mapping[BuildJob, BuildResult]
) -> tuple[Artifact, ...]:
    """One entry for each precision and format asked for, in that order, made or not."""
    found = {
        (job.precision, job.format): _artifact(job, result, captured)
        for job, result in built.items()
    }
    asked = [(p, f) for p in plan.options.precisions for f in plan.options.formats]
    return tuple(
        found.get((precision, format))
        or Artifact(
            format=format,
            precision=precision,
            scheme=plan.scheme(precision),
            verdict=Verdict.FAIL,
            reason=captured.problem,
        )
        for precision, format in asked
    )


def _artifact(job: BuildJob, result: BuildResult, captured: Captured) -> Artifact:
    kept = job.target if job.target.exists() else None
    early = next((s.stage for s in captured.stages if s.problem), None)
    return Artifact(
        format=job.format,
        precision=job.precision,
        scheme=job.scheme,
        verdict=Verdict.FAIL if result.problem else Verdict.PASS,
        reason=result.problem,
        file=kept.name if kept else None,
        bytes=_size(kept) if kept else None,
        sha256=sha256(kept) if kept else None,
        sidecars={p.name: sha256(p) for p in sidecars(kept)} if kept else {},
        parity=result.parity,
        golden_parity=result.golden_parity,
        tolerance=asdict(job.tolerance),
        latency_ms=result.latency,
        delegation=result.delegation,
        diverged=early or result.diverged,
        seconds=result.seconds,
        stages=result.stages,
        weight_bytes=result.weight_bytes,
        needs=Needs(facts=result.needs.facts, lacking=lacking(job.format, result.needs)),
        notes=result.notes,
    )


def _size(path: Path) -> int:
    """Bytes of an artifact with its sidecars."""
    return sum(p.stat().st_size for p in (path, *sidecars(path)))


def _source(plan: Plan) -> Source:
    source, load = plan.source, plan.options.load
    tensors = [*source.module.parameters(), *source.module.buffers()]
    return Source(
        target=Path(load.target).name if source.path else load.target,
        kind=source.kind,
        reference_bytes=sum(t.numel() * t.element_size() for t in tensors),
        sha256=source.sha256,
        bytes=source.path.stat().st_size if source.path else None,
        factory=load.factory,
        notes=source.notes,
    )


def _label_notes(plan: Plan, built: Mapping[BuildJob, BuildResult]) -> tuple[str, ...]:
    """Labels that were given, but that no figure could be made of."""
    parities = [result.parity for result in built.values() if result.parity]
    if not plan.evidence.labels or not parities or any(p.accuracy is not None for p in parities):
        return ()
    return ("labels are not used: no output is one row of class scores a sample",)


def _calibrates(plan: Plan) -> bool:
    """Whether calibration data went into an artifact: only static int8 takes any."""
    return Precision.INT8 in plan.options.precisions and plan.int8_scheme is Scheme.STATIC


def _provenance(dataset: Dataset) -> Provenance:
    return Provenance(
        origin=Path(dataset.origin).name,
        samples=len(dataset.samples),
        random=dataset.random,
        labelled=dataset.labels is not None,
    )


def _options(plan: Plan) -> Facts:
    options = plan.options
    return {
        "dynamic_batch": options.dynamic_batch,
        "scheme": plan.int8_scheme.value if Precision.INT8 in options.precisions else None,
        "limit": options.limit,
        "runs": options.runs,
        "threads": options.threads,
    }


def _tools() -> dict[str, str]:
    versions = {tool: metadata.version(tool) for tool in _TOOLS if _installed(tool)}
    machine = f"{platform.system()} {platform.machine()}"
    return {
        "export-mobile": __version__,
        **versions,
        "python": platform.python_version(),
        "platform": machine,
        "cpu": _cpu(),
    }


def _installed(tool: str) -> bool:
    try:
        metadata.version(tool)
    except metadata.PackageNotFoundError:
        return False
    return True


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]} x {len(names)}" if names else platform.processor() or "unknown"
