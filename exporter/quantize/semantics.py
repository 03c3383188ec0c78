"""What a precision means, once for every format. Imports nothing heavy: `--help` reads it."""

from __future__ import annotations

from typing import assert_never

from exporter.types import Precision, Scheme, Variant

WEIGHTS = "weights int8, symmetric, one scale per output channel (per row for embeddings)"
"""Zero is exactly 0, values lie in -127..127, so no format needs a zero point for its weights."""

STATIC_ACTIVATIONS = "activations int8, one scale and zero point per tensor, from calibration"
"""The ranges are those seen while the calibration samples run through the float model."""

DYNAMIC_ACTIVATIONS = (
    "activations quantized to int8 per tensor at run time, from each input's range"
)
"""No calibration: the range is measured anew in each inference, and results come out as float."""

STAYS_FLOAT = (
    "layer and group norm, softmax, GELU and most curved activations, the two products inside "
    "attention, anything whose values no int8 range can hold (attention masks) and anything a "
    "runtime has no int8 kernel for compute in float32: their error would not be repaid by size, "
    "because they hold next to no weights. Recurrent layers compute in float32, too, but in .pte, "
    "where they are linear layers with dynamic activations"
)
"""Why a file called int8 still holds float operators."""

DYNAMIC_STAYS_FLOAT = (
    "with dynamic activations a convolution computes in float32, from int8 weights, wherever the "
    "runtime's own dynamic kernel is missing, slower or wrong: depthwise ones everywhere, all of "
    "them in .onnx and .ptl"
)
"""What dynamic adds to `STAYS_FLOAT`."""


def meaning(variant: Variant) -> str:
    """One clause, the same for every format."""
    match variant.precision, variant.scheme:
        case Precision.FP32, _:
            return "float32 weights and compute"
        case Precision.FP16, _:
            return (
                "float16 weights; compute in float16 where the runtime has such kernels, else "
                "float32; inputs and outputs stay float32"
            )
        case Precision.INT8, Scheme.STATIC:
            return f"{WEIGHTS}; {STATIC_ACTIVATIONS}"
        case Precision.INT8, _:
            return f"{WEIGHTS}; {DYNAMIC_ACTIVATIONS}"
    assert_never(variant.precision)


def explain(variant: Variant) -> str:
    """Says what a variant means and what stays float in it; for `--help` and the report."""
    if variant.precision is not Precision.INT8:
        return f"{variant}: {meaning(variant)}."
    float_too = f"; {DYNAMIC_STAYS_FLOAT}" if variant.scheme is Scheme.DYNAMIC else ""
    return f"{variant}: {meaning(variant)}. What stays float: {STAYS_FLOAT}{float_too}."
