"""The one rule by which weights become int8."""

from __future__ import annotations

import numpy as np

from exporter.quantize.weights import SMALLEST_SCALE, to_int8


def test_each_channel_uses_the_whole_range() -> None:
    weight = np.random.default_rng(0).standard_normal((4, 3, 2), np.float32)
    values, scales = to_int8(weight, (0,))
    assert values.dtype == np.int8
    assert scales.shape == (4, 1, 1)
    assert (np.abs(values).max(axis=(1, 2)) == 127).all()
    assert (np.abs(weight - values * scales) <= scales * 0.5001).all()


def test_channels_may_lie_along_two_axes() -> None:
    _, scales = to_int8(np.ones((2, 3, 4), np.float32), (0, 1))
    assert scales.shape == (2, 3, 1)


def test_channels_of_next_to_nothing_have_the_smallest_scale() -> None:
    values, scales = to_int8(np.array([[0.0, 0.0], [0.5, -2.0], [1e-9, 0]], np.float32), (0,))
    assert values.tolist() == [[0, 0], [32, -127], [0, 0]]
    assert scales[0] == scales[2] == SMALLEST_SCALE
