"""What calibrates never proves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from exporter.errors import UserError
from exporter.pipeline.inputs import HOLD_OUT, gather, variants
from exporter.types import (
    FP16,
    INT8_DYNAMIC,
    INT8_STATIC,
    Dataset,
    Precision,
    Scheme,
    TensorSpec,
)

SPECS = (TensorSpec("x", (1, 3), "float32"),)


@pytest.fixture
def data(tmp_path: Path) -> str:
    path = tmp_path / "data.npz"
    np.savez(path, x=np.arange(60, dtype=np.float32).reshape(20, 3), labels=np.arange(20))
    return str(path)


def values(dataset: Dataset) -> set[float]:
    return {float(sample[0].flat[0]) for sample in dataset.samples}


def test_without_evaluation_data_some_calibration_samples_are_held_out(data: str) -> None:
    found = gather(SPECS, data, None, None, 100)
    assert found.calibration is not None
    assert len(found.evaluation.samples) == 20 // HOLD_OUT
    assert not values(found.calibration) & values(found.evaluation)
    assert len(values(found.calibration) | values(found.evaluation)) == 20
    assert found.evaluation.labels == tuple(int(x) // 3 for x in sorted(values(found.evaluation)))
    assert not found.evaluation.random
    assert "held out" in found.notes[0]


def test_samples_in_both_sets_are_told(data: str, tmp_path: Path) -> None:
    np.save(tmp_path / "half.npy", np.arange(30, dtype=np.float32).reshape(10, 3))
    found = gather(SPECS, str(tmp_path / "half.npy"), data, None, 100)
    assert "10 of 20 evaluation samples" in found.notes[0]
    np.save(tmp_path / "other.npy", -1 - np.arange(30, dtype=np.float32).reshape(10, 3))
    assert gather(SPECS, str(tmp_path / "other.npy"), data, None, 100).notes == ()


def test_too_few_to_hold_out_leaves_random_inputs(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.ones((HOLD_OUT - 1, 3), np.float32))
    found = gather(SPECS, str(tmp_path / "few.npy"), None, None, 100)
    assert found.evaluation.random
    assert found.calibration is not None
    assert len(found.calibration.samples) == HOLD_OUT - 1


def test_without_data_inputs_are_random_and_int8_is_dynamic() -> None:
    found = gather(SPECS, None, None, None, 100)
    assert found.evaluation.random
    assert found.calibration is None
    assert variants((Precision.INT8,), (), found.calibration) == (INT8_DYNAMIC,)
    with pytest.raises(UserError, match="calibration"):
        variants((Precision.INT8,), (Scheme.DYNAMIC, Scheme.STATIC), None)


def test_calibration_data_makes_int8_static_unless_asked(data: str) -> None:
    found = gather(SPECS, data, None, None, 100)
    assert variants((Precision.INT8,), (), found.calibration) == (INT8_STATIC,)
    assert variants((Precision.INT8,), (Scheme.DYNAMIC,), found.calibration) == (INT8_DYNAMIC,)


def test_both_schemes_of_int8_and_one_variant_of_all_else(data: str) -> None:
    found = gather(SPECS, data, None, None, 100)
    both = (Scheme.STATIC, Scheme.DYNAMIC)
    asked = (Precision.FP16, Precision.INT8)
    assert variants(asked, both, found.calibration) == (FP16, INT8_STATIC, INT8_DYNAMIC)


def test_a_verdict_on_a_part_of_the_data_says_so(data: str) -> None:
    found = gather(SPECS, None, data, None, 8)
    assert len(found.evaluation.samples) == 8
    assert found.notes == ("compared on 8 of 20 evaluation samples; --limit takes more",)
