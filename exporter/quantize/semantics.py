"""What a precision means, once for every format. Imports nothing heavy: `--help` reads it."""

from __future__ import annotations

from exporter.types import Precision, Scheme

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
    "because they hold next to no weights. Recurrent layers compute in float32, too, and keep "
    "float32 weights in .pte"
)
"""Why a file called int8 still holds float operators."""

DYNAMIC_STAYS_FLOAT = (
    "with dynamic activations a convolution computes in float32, from int8 weights, wherever the "
    "runtime's own dynamic kernel is missing, slower or wrong: depthwise ones everywhere, all of "
    "them in .onnx and .ptl"
)
"""What dynamic adds to `STAYS_FLOAT`."""

MEANING: dict[tuple[Precision, Scheme], str] = {
    (Precision.FP32, Scheme.FLOAT): "float32 weights and compute",
    (Precision.FP16, Scheme.FLOAT): (
        "float16 weights; compute in float16 where the runtime has such kernels, else float32; "
        "inputs and outputs stay float32"
    ),
    (Precision.INT8, Scheme.STATIC): f"{WEIGHTS}; {STATIC_ACTIVATIONS}",
    (Precision.INT8, Scheme.DYNAMIC): f"{WEIGHTS}; {DYNAMIC_ACTIVATIONS}",
}
"""(precision, scheme) -> one sentence, the same for .ptl, .pte, .onnx and .tflite."""


def explain(precision: Precision, scheme: Scheme) -> str:
    """Says what an artifact's precision means and what stays float in it.

    Args:
        precision: of the artifact.
        scheme: of the artifact; `FLOAT` unless it is int8.

    Returns:
        One or two sentences for `--help` and the report.

    Raises:
        KeyError: the two do not go together, such as fp32 with static activations.
    """
    meaning = MEANING[precision, scheme]
    if precision is not Precision.INT8:
        return f"{precision}: {meaning}."
    float_too = f"; {DYNAMIC_STAYS_FLOAT}" if scheme is Scheme.DYNAMIC else ""
    return f"{precision} {scheme}: {meaning}. What stays float: {STAYS_FLOAT}{float_too}."
