"""ONNX Runtime."""

from __future__ import annotations

from exporter.runtimes.record import Bundle, Runtime
from exporter.types import Format


def _is_head(head: bytes) -> bool:
    """ModelProto's first field is ir_version, then comes a field of type varint or bytes."""
    return len(head) > 2 and head[0] == 8 and 1 <= head[1] <= 32 and head[2] & 7 in (0, 2)


RUNTIME = Runtime(
    format=Format.ONNX,
    name="ONNX Runtime",
    kind="ONNX model",
    colour=("#009e73", "#2bbd93"),
    is_head=_is_head,
    sidecars=(".data",),  # weights beyond 2 GB
    distribution="onnxruntime",
    native="onnxruntime",
    tools=("torch", "onnx", "onnxscript", "onnxsim", "onnxruntime"),
    build_rank=2,
    bundle=Bundle(
        megabytes=21,
        leave_out=(
            # For programs in C: the Python module has all of it inside.
            "onnxruntime/capi/libonnxruntime.so*",
            *("onnxruntime/backend/*", "onnxruntime/datasets/*", "onnxruntime/quantization/*"),
            *("onnxruntime/tools/*", "onnxruntime/transformers/*", "onnxruntime/*.txt"),
        ),
    ),
)
