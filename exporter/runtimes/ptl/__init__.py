"""PyTorch's Lite Interpreter."""

from __future__ import annotations

from exporter.runtimes.record import Bundle, Crash, Runtime
from exporter.types import Format

RUNTIME = Runtime(
    format=Format.PTL,
    name="PyTorch Lite Interpreter",
    kind="Lite Interpreter artifact",
    colour=("#d98e04", "#e69f00"),
    is_head=lambda head: False,  # noqa: ARG005 (a zip archive as others are)
    member="bytecode.pkl",
    distribution="torch",
    native="torch",
    tools=("torch", "torchao"),
    passes=(
        "write out attention with a division",  # PyTorch Lite 1.12 has it in no other form
        "conv1d to conv2d",
        "fuse activations",
        "drop dead code",
    ),
    build_rank=3,
    keeps_control_flow=True,
    bundle=Bundle(
        megabytes=146,
        leave_out=(
            *("torch/bin/*", "torch/share/*", "torch/test/*", "torch/onnx/*"),
            *("torch/_dynamo/*", "torch/_inductor/*", "torch/_numpy/*"),
            *("torch/testing/_internal/?*/*", "torch/testing/_internal/common_*"),
            *("torch/lib/libtorchbind_test.so", "torch/lib/libjitbackend_test.so"),
            *("torch/lib/libbackend_with_compiler.so", "torch/lib/libaoti_custom_ops.so"),
        ),
        keep_sources=True,  # importing torch reads comments of its own
        # Importing torch fails where this is missing; it is started only to share tensors.
        add_empty=("torch/bin/torch_shm_manager",),
    ),
    crashes=(
        Crash(
            sign="SIGILL",
            unless="lse",
            meaning="PyTorch's aarch64 wheel, which runs .ptl files here, needs a CPU with atomic "
            "instructions (LSE, Armv8.1); this one has none, and killed it by SIGILL",
        ),
    ),
)
