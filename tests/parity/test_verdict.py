"""Tolerances and verdicts: what passes, what must not, and what a user's bound changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from exporter import types
from exporter.errors import UserError
from exporter.parity import Tolerance, compare, default_tolerance, judge, override
from exporter.types import Parity

GOOD = Parity(100, 1e-6, 1.0, 110.0, 1.0, 0.95, 0.95)
BAD = Parity(100, 3.0, 0.4, 3.1, 0.48, 0.50, 0.95)
FP32 = default_tolerance(types.FP32)
FP16 = default_tolerance(types.FP16)
INT8 = default_tolerance(types.INT8_STATIC)


@pytest.mark.parametrize("tolerance", [FP32, FP16, INT8])
@pytest.mark.parametrize("random", [False, True])
def test_good_passes_and_bad_fails_everywhere(tolerance: Tolerance, random: bool) -> None:
    assert judge(GOOD, tolerance, random=random) is None
    assert judge(BAD, tolerance, random=random)


def test_the_sentence_has_measured_and_allowed_values_most_telling_first() -> None:
    parity = replace(BAD, accuracy=None, reference_accuracy=None)
    assert judge(parity, INT8, random=False) == (
        "top-1 agreement 0.48 is below 0.90; SQNR 3.1 dB is below 10 dB"
    )
    assert judge(BAD, INT8, random=False).startswith(
        "accuracy fell from 0.950 to 0.500, more than 0.02;"
    )
    assert judge(BAD, FP32, random=False).endswith("max |Δ| 3 is above 0.001")


def test_of_several_outputs_the_worst_is_named() -> None:
    parity = replace(BAD, top1_agreement=None, accuracy=None, worst_output="boxes")
    assert judge(parity, INT8, random=False) == "SQNR 3.1 dB of output boxes is below 10 dB"


@pytest.mark.parametrize(
    ("change", "tolerance"),
    [
        ({"max_abs": 2e-3}, FP32),
        ({"sqnr_db": 59.9}, FP32),
        ({"sqnr_db": 34.9}, FP16),
        ({"sqnr_db": 9.9}, INT8),
        ({"top1_agreement": 0.89}, INT8),
        ({"accuracy": 0.92}, INT8),
    ],
)
def test_each_bound_fails_alone(change: dict[str, float], tolerance: Tolerance) -> None:
    assert judge(replace(GOOD, **change), tolerance, random=False)


@pytest.mark.parametrize(
    "change", [{"top1_agreement": 0.90}, {"sqnr_db": 10.0}, {"accuracy": 0.93}]
)
def test_a_value_on_the_bound_passes(change: dict[str, float]) -> None:
    assert judge(replace(GOOD, **change), INT8, random=False) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(
    "metric", ["max_abs", "cosine", "sqnr_db", "top1_agreement", "accuracy", "reference_accuracy"]
)
def test_a_metric_that_is_no_number_never_passes(metric: str, value: float) -> None:
    for tolerance in (FP32, INT8, Tolerance()):
        assert judge(replace(GOOD, **{metric: value}), tolerance, random=False)


def test_agreement_on_random_inputs_counts_only_where_it_means_something() -> None:
    flipped = replace(GOOD, top1_agreement=0.5, accuracy=None, reference_accuracy=None)
    assert judge(flipped, INT8, random=True) is None
    assert judge(flipped, INT8, random=False)
    assert judge(flipped, FP32, random=True)
    assert judge(flipped, override(INT8, min_agreement=0.9), random=True)


def test_int8_max_abs_is_judged_only_when_asked() -> None:
    far = replace(GOOD, max_abs=5.0)
    assert judge(far, INT8, random=False) is None
    assert judge(far, override(INT8, atol=1.0), random=False) == "max |Δ| 5 is above 1"


def test_override_wins_over_the_default_at_every_precision_and_leaves_the_rest() -> None:
    for variant in (types.FP32, types.INT8_DYNAMIC):
        before = default_tolerance(variant)
        after = override(before, atol=0.5, min_sqnr_db=20.0, min_agreement=0.0, max_drop=0.0)
        assert (after.atol, after.min_sqnr_db, after.min_agreement, after.max_drop) == (
            0.5,
            20,
            0,
            0,
        )
        assert override(before) == before
        assert override(before, max_drop=0.1) == replace(before, max_drop=0.1)


def test_atol_follows_the_outputs_scale_unless_it_is_given() -> None:
    assert default_tolerance(types.FP32, peak=5000).atol == pytest.approx(5.0)
    assert default_tolerance(types.FP32, peak=1e-4).atol == pytest.approx(1e-3)
    assert default_tolerance(types.INT8_STATIC, peak=5000).atol is None
    assert override(default_tolerance(types.FP32, 5000), atol=1e-3).atol == 1e-3


def test_both_schemes_of_int8_are_held_to_the_same_bounds() -> None:
    assert default_tolerance(types.INT8_DYNAMIC) == INT8


@pytest.mark.parametrize(
    "bound",
    [{"atol": -1.0}, {"min_agreement": 90.0}, {"max_drop": 2.0}, {"min_sqnr_db": float("nan")}],
)
def test_senseless_bounds_are_the_users_error(bound: dict[str, float]) -> None:
    with pytest.raises(UserError, match="--"):
        override(INT8, **bound)


def test_measured_and_judged_together() -> None:
    """What real int8 rounding gives passes; the same outputs of another sample do not."""
    rng = np.random.default_rng(0)
    reference = [(rng.standard_normal((1, 10)).astype(np.float32) * 4,) for _ in range(64)]
    rounded = [(np.round(r * 16).astype(np.float32) / 16,) for (r,) in reference]
    shifted = rounded[1:] + rounded[:1]
    assert judge(compare(reference, rounded), INT8, random=False) is None
    assert judge(compare(reference, rounded), FP32, random=False)
    problem = judge(compare(reference, shifted), INT8, random=False)
    assert problem is not None
    assert "agreement" in problem
    assert "SQNR" in problem
