"""The one rule by which weights become int8, for every format."""

from __future__ import annotations

import numpy as np

from exporter.types import Array

SMALLEST_SCALE = 2.0**-20
"""Of a weight's channel and of an activation alike; a channel of zeros has this one.

Vendors' own floors differ, and each has its harm: ExecuTorch's 2^-12 takes the bits from any tensor
or channel whose values stay below 0.03, such as probabilities of many classes. Much smaller than
this, and XNNPACK refuses a layer whose output is all zeros (it takes input scale x weight scale /
output scale below 256 only), and LiteRT saturates the int32 bias of a channel that is nearly dead.
"""


def to_int8(weight: Array, axes: tuple[int, ...]) -> tuple[Array, Array]:
    """Symmetric int8, -127 to 127, with one scale for each index along `axes`.

    Args:
        weight: float32.
        axes: the output channels; of an embedding's table, the rows.

    Returns:
        The int8 values, and float32 scales that broadcast against them: `weight ~ values * scales`.
    """
    rest = tuple(i for i in range(weight.ndim) if i not in axes)
    largest = np.abs(weight).max(axis=rest, keepdims=True, initial=0.0)
    scales = np.maximum(largest / 127, SMALLEST_SCALE).astype(np.float32)
    return np.clip(np.rint(weight / scales), -127, 127).astype(np.int8), scales
