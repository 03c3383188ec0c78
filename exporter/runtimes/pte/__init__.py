"""ExecuTorch, with as much as possible in XNNPACK."""

from __future__ import annotations

from exporter.runtimes.record import Bundle, Crash, Runtime
from exporter.types import Format

RUNTIME = Runtime(
    format=Format.PTE,
    name="ExecuTorch",
    kind="ExecuTorch artifact",
    colour=("#0072b2", "#56b4e9"),
    # A flatbuffer's file identifier, ET12 in 1.4.
    is_head=lambda head: head[4:6] == b"ET" and head[6:8].isdigit(),
    distribution="executorch",
    native="executorch.extension.pybindings._portable_lib",
    tools=("torch", "executorch", "torchao"),
    passes=(
        "write out recurrence over sequences",
        "write out attention",
        "conv1d to conv2d",
        "fuse activations",
        "fold constants",
        "drop no-ops",
        "drop dead code",
    ),
    build_rank=0,
    bundle=Bundle(megabytes=4),
    crashes=(
        Crash(
            sign="unsupported_hardware",
            unless="fp16",
            meaning="XNNPACK computes an fp16 .pte in fp16, which takes a CPU with half-precision "
            "arithmetic (FP16, Armv8.2); this one has none",
        ),
    ),
)
