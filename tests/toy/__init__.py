"""A fifth runtime, in numpy alone: what one folder and one line have to hold; see `test_toy.py`."""

from __future__ import annotations

from exporter.runtimes.record import Crash, Runtime
from exporter.types import Format

MAGIC = b"TOY1"

RUNTIME = Runtime(
    format=Format.TOY,
    name="Toy Runtime",
    kind="toy artifact",
    colour=("#123456", "#abcdef"),
    is_head=lambda head: head.startswith(MAGIC),
    sidecars=(".notes",),
    distribution="numpy",
    native="numpy",
    tools=("torch", "numpy"),
    passes=("drop dead code",),
    build_rank=9,
    crashes=(Crash("SIGTOY", "fp16", "the toy takes a CPU with half-precision arithmetic"),),
)
