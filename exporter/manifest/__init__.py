"""`manifest.json`: what was exported, from what, how well it holds."""

from __future__ import annotations

from exporter.manifest.artifact import (
    Artifact,
    Capture,
    EvidenceKind,
    Golden,
    Needs,
    Provenance,
    Source,
)
from exporter.manifest.base import Facts
from exporter.manifest.device import DeviceResult, DeviceRun, Sweep, SweepRun
from exporter.manifest.document import FILE_NAME, SCHEMA_REVISION, SCHEMA_VERSION, Manifest

__all__ = [
    "FILE_NAME",
    "SCHEMA_REVISION",
    "SCHEMA_VERSION",
    "Artifact",
    "Capture",
    "DeviceResult",
    "DeviceRun",
    "EvidenceKind",
    "Facts",
    "Golden",
    "Manifest",
    "Needs",
    "Provenance",
    "Source",
    "Sweep",
    "SweepRun",
]
