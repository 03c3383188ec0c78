"""Assembles the manifest from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import product
from pathlib import Path

from exporter.base.files import sha256
from exporter.manifest import (
    Artifact,
    Capture,
    EvidenceKind,
    Facts,
    Golden,
    Manifest,
    Needs,
    Provenance,
    Source,
)
from exporter.pipeline.build import BuildJob, BuildResult
from exporter.pipeline.environment import tools
from exporter.pipeline.plan import recipe_files
from exporter.pipeline.prepare import Captured, Reference, Subject
from exporter.runtimes import runtime
from exporter.runtimes.libraries import lacking
from exporter.types import Dataset, Format, Latency, Precision, Verdict

GOLDEN = "golden.npz"


def manifest(
    subject: Subject,
    reference: Reference,
    captured: Captured,
    built: Mapping[BuildJob, BuildResult],
    original: Latency | None,
    folder: Path,
    seconds: float,
) -> Manifest:
    """The manifest of one export.

    Args:
        subject: model and data.
        reference: what the original model gives.
        captured: the program that all artifacts share.
        built: what came of each job.
        original: latency of the eager model.
        folder: where artifacts and golden data lie.
        seconds: the whole job so far.
    """
    calibration = subject.inputs.calibration if subject.calibrates else None
    return Manifest(
        name=subject.name,
        created=datetime.now(UTC),
        seconds=seconds,
        source=_source(subject),
        signature=subject.original.signature,
        evidence=EvidenceKind.RANDOM if reference.evidence.random else EvidenceKind.DATA,
        evaluation=_provenance(subject.inputs.evaluation),
        calibration=_provenance(calibration) if calibration else None,
        preprocessing=asdict(subject.preprocess) if subject.preprocess else None,
        options=_options(subject),
        tools=dict(tools()),
        reference_latency_ms=original,
        capture=Capture(
            stages=captured.stages,
            passes=captured.passes,
            recipes=tuple(recipe_files(subject, captured)),
            problem=captured.problem,
        ),
        golden=Golden(
            file=GOLDEN,
            sha256=sha256(folder / GOLDEN),
            samples=len(reference.evidence.golden.samples),
        ),
        artifacts=_artifacts(subject, captured, built),
        notes=(*subject.inputs.notes, *_label_notes(reference, built)),
    )


def _artifacts(
    subject: Subject, captured: Captured, built: Mapping[BuildJob, BuildResult]
) -> tuple[Artifact, ...]:
    """One entry for each variant and format asked for, in that order, made or not."""
    found = {
        (job.variant, job.format): _artifact(job, result, captured) for job, result in built.items()
    }
    return tuple(
        found.get((variant, format))
        or Artifact(
            format=format,
            precision=variant.precision,
            scheme=variant.scheme,
            verdict=Verdict.FAIL,
            reason=captured.problem or captured.undecided,
        )
        for variant, format in product(subject.variants, subject.options.formats)
    )


def _artifact(job: BuildJob, result: BuildResult, captured: Captured) -> Artifact:
    kept = job.target if job.target.exists() else None
    early = next((s.stage for s in captured.stages if s.problem), None)
    return Artifact(
        format=job.format,
        precision=job.variant.precision,
        scheme=job.variant.scheme,
        verdict=Verdict.FAIL if result.problem else Verdict.PASS,
        reason=result.problem,
        file=kept.name if kept else None,
        bytes=_size(kept, job.format) if kept else None,
        sha256=sha256(kept) if kept else None,
        sidecars={p.name: sha256(p) for p in _sidecars(kept, job.format)} if kept else {},
        parity=result.parity,
        golden_parity=result.golden_parity,
        tolerance=asdict(job.tolerance),
        latency_ms=result.latency,
        delegation=result.delegation,
        diverged=early or result.diverged,
        seconds=result.seconds,
        stages=result.stages,
        passes=result.passes,
        layers=result.layers,
        weight_bytes=result.weight_bytes,
        needs=Needs(facts=result.needs.facts, lacking=lacking(job.format, result.needs)),
        notes=result.notes,
    )


def _sidecars(path: Path, format: Format) -> list[Path]:
    """Further files of an artifact, where it has any."""
    paths = (path.with_name(path.name + ending) for ending in runtime(format).sidecars)
    return [p for p in paths if p.exists()]


def _size(path: Path, format: Format) -> int:
    """Bytes of an artifact with its sidecars."""
    return sum(p.stat().st_size for p in (path, *_sidecars(path, format)))


def _source(subject: Subject) -> Source:
    source, load = subject.original, subject.options.load
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


def _label_notes(reference: Reference, built: Mapping[BuildJob, BuildResult]) -> tuple[str, ...]:
    """Labels that were given, but that no figure could be made of."""
    parities = [result.parity for result in built.values() if result.parity]
    if (
        not reference.evidence.labels
        or not parities
        or any(p.accuracy is not None for p in parities)
    ):
        return ()
    return ("labels are not used: no output is one row of class scores a sample",)


def _provenance(dataset: Dataset) -> Provenance:
    return Provenance(
        origin=Path(dataset.origin).name,
        samples=len(dataset.samples),
        random=dataset.random,
        labelled=dataset.labels is not None,
    )


def _options(subject: Subject) -> Facts:
    options = subject.options
    schemes = tuple(v.scheme.value for v in subject.variants if v.precision is Precision.INT8)
    return {
        "dynamic_batch": options.dynamic_batch,
        "scheme": schemes or None,
        "recipe": options.recipe.name if options.recipe else None,
        "limit": options.limit,
        "runs": options.runs,
        "threads": options.threads,
    }
