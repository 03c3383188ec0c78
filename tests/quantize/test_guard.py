"""Whether a tensor is the captured one that its name says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from exporter.errors import FormatError
from exporter.quantize.guard import Captured, wanted
from exporter.quantize.marker import mark
from exporter.types import INT8_DYNAMIC, Array, Compute
from tests.support import captured, decided, recomputed


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first, second = torch.relu(self.conv(x)).split(2, dim=1)
        return first, second * 2


@pytest.fixture(scope="module")
def known() -> tuple[Captured, Array]:
    torch.manual_seed(0)
    x = torch.randn(1, 2, 6, 6)
    module = Small().eval()
    program = captured(module, x)
    mark(program)
    with torch.no_grad():
        value = module.conv(x).numpy()
    return Captured(program, (x.numpy(),)), value


def test_any_layout_of_the_same_numbers_will_do(known: tuple[Captured, Array]) -> None:
    operators, value = known
    assert operators.layers == {"conv2d"}
    for same in (value, value.transpose(0, 2, 3, 1), value.reshape(-1), value * (1 + 1e-6)):
        assert operators.origin(["relu", "conv2d"], same) == "conv2d"


def test_other_numbers_will_not(known: tuple[Captured, Array]) -> None:
    operators, value = known
    for other in (value[:, :2], value * 1.01, value + 0.01, np.full_like(value, np.nan)):
        assert operators.origin(["conv2d"], other) is None
    assert operators.origin(["relu"], value) is None
    assert operators.origin(["unheard_of"], value) is None


def test_an_operator_with_several_results_is_any_of_them(known: tuple[Captured, Array]) -> None:
    operators, value = known
    parts = [np.maximum(value, 0)[:, :2], np.maximum(value, 0)[:, 2:]]
    (whole,) = (name for name in operators.order if name.startswith("split"))
    assert [operators.origin([whole], part) for part in parts] == ["getitem", "getitem_1"]


def test_the_numbers_of_another_layer_are_refused_and_those_of_none_are_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 4)
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    program = captured(module, x)
    mark(program)
    operators = Captured(program, (x.numpy(),))
    with torch.no_grad():
        first, second = module[0](x).numpy(), module(x).numpy()
    operators.check("linear", [(["linear"], first)])
    operators.check("linear", [(["linear"], first[:, :2])])  # a part of it
    operators.check("linear", [(["linear"], first * 0.5)])  # its scale was moved
    operators.check("linear", [(["linear"], second), (["relu"], np.maximum(first, 0))])
    with pytest.raises(FormatError, match=r"linear \(aten\.linear\.default.*numbers of linear_1"):
        operators.check("linear", [(["linear"], second), (["relu"], first * 0.5)])


def test_of_what_was_merged_the_least_of_int8_counts() -> None:
    x = torch.randn(1, 2, 6, 6)
    _, recipe = decided(captured(Small(), x), INT8_DYNAMIC)
    assert recipe
    edited = recomputed(recipe, {"conv2d": Compute.WEIGHT_ONLY, "relu": Compute.STATIC})
    assert wanted(edited, ["conv2d", "relu"]) is Compute.WEIGHT_ONLY
