"""Operators that the converter refuses or gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from exporter.runtimes.tflite.describe import describe
from exporter.runtimes.tflite.rewrite import Rewritten
from tests.support import captured, eager
from tests.tflite import models

TRANSPOSED = [
    {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1},
    {"kernel_size": 3, "stride": 2, "output_padding": 1},
    {"kernel_size": 5, "stride": 3, "padding": 2},
    {"kernel_size": 4, "stride": 2, "padding": 1},
    {"kernel_size": (3, 4), "stride": (2, 1), "padding": (1, 2)},
    {"kernel_size": 3, "padding": 1},
    {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, "groups": 4},
    {"kernel_size": 3, "stride": 2, "padding": 1, "dilation": 2, "bias": False},
]


class Do(nn.Module):
    """One function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor | tuple[Tensor, ...]]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        return self.function(x)


RESIZES = [
    lambda x: functional.interpolate(x, size=(7, 9)),
    lambda x: functional.interpolate(x, size=6),
    lambda x: functional.interpolate(x, scale_factor=1.7),
    lambda x: functional.interpolate(x, scale_factor=2),
    lambda x: functional.interpolate(x, scale_factor=1.7, mode="bilinear"),
    lambda x: functional.interpolate(x, scale_factor=(0.37, 2), mode="bilinear"),
    lambda x: functional.interpolate(x, size=(20, 7), mode="bilinear"),
    lambda x: functional.interpolate(x, size=(20, 7), mode="bilinear", align_corners=True),
]

SORTINGS = [
    lambda x: torch.topk(x, 3)[0],
    lambda x: torch.topk(x, 3, dim=1, largest=False)[0],
    lambda x: torch.topk(x, 3, dim=1),
    lambda x: torch.sort(x, dim=1)[0],
    lambda x: torch.sort(x, descending=True),
    lambda x: torch.argsort(x, stable=True),
]


@pytest.mark.parametrize("options", TRANSPOSED, ids=str)
def test_transposed_convolution_stays_the_same_in_eager(options: dict[str, int]) -> None:
    torch.manual_seed(0)
    _same_in_eager(nn.ConvTranspose2d(4, 8, **options), torch.randn(2, 4, 9, 10))


@pytest.mark.parametrize("function", [*RESIZES, *SORTINGS])
def test_resizing_and_sorting_stay_the_same_in_eager(function: Callable[[Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    _same_in_eager(Do(function), torch.randn(1, 4, 12, 10))


def _same_in_eager(module: nn.Module, x: Tensor) -> None:
    program = captured(module, x)
    with torch.no_grad():
        for want, have in zip(program.module()(x), Rewritten(program)(x), strict=True):
            torch.testing.assert_close(have, want, atol=1e-5, rtol=1e-5)


def _upsampler() -> nn.Module:
    return nn.Sequential(
        nn.ConvTranspose2d(4, 8, 3, 2, 1, output_padding=1),
        nn.ConvTranspose2d(8, 8, 5, 3, 2),
        Do(lambda x: functional.interpolate(x, size=(7, 9))),
        Do(lambda x: functional.interpolate(x, scale_factor=1.7, mode="bilinear")),
    )


def test_a_decoder_with_all_of_them_runs_in_litert(tmp_path: Path) -> None:
    x = torch.randn(1, 4, 5, 5)
    module = models.seeded(_upsampler)
    runner, _, _ = models.export(lambda: (module, (x,)), tmp_path / "m.tflite")
    operators = describe(tmp_path / "m.tflite").operators
    assert operators["TRANSPOSE_CONV"] == 2
    assert "RESIZE_NEAREST_NEIGHBOR" not in operators  # it would pick other pixels
    sample = (x.numpy(),)
    np.testing.assert_allclose(runner.run(sample)[0], eager(module)(sample)[0], atol=1e-4)


def test_equal_values_keep_their_order(tmp_path: Path) -> None:
    """What a stable sort promises has to hold of TOPK_V2."""
    x = torch.randint(0, 4, (4, 37)).float()
    module = Do(
        lambda x: (*torch.sort(x, stable=True), *torch.sort(x, stable=True, descending=True))
    )
    runner, _, _ = models.export(lambda: (module, (x,)), tmp_path / "m.tflite")
    sample = (x.numpy(),)
    for have, want in zip(runner.run(sample), eager(module)(sample), strict=True):
        np.testing.assert_array_equal(have, want)


def test_sorting_runs_in_litert_without_a_sort(tmp_path: Path) -> None:
    x = torch.randn(3, 6, 4)
    module = Do(lambda x: (torch.topk(x, 2)[0], *torch.sort(x, dim=1, descending=True)))
    runner, _, _ = models.export(lambda: (module, (x,)), tmp_path / "m.tflite")
    assert describe(tmp_path / "m.tflite").operators["TOPK_V2"] == 2
    sample = (x.numpy(),)
    for have, want in zip(runner.run(sample), eager(module)(sample), strict=True):
        np.testing.assert_array_equal(have, want)


class GroupedQueries(nn.Module):
    """Two heads of queries share one head of keys, which is turned after it was repeated."""

    def forward(self, x: Tensor) -> Tensor:
        shared = x[:, :1].unsqueeze(2).expand(1, 1, 2, 16, 8).reshape(1, 2, 16, 8)
        return x @ shared.transpose(-1, -2)


def test_what_is_repeated_may_be_turned(tmp_path: Path) -> None:
    x = torch.randn(1, 2, 16, 8)
    runner, _, _ = models.export(lambda: (GroupedQueries(), (x,)), tmp_path / "m.tflite")
    sample = (x.numpy(),)
    want = eager(GroupedQueries())(sample)[0]
    np.testing.assert_allclose(runner.run(sample)[0], want, atol=1e-5)


@pytest.mark.parametrize("sizes", [(3, 2, 4), (5, 3, 2, 4), (-1, 2, 4), (3, 40, 4)])
def test_repeating_stays_the_same_in_eager(sizes: tuple[int, ...]) -> None:
    x = torch.randn(3, 1 if 40 in sizes else 2, 4)[: 1 if sizes[0] == 3 else 3]
    rewritten = Rewritten(captured(Do(lambda x: x.expand(sizes) * 2), x))
    assert torch.equal(rewritten(x)[0], x.expand(sizes) * 2)
