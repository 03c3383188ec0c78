"""Re-checks an output folder from its manifest and golden data."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter

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
        The manifest with the verdicts and the parity of today; the folder is not changed.

    Raises:
        UserError: no manifest, or the golden data is missing, changed or damaged.
    """
    manifest = Manifest.read(folder / FILE_NAME)
    if manifest.golden is None:
        raise UserError(f"{folder / FILE_NAME} names no golden data.", "Export again.")
    path = folder / manifest.golden.file
    if not path.exists() or sha256(path) != manifest.golden.sha256:
        state = "has changed since the export" if path.exists() else "is missing"
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
            checked.append(_check(artifact, folder, golden, log, random=manifest.evaluation.random))
            progress.finish(lane, checked[-1].reason or "ok")
    return manifest.model_copy(update={"artifacts": tuple(checked)})


def _check(
    artifact: Artifact, folder: Path, golden: data.Golden, log: Path, *, random: bool
) -> Artifact:
    if artifact.file is None:
        return artifact
    for name, digest in {artifact.file: artifact.sha256, **artifact.sidecars}.items():
        if not (folder / name).exists():
            return _failed(artifact, f"{name} is missing")
        if sha256(folder / name) != digest:
            return _failed(artifact, f"{name} has changed since the export (sha256 differs)")
    try:
        with IsolatedRunner(artifact.format, folder / artifact.file, log) as runner:
            measured = parity.compare(
                golden.outputs, (runner.run(s) for s in golden.samples), golden.labels
            )
    except (FormatError, Mismatch) as error:
        return _failed(artifact, str(error))
    problem = parity.judge(measured, _tolerance(artifact), random=random)
    if problem and artifact.verdict is Verdict.PASS:
        return _failed(artifact, f"on the golden samples, {problem}")
    return artifact.model_copy(update={"parity": measured})


def _tolerance(artifact: Artifact) -> Tolerance:
    """The tolerance of the export, loosened to what this artifact itself showed on the few golden
    samples then: one sample of 16 that disagrees is no news if it disagreed before."""
    tolerance = TypeAdapter(Tolerance).validate_python(artifact.tolerance)
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
