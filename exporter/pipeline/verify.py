"""Re-checks an output folder from its manifest and golden data."""

from __future__ import annotations

import tempfile
from pathlib import Path

from exporter import parity
from exporter.errors import FormatError
from exporter.manifest import Artifact, Manifest
from exporter.parity import Mismatch
from exporter.pipeline.exported import Exported
from exporter.pipeline.options import Progress
from exporter.pipeline.runner import IsolatedRunner
from exporter.types import Verdict


def verify(folder: Path, progress: Progress) -> Manifest:
    """Runs every artifact of a folder on its golden data again.

    An artifact passes when its file is the one that was exported, and its outputs on the golden
    samples are within the tolerance it was exported with. What failed at export still fails.

    Returns:
        The manifest with the verdicts and the parity of today, on the golden samples, and without
        what was measured at another time: the latency, and devices. The folder is not changed.

    Raises:
        UserError: no manifest, or the golden data is missing, changed or damaged.
    """
    exported = Exported.read(folder)
    manifest = exported.manifest
    checked = []
    with tempfile.TemporaryDirectory() as logs:
        for artifact in manifest.artifacts:
            lane = f"{artifact.variant} {artifact.format}"
            progress.begin(lane, "running the golden samples")
            checked.append(_check(artifact, exported, Path(logs) / f"{lane}.log"))
            progress.finish(lane, checked[-1].reason or "ok")
    compared_on = manifest.evaluation.model_copy(
        update={
            "origin": exported.golden_path.name,
            "samples": len(exported.golden.samples),
        }
    )
    return manifest.model_copy(
        update={
            "artifacts": tuple(checked),
            "evaluation": compared_on,
            "reference_latency_ms": None,
            "devices": (),
            "sweep": None,
        }
    )


def _check(artifact: Artifact, exported: Exported, log: Path) -> Artifact:
    artifact = artifact.model_copy(update={"parity": None, "latency_ms": None})  # of the export
    if artifact.file is None:
        return artifact
    if damage := exported.damage(artifact):
        return _failed(artifact, damage)
    golden = exported.golden
    try:
        with IsolatedRunner(artifact.format, exported.folder / artifact.file, log) as runner:
            measured = parity.compare(
                golden.outputs,
                (runner.run(s) for s in golden.samples),
                golden.labels,
                exported.manifest.signature.outputs,
            )
    except (FormatError, Mismatch) as error:
        return _failed(artifact, str(error))
    artifact = artifact.model_copy(update={"parity": measured})
    problem = exported.problem(artifact, measured, artifact.golden_parity)
    if problem and artifact.verdict is Verdict.PASS:
        return _failed(artifact, problem)
    return artifact


def _failed(artifact: Artifact, reason: str) -> Artifact:
    return artifact.model_copy(update={"verdict": Verdict.FAIL, "reason": reason})
