"""What to build: one job an artifact."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from exporter.pipeline.build import BuildJob
from exporter.pipeline.environment import tools
from exporter.pipeline.prepare import Captured, Reference, Subject
from exporter.quantize.recipe import Recipe
from exporter.runtimes import runtime
from exporter.types import FP32, Format, Precision, Scheme, Variant


def jobs(
    subject: Subject, reference: Reference, captured: Captured, folder: Path
) -> list[BuildJob]:
    """One job for each variant and format that was asked for, slowest toolchain first.

    Of a script that cannot be captured, the artifacts that keep its control flow.
    """
    formats = sorted(subject.options.formats, key=lambda format: runtime(format).build_rank)
    asked = [(variant, format) for variant in subject.variants for format in formats]
    if captured.program is None:
        asked = [a for a in asked if captured.script and _keeps_script(*a)]
    if captured.undecided:
        asked = [(v, f) for v, f in asked if v.precision is not Precision.INT8]
    return [_job(subject, reference, captured, folder, *which) for which in asked]


def _keeps_script(variant: Variant, format: Format) -> bool:
    return variant == FP32 and runtime(format).keeps_control_flow


def tag(variant: Variant, among: Sequence[Variant]) -> str:
    """What a variant is called in file names: its precision, with its scheme where that is shared.

    Args:
        variant: one of `among`.
        among: all variants of the export.
    """
    alone = sum(other.precision is variant.precision for other in among) == 1
    return variant.precision if alone else f"{variant.precision}-{variant.scheme}"


def recipe_files(subject: Subject, captured: Captured) -> dict[str, Recipe]:
    """Name -> each recipe, for a person to read and edit."""
    return {
        f"{subject.name}.{tag(variant, subject.variants)}.recipe.json": recipe
        for variant, recipe in captured.recipes.items()
    }


def _job(
    subject: Subject,
    reference: Reference,
    captured: Captured,
    folder: Path,
    variant: Variant,
    format: Format,
) -> BuildJob:
    bounds = subject.options.bounds
    name = f"{subject.name}.{tag(variant, subject.variants)}.{format}"
    return BuildJob(
        format=format,
        variant=variant,
        program=captured.program,
        script=captured.script,
        recipe=captured.recipes.get(variant),
        signature=subject.exported.signature,
        calibration=captured.calibration if variant.scheme is Scheme.STATIC else None,
        evidence=reference.evidence,
        tolerance=bounds.tolerance(variant, reference.peak),
        float_tolerance=bounds.tolerance(FP32, reference.peak),
        dynamic_batch=subject.options.dynamic_batch,
        target=folder / name,
        digest=_digest(subject, reference, captured, variant, format),
    )


def _digest(
    subject: Subject, reference: Reference, captured: Captured, variant: Variant, format: Format
) -> str:
    """SHA-256 of everything that has a say in an artifact and its verdict."""
    recipe = captured.recipes.get(variant)
    calibration = captured.calibration if variant.scheme is Scheme.STATIC else None
    parts = {
        "format": format,
        "variant": str(variant),
        "model": captured.digest,
        "recipe": recipe.to_json() if recipe else None,
        "signature": asdict(subject.exported.signature),
        "calibration": calibration.digest if calibration else None,
        "evidence": reference.evidence.digest,
        "bounds": asdict(subject.options.bounds),
        "dynamic batch": subject.options.dynamic_batch,
        "tools": dict(tools()),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
