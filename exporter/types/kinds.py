"""What can be asked for, and what can come of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Format(StrEnum):
    """What can be made of a model; the value is the file suffix."""

    PTL = "ptl"
    PTE = "pte"
    ONNX = "onnx"
    TFLITE = "tflite"


class Precision(StrEnum):
    """Of the weights; `exporter.quantize.semantics` says what each one means."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"


class Scheme(StrEnum):
    """How activations are treated: float, quantized with calibrated ranges, or at run time."""

    FLOAT = "float"
    STATIC = "static"
    DYNAMIC = "dynamic"


class Compute(StrEnum):
    """How one operator computes, the least of int8 first."""

    FLOAT = "float"
    WEIGHT_ONLY = "weight-only int8"
    """From int8 weights, in float."""
    DYNAMIC = "dynamic int8"
    STATIC = "static int8"


@dataclass(frozen=True, order=True)
class Variant:
    """What is made of a model in each format: the key of an artifact beside its format.

    Attributes:
        precision: of the weights.
        scheme: of the activations: static or dynamic for int8, float for all else.

    Raises:
        ValueError: the two do not go together.
    """

    precision: Precision
    scheme: Scheme = Scheme.FLOAT

    def __post_init__(self) -> None:
        if (self.precision is Precision.INT8) == (self.scheme is Scheme.FLOAT):
            raise ValueError(f"there is no {self.precision} with {self.scheme} activations")

    def __str__(self) -> str:
        """Such as `int8 static`."""
        return self.precision if self.scheme is Scheme.FLOAT else f"{self.precision} {self.scheme}"


FP32 = Variant(Precision.FP32)
FP16 = Variant(Precision.FP16)
INT8_STATIC = Variant(Precision.INT8, Scheme.STATIC)
INT8_DYNAMIC = Variant(Precision.INT8, Scheme.DYNAMIC)
VARIANTS = (FP32, FP16, INT8_STATIC, INT8_DYNAMIC)
"""All there are."""


class Stage(StrEnum):
    """Where outputs are compared with the original model, in order."""

    CAPTURED = "captured program"
    PASSES = "after passes"
    QUANTIZED = "quantized graph"
    ARTIFACT = "artifact"


class Verdict(StrEnum):
    """The outcome for one artifact."""

    PASS = "pass"
    FAIL = "fail"


class Where(StrEnum):
    """Where a figure was measured. Emulated wall time is never shown as latency."""

    HOST = "host"
    EMULATED = "emulated"
    DEVICE = "device"
