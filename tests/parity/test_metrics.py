"""Metrics against hand-computed values, and every way in which outputs can be incomparable."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest

from exporter.errors import UserError
from exporter.parity import Mismatch, compare, peak, top1_output
from exporter.types import Tensors, TensorSpec


def scores(count: int = 32, classes: int = 10, seed: int = 0) -> list[Tensors]:
    rng = np.random.default_rng(seed)
    return [(rng.standard_normal((1, classes)).astype(np.float32),) for _ in range(count)]


def noisy(reference: list[Tensors], size: float, seed: int = 1) -> list[Tensors]:
    rng = np.random.default_rng(seed)
    return [
        tuple(x + np.float32(size) * rng.standard_normal(x.shape).astype(np.float32) for x in t)
        for t in reference
    ]


def one(*values: float, dtype: type = np.float32) -> list[Tensors]:
    return [(np.array(values, dtype),)]


def test_identical_outputs_are_perfect() -> None:
    reference = scores()
    parity = compare(reference, [tuple(x.copy() for x in t) for t in reference], labels=[0] * 32)
    assert (parity.samples, parity.max_abs, parity.sqnr_db, parity.top1_agreement) == (
        32,
        0.0,
        200.0,
        1.0,
    )
    assert parity.cosine == pytest.approx(1.0)
    assert parity.accuracy == parity.reference_accuracy


def test_metrics_equal_the_formulas_by_hand() -> None:
    # sum r^2 = 25 over both samples, errors 0.5 and 1: noise 1.25, so 10 log10(20) dB.
    parity = compare([*one(3, 0), *one(0, 4)], [*one(3, 0.5), *one(0, 3)])
    assert parity.sqnr_db == pytest.approx(10 * math.log10(25 / 1.25))
    assert parity.max_abs == 1.0
    assert parity.cosine == pytest.approx((9 + 12) / math.sqrt(25 * (9.25 + 9)))


@pytest.mark.parametrize("step_db", [20, 40, 60])
def test_sqnr_follows_the_size_of_the_noise(step_db: int) -> None:
    reference = scores(400)
    parity = compare(reference, noisy(reference, 10 ** (-step_db / 20)))
    assert parity.sqnr_db == pytest.approx(step_db, abs=0.5)


def test_scaling_both_changes_only_max_abs() -> None:
    reference = scores()
    measured = noisy(reference, 0.1)
    plain = compare(reference, measured)
    scaled = compare([(8 * r,) for (r,) in reference], [(8 * m,) for (m,) in measured])
    assert scaled.sqnr_db == pytest.approx(plain.sqnr_db)
    assert scaled.cosine == pytest.approx(plain.cosine)
    assert scaled.max_abs == pytest.approx(8 * plain.max_abs)


def test_a_bad_small_output_is_not_hidden_by_a_good_large_one() -> None:
    reference = [(np.full((1, 1000), 100, np.float32), np.array([[0.1, 0.2]], np.float32))]
    measured = [(reference[0][0].copy(), np.array([[0.2, 0.1]], np.float32))]
    parity = compare(reference, measured)
    assert parity.sqnr_db == pytest.approx(10 * math.log10(0.05 / 0.02))
    assert parity.cosine == pytest.approx(0.04 / 0.05)
    assert parity.worst_output == "output_1"


def test_a_negated_output_has_cosine_minus_one() -> None:
    assert compare(one(1, 2), one(-1, -2)).cosine == pytest.approx(-1)


def test_zero_reference() -> None:
    assert compare(one(0, 0), one(0, 0)).sqnr_db == 200
    assert compare(one(0, 0), one(0, 0)).cosine == 1
    broken = compare(one(0, 0), one(0, 1e-3))
    assert (broken.sqnr_db, broken.cosine) == (-200, 0)
    silent = compare(one(1, 2), one(0, 0))
    assert (silent.sqnr_db, silent.cosine) == (0, 0)


def test_swapped_classes_lose_agreement_and_accuracy() -> None:
    reference = scores()
    labels = [int(r.argmax()) for (r,) in reference]
    swapped = [(np.roll(r, 1, axis=1),) for (r,) in reference]
    parity = compare(reference, swapped, labels)
    assert (parity.top1_agreement, parity.accuracy, parity.reference_accuracy) == (0, 0, 1)
    assert parity.sqnr_db < 5


def test_agreement_and_accuracy_count_samples() -> None:
    reference = [*one_row(1, 0), *one_row(0, 1), *one_row(1, 0), *one_row(0, 1)]
    measured = [*one_row(1, 0), *one_row(1, 0), *one_row(1, 0), *one_row(0, 1)]
    parity = compare(reference, measured, labels=[0, 1, 1, 1])
    assert (parity.top1_agreement, parity.accuracy, parity.reference_accuracy) == (0.75, 0.5, 0.75)


def one_row(*values: float) -> list[Tensors]:
    return [(np.array([values], np.float32),)]


def test_directions_have_no_top1() -> None:
    """A normalized embedding has no classes; but labels say that it has."""
    reference = [*one_row(0.6, -0.8), *one_row(-0.8, 0.6)]
    assert compare(reference, reference).top1_agreement is None
    assert compare(reference, reference, labels=[0, 1]).top1_agreement == 1
    probabilities = [*one_row(1, 0), *one_row(0, 1)]
    assert compare(probabilities, probabilities).top1_agreement == 1
    assert compare([*reference, *one_row(3, -1)], [*reference, *one_row(3, -1)]).top1_agreement == 1


def test_a_batch_agrees_row_by_row_and_has_no_accuracy() -> None:
    reference = [(np.eye(4, dtype=np.float32),)]
    measured = [(np.eye(4, dtype=np.float32)[[0, 1, 2, 0]],)]
    parity = compare(reference, measured, labels=[0])
    assert (parity.top1_agreement, parity.accuracy) == (0.75, None)


def test_constant_output_is_refused_even_beside_a_large_offset() -> None:
    reference = [*one(30.0), *one(26.0), *one(34.0)]
    with pytest.raises(Mismatch, match="the same for all 3 samples"):
        compare(reference, one(30.0) * 3)


def test_a_reference_that_hardly_varies_may_be_rounded_to_a_constant() -> None:
    assert compare([*one(0.9990), *one(0.9991)], one(0.996) * 2).sqnr_db > 40


def test_a_single_sample_cannot_be_called_constant() -> None:
    assert compare(one(1, 2), one(1, 3)).samples == 1


NAN = float("nan")
INF = float("inf")


@pytest.mark.parametrize(
    ("reference", "measured", "reason"),
    [
        (one(1, 2), one(1, NAN), "NaN in 1 of 2"),
        (one(1, NAN), one(1, NAN), "original model itself gives NaN"),
        (one(1, 2), one(1, INF), "infinite in one"),
        (one(1, -INF), one(1, 2), "infinite in one"),
        (one(1, -INF), one(1, INF), "infinite in one"),
        (one(1, 2), [(np.array([[1, 2]], np.float32),)], r"shape \(1, 2\)"),
        ([(np.zeros((1, 10), np.float32),)], [(np.zeros(10, np.float32),)], r"shape \(10,\)"),
        ([(np.float32(1),)], one(1), "shape"),
        (one(1, 2), one(1, 2, dtype=np.float64), "dtype float64"),
        (one(1, 2), one(1, 2, dtype=np.float16), "dtype float16"),
        (one(1, 2, dtype=np.int64), one(1, 2, dtype=np.int32), "dtype int32"),
        (one(1, 2), [(*one(1, 2)[0], *one(1)[0])], "2 outputs, the original model gives 1"),
        (one(1, 2), [()], "0 outputs"),
        (one(1, 2), [], "number of samples"),
        (one(1, 2), one(1, 2) * 2, "number of samples"),
        ([], [], "no outputs"),
        ([()], [()], "no outputs"),
    ],
)
def test_incomparable_outputs_are_refused(
    reference: list[Tensors], measured: list[Tensors], reason: str
) -> None:
    with pytest.raises(Mismatch, match=reason):
        compare(reference, measured)


def test_a_mask_of_minus_infinity_is_fine_where_both_have_it() -> None:
    parity = compare(one(3, -INF, 4), one(3, -INF, 3))
    assert (parity.max_abs, parity.sqnr_db) == (1, pytest.approx(10 * math.log10(25)))


def test_the_message_names_output_and_sample() -> None:
    specs = [TensorSpec("boxes", (2,), "float32")]
    with pytest.raises(Mismatch, match="output boxes, sample 1"):
        compare(one(1, 2) * 2, [*one(1, 2), *one(1, NAN)], outputs=specs)


def test_integers_off_by_one_are_wrong_however_large() -> None:
    reference = one(*range(1000, 1010), dtype=np.int64)
    measured = one(*range(1000, 1009), 1010, dtype=np.int64)
    parity = compare(reference, measured)
    assert parity.max_abs == 1
    assert parity.sqnr_db == pytest.approx(10)  # one of ten differs


def test_integers_beyond_float64_are_told_apart() -> None:
    parity = compare(one(2**60, dtype=np.int64), one(2**60 + 1, dtype=np.int64))
    assert parity.sqnr_db == 0


def test_unsigned_integers_do_not_wrap() -> None:
    assert compare(one(0, dtype=np.uint8), one(1, dtype=np.uint8)).max_abs == 1


def test_booleans_are_compared() -> None:
    assert compare(one(1, 0, dtype=np.bool_), one(1, 0, dtype=np.bool_)).sqnr_db == 200
    assert compare(one(1, 0, dtype=np.bool_), one(1, 1, dtype=np.bool_)).sqnr_db == pytest.approx(
        3.01, abs=0.01
    )


def test_imaginary_parts_are_compared() -> None:
    assert compare([(np.array(3 + 4j),)], [(np.array(3 + 3j),)]).sqnr_db == pytest.approx(
        10 * math.log10(25)
    )


def test_overflow_ends_as_nan_not_as_a_good_value() -> None:
    huge = one(1e200, 1e200, dtype=np.float64)
    parity = compare(huge, one(1e200, 2e200, dtype=np.float64))
    assert math.isnan(parity.sqnr_db)
    assert math.isnan(parity.cosine)


def test_samples_are_streamed() -> None:
    alive: list[int] = []

    def stream() -> Iterator[Tensors]:
        for (array,) in scores(5):
            alive.append(1)
            yield (array,)

    assert compare(stream(), stream()).samples == 5
    assert len(alive) == 10


@pytest.mark.parametrize(
    ("labels", "reason"), [([0], "1 labels for 2"), ([0, 10], "Label 10"), ([0, -1], "-1")]
)
def test_labels_that_do_not_fit_are_the_users_error(labels: list[int], reason: str) -> None:
    reference = scores(2)
    with pytest.raises(UserError, match=reason):
        compare(reference, reference, labels)


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        ([("output_0", (1, 10), "float32")], 0),
        ([("output_0", (1, 10), "int64")], None),
        ([("output_0", (1, 1), "float32")], None),
        ([("output_0", (1, 8, 16), "float32"), ("output_1", (1, 10), "float32")], 1),
        (
            [("last_hidden_state", (1, 8, 16), "float32"), ("pooler_output", (1, 16), "float32")],
            None,
        ),
        ([("aux", (1, 10), "float32"), ("logits", (1, 10), "float32")], 1),
        ([("boxes", (100, 4), "float32")], None),
    ],
)
def test_which_output_is_class_scores(
    outputs: list[tuple[str, tuple[int, ...], str]], expected: int | None
) -> None:
    assert top1_output([TensorSpec(*o) for o in outputs]) == expected


def test_peak_is_the_largest_finite_float() -> None:
    outputs = [(np.array([1.0, -7.0, -INF, NAN]), np.array([99])), (np.array([]), np.array([5]))]
    assert peak(outputs) == 7
    assert peak([]) == 0
