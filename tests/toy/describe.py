"""Reads what a toy file holds."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from exporter.errors import UserError
from exporter.types import Description, Needs, TensorSpec

from .engine import Engine


def describe(path: Path) -> Description:
    engine = Engine(path, 1, UserError)
    engine.load()
    weights: Counter[str] = Counter()
    for name, array in engine._arrays.items():
        if not name.endswith("/scale"):
            weights[array.dtype.name] += array.nbytes
    signature = engine.header["signature"]
    inputs, outputs = (
        tuple(TensorSpec(s["name"], tuple(s["shape"]), s["dtype"]) for s in signature[side])
        for side in ("inputs", "outputs")
    )
    return Description(
        kind="toy program",
        size=path.stat().st_size,
        inputs=inputs,
        outputs=outputs,
        operators=dict(Counter(s["operator"] for s in engine.header["steps"])),
        weight_bytes=dict(weights),
        needs=Needs({"toy version": "1"}),
    )
