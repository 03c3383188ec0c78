"""LiteRT, which was TensorFlow Lite."""

from __future__ import annotations

from exporter.runtimes.record import Bundle, Runtime
from exporter.types import Format

RUNTIME = Runtime(
    format=Format.TFLITE,
    name="LiteRT",
    kind="LiteRT artifact",
    colour=("#c05c94", "#de86b5"),
    is_head=lambda head: head[4:8] == b"TFL3",
    distribution="ai-edge-litert",
    native="ai_edge_litert.interpreter",
    tools=("torch", "litert-torch", "ai-edge-litert", "ai-edge-quantizer"),
    build_rank=1,
    bundle=Bundle(
        megabytes=14,
        leave_out=(
            # For GPUs, and for a newer interface than the interpreter's, which has all inside.
            *("ai_edge_litert/libLiteRtWebGpu*", "ai_edge_litert/libLiteRt.so"),
            *("ai_edge_litert/aot/*", "ai_edge_litert/tools/*", "ai_edge_litert/vendors/*"),
        ),
    ),
)
