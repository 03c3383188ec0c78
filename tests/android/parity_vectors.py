"""Outputs against outputs, with the exporter's metrics and verdicts."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from exporter import types
from exporter.errors import UserError
from exporter.parity import Mismatch, Tolerance, compare, default_tolerance, judge, top1_output
from exporter.types import Array, TensorSpec

SAMPLES, CLASSES = 12, 5
LOGITS = TensorSpec("output_0", (1, CLASSES), "float32")

FP32 = default_tolerance(types.FP32, peak=3.0)
FP16 = default_tolerance(types.FP16)
INT8 = default_tolerance(types.INT8_STATIC)


@dataclass(frozen=True)
class Case:
    """What is compared: one array an output, samples on its first axis."""

    name: str
    wanted: tuple[Array, ...]
    got: tuple[Array, ...]
    outputs: tuple[TensorSpec, ...] = (LOGITS,)
    labels: tuple[int, ...] | None = None
    tolerance: Tolerance = INT8
    random: bool = False


def parity_vectors() -> tuple[list[dict[str, Any]], dict[str, Array]]:
    """Cases with what the exporter says of them, and arrays.

    The arrays are `<case>/wanted/<output>` and `<case>/got/<output>`.
    """
    cases: list[dict[str, Any]] = []
    arrays: dict[str, Array] = {}
    for case in _cases():
        cases.append(_judged(case))
        for side, columns in (("wanted", case.wanted), ("got", case.got)):
            arrays |= {f"{case.name}/{side}/{i}": column for i, column in enumerate(columns)}
    return cases, arrays


def top1_vectors() -> list[dict[str, Any]]:
    """Outputs, and which of them the exporter takes for class scores."""
    named = [
        (("output_0", (1, 10), "float32"),),
        (("embedding", (1, 10), "float32"),),
        (("hidden_state", (1, 10), "float32"), ("scores", (1, 3), "float16")),
        (("scores", (1, 3), "float32"), ("Logits", (1, 3), "float32")),
        (("classes", (1, 3), "int64"), ("one", (1, 1), "float32"), ("flat", (3,), "float32")),
    ]
    found = []
    for outputs in named:
        specs = [TensorSpec(*output) for output in outputs]
        found.append({"outputs": [asdict(s) for s in specs], "top1": top1_output(specs)})
    return found


def _judged(case: Case) -> dict[str, Any]:
    facts = {
        "name": case.name,
        "outputs": [asdict(spec) for spec in case.outputs],
        "labels": case.labels,
        "random": case.random,
        "tolerance": asdict(case.tolerance),
    }
    try:
        with np.errstate(over="ignore"):
            parity = compare(_rows(case.wanted), _rows(case.got), case.labels, case.outputs)
    except Mismatch as error:
        return {**facts, "mismatch": str(error)}
    except UserError as error:
        return {**facts, "refused": str(error)}
    verdict = judge(parity, case.tolerance, random=case.random)
    return {**facts, "parity": _plain(asdict(parity)), "verdict": verdict}


def _plain(parity: dict[str, Any]) -> dict[str, Any]:
    """Without the last digits, which the order of additions decides; JSON has no NaN."""

    def plain(value: Any) -> Any:
        if not isinstance(value, float):
            return value
        return float(f"{value:.10g}") if math.isfinite(value) else str(value)

    return {name: plain(value) for name, value in parity.items()}


def _rows(columns: tuple[Array, ...]) -> list[tuple[Array, ...]]:
    return [tuple(np.asarray(part) for part in row) for row in zip(*columns, strict=True)]


def _cases() -> list[Case]:
    return [*_scored(), *_shaped(), *_refused()]


def _scored() -> list[Case]:
    random = np.random.default_rng(8)
    logits = random.normal(0, 2, (SAMPLES, 1, CLASSES)).astype(np.float32)
    best = tuple(int(i) for i in logits[:, 0].argmax(axis=1))

    def off(by: float) -> Array:
        return (logits + random.normal(0, by, logits.shape)).astype(np.float32)

    spread = random.normal(0, 1, (SAMPLES, 1, CLASSES))
    directions = (spread / np.linalg.norm(spread, axis=2, keepdims=True)).astype(np.float32)
    wide = random.normal(0, 1, (SAMPLES, 1, 3, 4)).astype(np.float32)
    two = (LOGITS, TensorSpec("boxes", (1, 3, 4), "float32"))
    some = [(label + (i % 4 == 0)) % CLASSES for i, label in enumerate(best)]
    return [
        Case("identical", (logits,), (logits,), labels=best, tolerance=FP32),
        Case("nearly", (logits,), (off(1e-6),), labels=best, tolerance=FP32),
        Case("quantized", (logits,), (off(0.1),), labels=best),
        Case("too coarse", (logits,), (off(3.0),), labels=best),
        Case("too coarse, random", (logits,), (off(3.0),), random=True),
        Case("one element", (logits,), (_poked(logits, 0.02),), tolerance=FP32),
        Case("below half precision", (logits,), (off(0.2),), tolerance=FP16),
        Case("better than the original", (off(2.0),), (logits,), labels=tuple(some)),
        Case("nothing judged", (logits,), (off(3.0),), tolerance=Tolerance()),
        Case("directions", (directions,), (directions[:, :, ::-1].copy(),)),
        Case("two outputs", (logits, wide), (off(0.05), wide + np.float32(0.5)), two),
    ]


def _shaped() -> list[Case]:
    random = np.random.default_rng(9)
    whole = random.integers(-9, 9, (SAMPLES, 4))
    halves = random.normal(0, 1, (SAMPLES, 2, 3)).astype(np.float16)
    numbers = random.normal(0, 1, SAMPLES)
    zeros = np.zeros((SAMPLES, 3), np.float32)
    masked = np.where(np.arange(3) == 1, -np.inf, 1.0 + np.arange(SAMPLES)[:, None])

    def spec(dtype: str, *shape: int) -> tuple[TensorSpec, ...]:
        return (TensorSpec("y", shape, dtype),)

    changed = np.where(whole > 6, 7, whole)
    return [
        Case("integers", (whole,), (changed,), spec("int64", 4)),
        Case("booleans", (whole > 0,), (whole > 1,), spec("bool", 4)),
        Case("bytes", (whole.astype(np.uint8),), (changed.astype(np.uint8),), spec("uint8", 4)),
        Case("halves", (halves,), (halves * np.float16(1.01),), spec("float16", 2, 3)),
        Case("scalars", (numbers,), (numbers + 1e-3,), spec("float64")),
        Case("empty", (zeros[:, :0],), (zeros[:, :0],), spec("float32", 0)),
        Case("zeros", (zeros,), (zeros,), spec("float32", 3)),
        Case("noise only", (zeros,), (zeros + np.float32(0.1),), spec("float32", 3)),
        Case(
            "overflow", (masked[:, ::2] * 1e200,), (numbers[:, None] + [0, 1],), spec("float64", 2)
        ),
        Case("masked", (masked,), (masked * 1.001,), spec("float64", 3)),
        Case("hardly varies", (1 + whole / 1e9,), (np.ones(whole.shape),), spec("float64", 4)),
    ]


def _refused() -> list[Case]:
    random = np.random.default_rng(10)
    good = random.normal(0, 1, (SAMPLES, 1, CLASSES)).astype(np.float32)
    few = tuple(range(3))
    return [
        Case("NaN", (good,), (_poked(good, np.nan),)),
        Case("NaN in the original", (_poked(good, np.nan),), (good,)),
        Case("infinite", (good,), (_poked(good, np.inf),)),
        Case("another shape", (good,), (good[:, :, :4],)),
        Case("one axis less", (good,), (good[:, 0],)),
        Case("another dtype", (good,), (good.astype(np.float64),)),
        Case("an output too many", (good,), (good, good)),
        Case("constant", (good,), (np.broadcast_to(good[0] + 9, good.shape).copy(),)),
        Case("too few labels", (good,), (good,), labels=few),
        Case("a strange label", (good,), (good,), labels=(CLASSES,) * SAMPLES),
    ]


def _poked(array: Array, by: float) -> Array:
    """One element is further off than all others."""
    changed = array.copy()
    changed[3, 0, 2] += by
    return changed
