"""A manifest with everything in it, for tests that need one; no model is run."""

from __future__ import annotations

from datetime import UTC, datetime

from exporter.manifest import (
    Artifact,
    Capture,
    Evidence,
    Golden,
    Manifest,
    Provenance,
    Source,
)
from exporter.types import (
    Delegation,
    Format,
    Latency,
    Parity,
    Precision,
    Scheme,
    Signature,
    Stage,
    StageResult,
    TensorSpec,
    Verdict,
    Where,
)

SIZES = {Format.PTL: 1.02, Format.PTE: 0.97, Format.ONNX: 1.01, Format.TFLITE: 0.99}
SPEEDS = {Format.PTL: 59.3, Format.PTE: 18.2, Format.ONNX: 17.1, Format.TFLITE: 12.4}
"""Bytes against float's, and milliseconds of int8: of the order of what a DeiT-tiny gives."""


def parity(sqnr_db: float = 31.4, **changed: float | None) -> Parity:
    """A plausible comparison on labelled samples."""
    facts = {
        "max_abs": 0.031,
        "cosine": 0.99964,
        "top1_agreement": 0.9917,
        "accuracy": 0.9722,
        "reference_accuracy": 0.975,
        **changed,
    }
    return Parity(samples=360, sqnr_db=sqnr_db, **facts)


def latency(p50: float) -> Latency:
    samples = tuple(round(p50 * x, 4) for x in (0.96, 0.98, 1.0, 1.04, 1.22))
    return Latency(p50, p50 * 1.15, p50 * 0.96, 5, 1, Where.HOST, samples)


def passed(
    format: Format, precision: Precision = Precision.INT8, scheme: Scheme = Scheme.STATIC
) -> Artifact:
    """An artifact that holds."""
    small = precision is Precision.INT8
    found = parity() if small else parity(118.2, max_abs=2.1e-6, cosine=0.9999999, accuracy=0.975)
    quantized = (StageResult(Stage.QUANTIZED, 2.41, found),) if small else ()
    size = int(22_800_000 * SIZES[format] * (0.28 if small else 1))
    return Artifact(
        format=format,
        precision=precision,
        scheme=scheme,
        verdict=Verdict.PASS,
        file=f"deit.{precision.value}.{format.value}",
        bytes=size,
        sha256="ab" * 32,
        parity=found,
        golden_parity=found,
        tolerance={"min_sqnr_db": 10.0 if small else 60.0, "atol": None, "max_drop": 0.02},
        latency_ms=latency(SPEEDS[format] * (1 if small else 1.8)),
        delegation=Delegation(26, 418, 444, {"aten.native_layer_norm": 25, "aten.select_copy": 1})
        if format is Format.PTE
        else None,
        seconds=21.7,
        stages=(*quantized, StageResult(Stage.ARTIFACT, 3.02, found)),
        weight_bytes={"int8": size - 90_000, "float32": 90_000} if small else {"float32": size},
        notes=("layer norms stay float: their error would dominate",) if small else (),
    )


def failed(
    format: Format,
    precision: Precision = Precision.INT8,
    scheme: Scheme = Scheme.DYNAMIC,
    reason: str = "aten.foo.default (model.py:12, in forward: y = foo(x)) has no kernel",
) -> Artifact:
    """An artifact that could not be made: there is no file."""
    return Artifact(
        format=format,
        precision=precision,
        scheme=scheme,
        verdict=Verdict.FAIL,
        reason=reason,
        seconds=3.4,
    )


def wrong(format: Format, reason: str = "top-1 agreement 0.11 is below 0.90") -> Artifact:
    """An artifact that runs and gives wrong numbers."""
    found = parity(-3.2, max_abs=9.7, cosine=0.112, top1_agreement=0.11, accuracy=0.103)
    return passed(format).model_copy(
        update={
            "verdict": Verdict.FAIL,
            "reason": reason,
            "parity": found,
            "diverged": Stage.ARTIFACT,
            "stages": (
                StageResult(Stage.QUANTIZED, 2.41, parity()),
                StageResult(Stage.ARTIFACT, 3.02, found, reason),
            ),
        }
    )


def manifest(*artifacts: Artifact, name: str = "deit", random: bool = False) -> Manifest:
    """A whole manifest; without artifacts named, one of each format in fp32 and int8."""
    default = tuple(passed(f, p, s) for p, s in _BOTH for f in Format)
    exact = parity(126.4, max_abs=1.4e-6, cosine=1.0, accuracy=0.975)
    return Manifest(
        name=name,
        created=datetime(2026, 11, 21, 4, 30, tzinfo=UTC),
        seconds=93.2,
        source=Source(
            target="deit.pt",
            kind="TorchScript archive (traced)",
            reference_bytes=22_700_000,
            sha256="cd" * 32,
            bytes=22_900_000,
        ),
        signature=Signature(
            (TensorSpec("pixels", (1, 3, 224, 224), "float32"),),
            (TensorSpec("logits", (1, 10), "float32"),),
        ),
        evidence=Evidence.RANDOM if random else Evidence.DATA,
        evaluation=Provenance(
            origin="random" if random else "digits.npz", samples=360, random=random, labelled=True
        ),
        calibration=Provenance(origin="calibration.npz", samples=64),
        preprocessing={"size": (224, 224), "mean": (0.485, 0.456, 0.406), "order": "rgb"},
        options={"dynamic_batch": False, "threads": 1, "scheme": None},
        tools={"torch": "2.13.0", "executorch": "1.4.1", "python": "3.11.2", "cpu": "x86-64 x 2"},
        reference_latency_ms=latency(24.6),
        capture=Capture(
            stages=(
                StageResult(Stage.CAPTURED, 4.1, exact),
                StageResult(Stage.PASSES, 1.3, exact),
            ),
            passes=("fold_batch_norm", "drop_dropout"),
        ),
        golden=Golden(file="golden.npz", sha256="ef" * 32, samples=16),
        artifacts=artifacts or default,
    )


_BOTH = ((Precision.FP32, Scheme.FLOAT), (Precision.INT8, Scheme.STATIC))
