"""Resizing by PyTorch's rule where LiteRT's own operators follow another.

RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR derive the step from the two sizes, and the converter
asks for half-pixel centres. PyTorch starts at the corner for `nearest`, and steps by the scale
factor that the user gave, which the rounded output size no longer tells.
"""

from __future__ import annotations

import numpy as np
import torch

aten = torch.ops.aten

Sizes = list[int] | None
Factors = list[float] | None


def nearest2d(x: torch.Tensor, size: Sizes, factors: Factors) -> torch.Tensor:
    """aten.upsample_nearest2d.vec; (N, C, H, W) -> (N, C, H', W').

    Whole multiples are left to RESIZE_NEAREST_NEIGHBOR, which is exact there; else rows and
    columns are picked by their numbers.
    """
    picks = [
        _nearest_sources(n, *target)
        for n, target in zip(x.shape[2:], _targets(x, size, factors), strict=True)
    ]
    if all(_repeats(pick, n) for pick, n in zip(picks, x.shape[2:], strict=True)):
        return aten.upsample_nearest2d.vec(x, size, factors)
    for dim, pick in enumerate(picks, 2):
        x = x.index_select(dim, torch.tensor(pick))
    return x


def bilinear2d(x: torch.Tensor, size: Sizes, align_corners: bool, factors: Factors) -> torch.Tensor:
    """aten.upsample_bilinear2d.vec; (N, C, H, W) -> (N, C, H', W').

    Bilinear resizing is a matrix product along each side, which serves where the step is not the
    ratio of the sizes.
    """
    targets = _targets(x, size, factors)
    by_ratio = all(step == n / out for n, (out, step) in zip(x.shape[2:], targets, strict=True))
    if align_corners or by_ratio:
        return aten.upsample_bilinear2d.vec(x, size, align_corners, factors)
    rows, columns = (
        torch.tensor(_linear_weights(n, *target).tolist())
        for n, target in zip(x.shape[2:], targets, strict=True)
    )
    return torch.matmul(rows, torch.matmul(x, columns.T))


def _targets(x: torch.Tensor, size: Sizes, factors: Factors) -> list[tuple[int, float]]:
    """For H and W: output size, and input elements a step of one output element."""
    if factors is None:
        assert size is not None  # aten takes one of the two
        return [(out, n / out) for n, out in zip(x.shape[2:], size, strict=True)]
    return [(int(n * factor), 1 / factor) for n, factor in zip(x.shape[2:], factors, strict=True)]


def _nearest_sources(n: int, out: int, step: float) -> list[int]:
    """floor(i * step) in float32, as nearest_neighbor_compute_source_index in ATen's UpSample.h."""
    sources = np.floor(np.arange(out, dtype=np.float32) * np.float32(step)).astype(int)
    return [int(s) for s in np.minimum(sources, n - 1)]


def _repeats(pick: list[int], n: int) -> bool:
    """Whether every element is taken equally often, in order."""
    return len(pick) % n == 0 and pick == [i for i in range(n) for _ in range(len(pick) // n)]


def _linear_weights(n: int, out: int, step: float) -> np.ndarray:
    """(out, n) weights: source = max(0, (i + 0.5) * step - 0.5), as in ATen's UpSample.h."""
    source = np.maximum(0, (np.arange(out) + 0.5) * step - 0.5)
    low = np.minimum(np.floor(source).astype(int), n - 1)
    high = np.minimum(low + 1, n - 1)
    share = source - low
    weights = np.zeros((out, n), np.float32)
    weights[np.arange(out), low] += 1 - share
    weights[np.arange(out), high] += share
    return weights
