"""The frozen value types that every station shares. Imports neither torch nor any runtime."""

from __future__ import annotations

from exporter.types.description import (
    Description,
    Needs,
)
from exporter.types.device import (
    DeviceFacts,
    DeviceState,
)
from exporter.types.kinds import (
    FP16,
    FP32,
    INT8_DYNAMIC,
    INT8_STATIC,
    VARIANTS,
    Compute,
    Format,
    Precision,
    Scheme,
    Stage,
    Variant,
    Verdict,
    Where,
)
from exporter.types.outcome import (
    Delegation,
    Instructions,
    Latency,
    Layer,
    Parity,
    PassOutcome,
    StageResult,
)
from exporter.types.tensors import (
    Array,
    Dataset,
    Example,
    RunFn,
    Sample,
    Signature,
    Tell,
    Tensors,
    TensorSpec,
)

__all__ = [
    "FP16",
    "FP32",
    "INT8_DYNAMIC",
    "INT8_STATIC",
    "VARIANTS",
    "Array",
    "Compute",
    "Dataset",
    "Delegation",
    "Description",
    "DeviceFacts",
    "DeviceState",
    "Example",
    "Format",
    "Instructions",
    "Latency",
    "Layer",
    "Needs",
    "Parity",
    "PassOutcome",
    "Precision",
    "RunFn",
    "Sample",
    "Scheme",
    "Signature",
    "Stage",
    "StageResult",
    "Tell",
    "TensorSpec",
    "Tensors",
    "Variant",
    "Verdict",
    "Where",
]
