"""Re-checks an output folder from its manifest and golden data."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from exporter import data, parity
from exporter.errors import FormatError, UserError
from exporter.manifest import FILE_NAME, Artifact, Manifest
from exporter.parity import Mismatch, Tolerance
from exporter.pipeline.options import Progress
from exporter.pipeline.output import sha256
from exporter.pipeline.runner import IsolatedRunner
from exporter.types import Parity, Verdict

_KERNELS_DB = 3.0
"""Another CPU's kernels may round differently; half the noise power more is not a fault."""


def verify(folder: Path, progress: Progress) -> Manifest:
    """Runs every artifact of a folder on its golden data again.

    An artifact passes when its file is the one that was exported, and its outputs on the golden
    samples are within the tolerance it was exported with. What failed at export still fails.

    Returns:
        The manifest with the verdicts and the parity of today, on the golden samples, and without
        the latency, which was measured at export; the folder is not changed.

    Raises:
        UserError: no manifest, or the golden data is missing, changed or damaged.
    """
    manifest = Manifest.read(folder / FILE_NAME)
    if manifest.golden is None:
        raise UserError(f"{folder / FILE_NAME} names no golden data.", "Export again.")
    path = folder / manifest.golden.file
    if not path.is_file() or sha256(path) != manifest.golden.sha256:
        state = "has changed since the export" if path.is_file() else "is missing"
        raise UserError(
            f"{path} {state}, so there is nothing to compare with.", "Restore it, or export again."
        )
    golden = data.read_golden(path)
    checked = []
    with tempfile.TemporaryDirectory() as logs:
        for artifact in manifest.artifacts:
            lane = f"{artifact.precision} {artifact.format}"
            progress.begin(lane, "running the golden samples")
            log = Path(logs) / f"{lane}.log"
            checked.append(_check(artifact, manifest, folder, golden, log))
            progress.finish(lane, checked[-1].reason or "ok")
    compared_on = manifest.evaluation.model_copy(
        update={"origin": manifest.golden.file, "samples": len(golden.samples)}
    )
    return manifest.model_copy(
        update={
            "artifacts": tuple(checked),
            "evaluation": compared_on,
            "reference_latency_ms": None,
        }
    )


def _check(
    artifact: Artifact, manifest: Manifest, folder: Path, golden: data.Golden, log: Path
) -> Artifact:
    artifact = artifact.model_copy(update={"parity": None, "latency_ms": None})  # of the export
    if artifact.file is None:
        return artifact
    for name, digest in {artifact.file: artifact.sha256, **artifact.sidecars}.items():
        if not (folder / name).is_file():  # to read a pipe would never end
            return _failed(artifact, f"{name} is missing")
        if sha256(folder / name) != digest:
            return _failed(artifact, f"{name} has changed since the export (sha256 differs)")
    try:
        with IsolatedRunner(artifact.format, folder / artifact.file, log) as runner:
            measured = parity.compare(
                golden.outputs,
                (runner.run(s) for s in golden.samples),
                golden.labels,
                manifest.signature.outputs,
            )
    except (FormatError, Mismatch) as error:
        return _failed(artifact, str(error))
    artifact = artifact.model_copy(update={"parity": measured})
    problem = parity.judge(measured, _tolerance(artifact), random=manifest.evaluation.random)
    if problem and artifact.verdict is Verdict.PASS:
        return _failed(artifact, f"on the golden samples, {problem}")
    return artifact


def _tolerance(artifact: Artifact) -> Tolerance:
    """The tolerance of the export, loosened to what this artifact itself showed on the few golden
    samples then: one sample of 16 that disagrees is no news if it disagreed before.

    Raises:
        UserError: the manifest holds no bounds to judge by.
    """
    try:
        tolerance = TypeAdapter(Tolerance).validate_python(artifact.tolerance)
    except ValidationError:
        tolerance = Tolerance()
    if tolerance == Tolerance(reason=tolerance.reason):
        raise UserError(
            f"{FILE_NAME} holds no tolerance to judge {artifact.file} by.",
            "Restore it, or export again.",
        )
    before = artifact.golden_parity
    if before is None:
        return tolerance
    return replace(
        tolerance,
        min_agreement=_least(tolerance.min_agreement, before.top1_agreement),
        min_sqnr_db=_least(tolerance.min_sqnr_db, before.sqnr_db - _KERNELS_DB),
        max_drop=_loosest_drop(tolerance.max_drop, before),
    )


def _least(bound: float | None, shown: float | None) -> float | None:
    return bound if bound is None or shown is None else min(bound, shown)


def _loosest_drop(bound: float | None, shown: Parity) -> float | None:
    if bound is None or shown.accuracy is None or shown.reference_accuracy is None:
        return bound
    return max(bound, shown.reference_accuracy - shown.accuracy)


def _failed(artifact: Artifact, reason: str) -> Artifact:
    return artifact.model_copy(update={"verdict": Verdict.FAIL, "reason": reason})
