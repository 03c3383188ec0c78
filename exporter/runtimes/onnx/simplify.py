"""Folds constants and removes idle nodes, with onnxsim, and proves that no number changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxsim

from exporter.errors import FormatError
from exporter.runtimes.onnx.engine import short
from exporter.runtimes.onnx.quiet import quiet
from exporter.runtimes.onnx.session import open_session, run_fn
from exporter.runtimes.onnx.storage import SINGLE_FILE_LIMIT, save, weight_bytes
from exporter.types import Array, Sample, Tensors

TOLERANCE = 1e-4
"""Largest change, relative to the largest value of an output. Folding only reorders float32
additions, which moves a deep network's outputs by about 1e-6."""


def simplify(
    model: onnx.ModelProto, example: Sample, folder: Path
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """Simplifies a float model.

    Args:
        model: left as it is.
        example: one sample; outputs before and after must agree on it.
        folder: for temporary files.

    Returns:
        The simplified model without notes, or `model` with the reason why it was kept.
    """
    if weight_bytes(model) > SINGLE_FILE_LIMIT:
        return model, ("not simplified: onnxsim takes models up to 2 GB",)
    try:
        with quiet():
            simplified, checked = onnxsim.simplify(model)
    except Exception as error:  # a C++ library behind it: any RuntimeError, ValueError or its own
        return model, (f"not simplified: onnxsim failed ({short(error)})",)
    problem = (
        "its own check failed" if not checked else _difference(model, simplified, example, folder)
    )
    if problem:
        return model, (f"not simplified: after onnxsim {problem}",)
    return simplified, ()


def _difference(
    model: onnx.ModelProto, simplified: onnx.ModelProto, example: Sample, folder: Path
) -> str:
    """What differs between the two models for the caller, or "" if nothing does."""
    for part in ("input", "output"):
        names = [[v.name for v in getattr(m.graph, part)] for m in (model, simplified)]
        if names[0] != names[1]:
            return f"the {part}s were {', '.join(names[1])}"
    try:
        before, after = (_outputs(m, example, folder) for m in (model, simplified))
    except FormatError as error:
        return f"the model did not run: {error.reason}"
    worst = max((_relative(a, b) for a, b in zip(before, after, strict=True)), default=0.0)
    return "" if worst <= TOLERANCE else f"outputs differed by {worst:.1e} of their largest value"


def _outputs(model: onnx.ModelProto, example: Sample, folder: Path) -> Tensors:
    path = folder / "simplify.onnx"
    save(model, path)
    return run_fn(open_session(path, optimise=False))(example)


def _relative(before: Array, after: Array) -> float:
    """Largest difference over the largest value; infinite where shape, type or NaNs differ."""
    if before.shape != after.shape or before.dtype != after.dtype:
        return float("inf")
    a, b = before.astype(np.float64), after.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return float("inf")
    gap = np.abs(a[finite] - b[finite]).max(initial=0.0)
    return float(gap / max(np.abs(a[finite]).max(initial=0.0), 1e-6)) if gap else 0.0
