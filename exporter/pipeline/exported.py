"""An output folder of export-mobile, read back: manifest, golden data and the bounds it was judged
by."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from exporter import data, parity
from exporter.base.files import sha256
from exporter.errors import UserError
from exporter.manifest import FILE_NAME, Artifact, Manifest
from exporter.parity import Tolerance
from exporter.types import Parity

_KERNELS_DB = 3.0
"""Another CPU's kernels may round differently; half the noise power more is not a fault."""


@dataclass(frozen=True)
class Exported:
    """What an export left behind.

    Attributes:
        folder: where it lies.
        manifest: as it was written.
        golden: inputs and the original model's outputs.
        golden_path: the file that holds them.
    """

    folder: Path
    manifest: Manifest
    golden: data.Golden
    golden_path: Path

    @classmethod
    def read(cls, folder: Path) -> Exported:
        """Reads a folder.

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
                f"{path} {state}, so there is nothing to compare with.",
                "Restore it, or export again.",
            )
        return cls(folder, manifest, data.read_golden(path), path)

    def first(self, samples: int | None, scratch: Path) -> Exported:
        """The same with at most so many golden samples, in a file of their own in `scratch`."""
        golden = self.golden
        if samples is None or samples >= len(golden.samples):
            return self
        golden = replace(
            golden,
            samples=golden.samples[:samples],
            outputs=golden.outputs[:samples],
            labels=golden.labels and golden.labels[:samples],
        )
        path = scratch / self.golden_path.name
        data.write_golden(
            path, golden.samples, golden.outputs, golden.labels, self.manifest.signature
        )
        return replace(self, golden=golden, golden_path=path)

    def damage(self, artifact: Artifact) -> str | None:
        """Why the artifact's files are not those that were exported, or None."""
        if artifact.file is None:
            return artifact.reason
        for name, digest in {artifact.file: artifact.sha256, **artifact.sidecars}.items():
            if not (self.folder / name).is_file():  # to read a pipe would never end
                return f"{name} is missing"
            if sha256(self.folder / name) != digest:
                return f"{name} has changed since the export (sha256 differs)"
        return None

    def problem(self, artifact: Artifact, measured: Parity, shown: Parity | None) -> str | None:
        """Why outputs on the golden samples do not hold, or None.

        Args:
            artifact: which one.
            measured: to be judged.
            shown: what the artifact showed elsewhere on the same samples, where that is known.

        Raises:
            UserError: the manifest holds no bounds to judge by.
        """
        tolerance = _tolerance(artifact, shown)
        problem = parity.judge(measured, tolerance, random=self.manifest.evaluation.random)
        return f"on the golden samples, {problem}" if problem else None


def _tolerance(artifact: Artifact, before: Parity | None) -> Tolerance:
    """The tolerance of the export, loosened to what this artifact itself showed on the few golden
    samples before: one sample of 16 that disagrees is no news if it disagreed then.

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
