"""How near an artifact is to the original model: metrics, tolerances and the verdict."""

from __future__ import annotations

from exporter.parity.error import Mismatch
from exporter.parity.metrics import compare, peak, top1_output
from exporter.parity.tolerances import Tolerance, default_tolerance, override
from exporter.parity.verdict import judge

__all__ = [
    "Mismatch",
    "Tolerance",
    "compare",
    "default_tolerance",
    "judge",
    "override",
    "peak",
    "top1_output",
]
