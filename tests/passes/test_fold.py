"""Batch norm, padding, constants: folded into the layer that can carry them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from exporter.passes.fold_batch_norm import FoldBatchNorm
from exporter.passes.fold_constants import FoldConstants
from exporter.passes.fold_pad import FoldPad
from tests.passes.support import run_passes


def _used(norm: nn.Module) -> nn.Module:
    """A batch norm as training leaves it; a fresh one is the identity."""
    torch.manual_seed(1)
    for name in ("weight", "running_var"):
        nn.init.uniform_(getattr(norm, name), 0.5, 2.0)
    for name in ("bias", "running_mean"):
        nn.init.normal_(getattr(norm, name))
    return norm.eval()


@pytest.mark.parametrize(
    ("layer", "norm", "shape"),
    [
        (nn.Conv1d(4, 6, 3, bias=False), nn.BatchNorm1d(6), (2, 4, 9)),
        (nn.Conv2d(4, 6, 3, groups=2), nn.BatchNorm2d(6), (2, 4, 9, 9)),
        (nn.Conv2d(4, 6, 3, padding="same"), nn.BatchNorm2d(6), (2, 4, 9, 9)),
        (nn.Conv3d(4, 6, 3), nn.BatchNorm3d(6), (1, 4, 5, 5, 5)),
        (nn.ConvTranspose1d(4, 6, 3), nn.BatchNorm1d(6), (2, 4, 9)),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), nn.BatchNorm2d(6), (2, 4, 5, 5)),
        (nn.ConvTranspose3d(4, 6, 2, bias=False), nn.BatchNorm3d(6), (1, 4, 3, 3, 3)),
        (nn.Linear(4, 6), nn.BatchNorm1d(6), (5, 4)),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_batch_norm_goes_into_the_layer_before_it(layer, norm, shape):
    model = nn.Sequential(layer, _used(norm), nn.ReLU())
    before, after, (outcome,) = run_passes(model, torch.randn(shape), passes=(FoldBatchNorm(),))
    assert before["batch_norm"] == 1
    assert after["batch_norm"] == 0
    assert outcome.changed
    assert outcome.count == 1
    assert sum(after.values()) == 2


def test_batch_norm_stays_where_the_layer_is_used_twice():
    class Branch(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = nn.Conv2d(3, 3, 1), _used(nn.BatchNorm2d(3))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.conv(x)
            return y + self.norm(y)

    _, after, (outcome,) = run_passes(Branch(), torch.randn(1, 3, 4, 4), passes=(FoldBatchNorm(),))
    assert after["batch_norm"] == 1
    assert not outcome.changed
    assert "used elsewhere" in outcome.refusals[0]


def test_batch_norm_after_a_linear_layer_on_sequences_stays():
    """There it works on the steps (N, L, C), not on the features."""
    model = nn.Sequential(nn.Linear(4, 6), _used(nn.BatchNorm1d(5)))
    _, after, _ = run_passes(model, torch.randn(2, 5, 4), passes=(FoldBatchNorm(),))
    assert after["batch_norm"] == 1


@pytest.mark.parametrize(
    ("pad", "conv", "shape"),
    [
        (nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3), (1, 3, 6, 6)),
        (nn.ZeroPad2d((2, 2, 1, 1)), nn.Conv2d(3, 4, 3, padding=1, stride=2), (1, 3, 6, 6)),
        (nn.ConstantPad1d(2, 0.0), nn.Conv1d(3, 4, 3, bias=False), (1, 3, 6)),
        (nn.ConstantPad3d(1, 0.0), nn.Conv3d(3, 4, 2, dilation=2), (1, 3, 4, 4, 4)),
    ],
)
def test_zeros_on_both_sides_become_padding_of_the_convolution(pad, conv, shape):
    model = nn.Sequential(pad, conv)
    before, after, _ = run_passes(model, torch.randn(shape), passes=(FoldPad(),))
    assert before["pad"] == 1
    assert after["pad"] == 0
    assert sum(after.values()) == 1


@pytest.mark.parametrize(
    ("pad", "reason"),
    [
        (nn.ZeroPad2d((0, 1, 0, 1)), "two sides"),
        (nn.ConstantPad2d(1, 0.5), "zeros"),
        (nn.ReflectionPad2d(1), "zeros"),
    ],
)
def test_other_padding_stays_and_says_why(pad, reason):
    model = nn.Sequential(pad, nn.Conv2d(3, 4, 3))
    _, after, (outcome,) = run_passes(model, torch.randn(1, 3, 6, 6), passes=(FoldPad(),))
    assert after["pad"] == 1
    assert reason in outcome.refusals[0]


def test_constants_are_computed_once():
    model = nn.utils.weight_norm(nn.Linear(4, 6))
    before, after, _ = run_passes(model, torch.randn(2, 4), passes=(FoldConstants(),))
    assert before["_weight_norm"] == 1
    assert after == {"linear": 1}


def test_a_constant_that_would_bloat_the_file_stays_computed():
    class Table(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + torch.arange(1024.0)[:, None] * torch.arange(1024.0) / 1e6

    _, after, (outcome,) = run_passes(Table(), torch.randn(1, 1024), passes=(FoldConstants(),))
    assert after["arange"] == 0
    assert after["mul"] == 1
    assert "4.2 MB" in outcome.refusals[0]


def test_random_numbers_are_not_constants():
    class Noise(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + 0 * torch.rand(3)

    _, after, _ = run_passes(Noise(), torch.randn(3), passes=(FoldConstants(),))
    assert after["rand"] == 1
