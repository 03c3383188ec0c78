"""Counts what really runs as int8: in the graph that ONNX Runtime makes of the file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import onnx
from onnx import GraphProto

from exporter.errors import FormatError
from exporter.runtimes.onnx.session import open_session

_INT8 = {
    "convolutions": ("QLinearConv", "ConvInteger"),
    "matrix products": (
        *("QGemm", "QLinearMatMul", "MatMulInteger", "MatMulIntegerToFloat"),
        "DynamicQuantizeMatMul",
    ),
}
"""What the user knows -> the kernels that compute it in int8."""

_WRITTEN = {
    "convolutions": ("Conv", "ConvTranspose", "ConvInteger"),
    "matrix products": ("Gemm", "MatMul", "MatMulInteger"),
}
"""What the user knows -> the operators that say so in the file."""


def int8_share(model: Path, folder: Path) -> tuple[str, ...]:
    """Says how many convolutions and matrix products of an int8 file run as int8.

    Products of two activations, as inside attention, hold no weight and do not count.

    Args:
        model: the file.
        folder: for temporary files.
    """
    copy = folder / "optimised.onnx"
    try:
        open_session(model, optimised_copy=copy)
    except FormatError as error:  # the copy cannot be written beyond 2 GB
        return (f"what runs as int8 could not be counted: {error.reason}",)
    runs = _with_weights(onnx.load(copy, load_external_data=False).graph)
    written = _with_weights(onnx.load(model, load_external_data=False).graph)
    notes = []
    total = 0
    for name, kernels in _INT8.items():
        as_int8 = sum(runs[k] for k in kernels)
        whole = sum(written[k] for k in _WRITTEN[name])
        total += as_int8
        if whole:
            notes.append(f"{as_int8} of {whole} {name} run as int8")
    if not total:
        return ("NOTHING RUNS AS INT8: only the file is smaller; all compute is float32",)
    return tuple(notes)


def _with_weights(graph: GraphProto) -> Counter[str]:
    """Operator -> nodes that read a constant matrix, stored as it is or as scaled int8."""
    scalars = {t.name for t in graph.initializer if len(t.dims) < 2}
    constants = {t.name for t in graph.initializer} - scalars
    for node in graph.node:
        is_load = node.op_type in ("DequantizeLinear", "Cast", "Mul")
        if is_load and constants.union(scalars).issuperset(node.input):
            constants.update(node.output)
    return Counter(n.op_type for n in graph.node if constants.intersection(n.input[1:]))
