"""How far an artifact may be from the original model, each bound with its reason."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import assert_never

from exporter.errors import UserError
from exporter.types import Precision, Variant


@dataclass(frozen=True)
class Tolerance:
    """Bounds on a `Parity`; None is not judged.

    Attributes:
        min_sqnr_db: smallest signal to noise ratio of the worst output, in dB.
        atol: largest absolute difference, in units of the output.
        min_agreement: smallest share of samples with the same arg-max, 0 to 1.
        max_drop: largest loss of accuracy on labelled samples, 0 to 1; 0.02 is two points.
        agreement_on_random: whether `min_agreement` counts on made-up inputs, too. The arg-max of
            noise is a near tie, which a small and harmless error decides.
        reason: why these bounds, for the report.
    """

    min_sqnr_db: float | None = None
    atol: float | None = None
    min_agreement: float | None = None
    max_drop: float | None = None
    agreement_on_random: bool = False
    reason: str = ""


_FP32_ATOL = 1e-3
# The element-wise bound sees one wrong element among a million good ones.
_FP32 = Tolerance(
    min_sqnr_db=60.0,
    atol=_FP32_ATOL,
    min_agreement=0.99,
    max_drop=0.005,
    agreement_on_random=True,
    reason="Only the order of additions may differ. float32 has 24 bits (144 dB); fifty layers "
    "of reordered sums cost well under 60 dB of it, and a real fault (padding, eps, "
    "align_corners) lands below 60.",
)
# No atol: a long sum may lose its last digits.
_FP16 = Tolerance(
    min_sqnr_db=35.0,
    min_agreement=0.95,
    max_drop=0.01,
    reason="float16 has 11 bits, 68 dB for a single rounding; errors of weights and "
    "activations of many layers add up to about 40.",
)
# Two points is the usual bar for post-training quantization (MLPerf asks for 1 %).
_INT8 = Tolerance(
    min_sqnr_db=10.0,
    min_agreement=0.90,
    max_drop=0.02,
    reason="8 bits give some 20 to 30 dB for good ranges; below 10 dB the error has a third of "
    "the signal's amplitude. What users care for is the decision: nine in ten unchanged, and "
    "at most two points of accuracy lost.",
)


def default_tolerance(variant: Variant, peak: float = 1.0) -> Tolerance:
    """The bounds for a variant; static and dynamic int8 are held to the same ones.

    The stages before quantization of any artifact are float32 programs: take those of `FP32`.

    Args:
        variant: what was asked for.
        peak: largest magnitude in the reference outputs, see `exporter.parity.peak`; float32's
            `atol` is 1e-3 of it, and at least 1e-3.
    """
    match variant.precision:
        case Precision.FP32:
            return replace(_FP32, atol=_FP32_ATOL * max(1.0, peak))
        case Precision.FP16:
            return _FP16
        case Precision.INT8:
            return _INT8
    assert_never(variant.precision)


def override(
    tolerance: Tolerance,
    *,
    atol: float | None = None,
    min_sqnr_db: float | None = None,
    min_agreement: float | None = None,
    max_drop: float | None = None,
) -> Tolerance:
    """The bounds with those that a user gave; one that is given is judged at every precision.

    A given `atol` is taken as it is, not relative to the output, and judged for int8 as well; a
    given `min_agreement` is judged on random inputs as well.

    Raises:
        UserError: a bound makes no sense, such as an agreement of 90.
    """
    given = {
        "atol": atol,
        "min_sqnr_db": min_sqnr_db,
        "min_agreement": min_agreement,
        "max_drop": max_drop,
    }
    for name, value in given.items():
        if value is not None:
            _check_bound(name, value)
    changed = replace(
        tolerance,
        atol=tolerance.atol if atol is None else atol,
        min_sqnr_db=tolerance.min_sqnr_db if min_sqnr_db is None else min_sqnr_db,
        min_agreement=tolerance.min_agreement if min_agreement is None else min_agreement,
        max_drop=tolerance.max_drop if max_drop is None else max_drop,
    )
    return changed if min_agreement is None else replace(changed, agreement_on_random=True)


def _check_bound(name: str, value: float) -> None:
    option = "--" + name.removesuffix("_db").replace("_", "-")
    if not math.isfinite(value):
        raise UserError(f"{option} {value:g} is no bound: it must be a finite number.")
    if name == "atol" and value < 0:
        raise UserError(f"{option} {value:g} is negative.")
    if name in ("min_agreement", "max_drop") and not 0 <= value <= 1:
        raise UserError(
            f"{option} {value:g} is not a share between 0 and 1.", f"90 % is {option} 0.9."
        )
