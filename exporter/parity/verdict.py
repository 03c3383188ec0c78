"""Whether a `Parity` is within a `Tolerance`."""

from __future__ import annotations

import math

from exporter.parity.tolerances import Tolerance
from exporter.types import Parity


def judge(parity: Parity, tolerance: Tolerance, *, random: bool) -> str | None:
    """What is wrong, or None where every metric is within tolerance.

    Agreement and accuracy are judged where the model has class scores (and labels). On random
    inputs agreement is judged only if `tolerance.agreement_on_random`.

    Args:
        parity: the metrics.
        tolerance: the bounds.
        random: whether the samples were made up.

    Returns:
        One sentence with measured and allowed values, the most telling first, such as
        `top-1 agreement 0.48 is below 0.90; SQNR 3.1 dB is below 10 dB`.
    """
    problems = [
        _not_a_number(parity),
        _drop(parity, tolerance),
        None if random and not tolerance.agreement_on_random else _agreement(parity, tolerance),
        _sqnr(parity, tolerance),
        _max_abs(parity, tolerance),
    ]
    return "; ".join(p for p in problems if p) or None


# Each bound below asks whether the metric is good: a NaN compares false, and so cannot pass.


def _not_a_number(parity: Parity) -> str | None:
    values = {
        "max |Δ|": parity.max_abs,
        "cosine": parity.cosine,
        "SQNR": parity.sqnr_db,
        "top-1 agreement": parity.top1_agreement,
        "accuracy": parity.accuracy,
        "the original's accuracy": parity.reference_accuracy,
    }
    odd = [name for name, value in values.items() if value is not None and not math.isfinite(value)]
    return f"{', '.join(odd)} cannot be computed (overflow)" if odd else None


def _drop(parity: Parity, tolerance: Tolerance) -> str | None:
    if tolerance.max_drop is None or parity.accuracy is None or parity.reference_accuracy is None:
        return None
    drop = parity.reference_accuracy - parity.accuracy
    if drop <= tolerance.max_drop + 1e-9:  # 0.95 - 0.93 is a little more than 0.02 in binary
        return None
    before, after = parity.reference_accuracy, parity.accuracy
    return f"accuracy fell from {before:.3f} to {after:.3f}, more than {tolerance.max_drop:g}"


def _agreement(parity: Parity, tolerance: Tolerance) -> str | None:
    if tolerance.min_agreement is None or parity.top1_agreement is None:
        return None
    if parity.top1_agreement >= tolerance.min_agreement:
        return None
    return f"top-1 agreement {parity.top1_agreement:.3g} is below {tolerance.min_agreement:.2f}"


def _sqnr(parity: Parity, tolerance: Tolerance) -> str | None:
    if tolerance.min_sqnr_db is None or parity.sqnr_db >= tolerance.min_sqnr_db:
        return None
    which = f" of output {parity.worst_output}" if parity.worst_output else ""
    return f"SQNR {parity.sqnr_db:.1f} dB{which} is below {tolerance.min_sqnr_db:g} dB"


def _max_abs(parity: Parity, tolerance: Tolerance) -> str | None:
    if tolerance.atol is None or parity.max_abs <= tolerance.atol:
        return None
    return f"max |Δ| {parity.max_abs:.3g} is above {tolerance.atol:.3g}"
