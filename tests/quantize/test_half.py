"""Conversion to float16: where it reaches, where it stops, and the numbers."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from exporter.quantize.half import HALF_MAX, to_half
from tests.support import captured, eager

pytestmark = pytest.mark.filterwarnings("ignore")


class Everything(nn.Module):
    """Weights, a buffer, a constant, dtypes named in the graph, and values beyond float16."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(10, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 4)
        self.register_buffer("gain", torch.full((8,), 1.5))

    def forward(self, x: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        y = self.norm(x.to(torch.float32)) * self.gain + self.table(ids)
        steps = torch.arange(8, dtype=torch.float32) + torch.zeros(8, dtype=torch.float32)
        scores = self.head((y + 0.1 * steps).float())
        mask = torch.full((4,), torch.finfo(torch.float32).min)
        mask[:2] = 0
        masked = (scores + mask + torch.tensor([0.5, 1, 2, 3])).softmax(-1, dtype=torch.float32)
        return scores, masked, ids + 1


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return Everything().eval()


X, IDS = torch.randn(2, 8), torch.tensor([1, 7])


def test_only_the_edges_are_float32(model: nn.Module) -> None:
    result = to_half(captured(model, X, IDS))
    floats = {v.dtype for v in (*result.state_dict.values(), *result.constants.values())}
    assert floats & {torch.float32, torch.float16} == {torch.float16}
    values = {
        n: n.meta["val"].dtype
        for n in result.graph.nodes
        if n.op == "call_function" and isinstance(n.meta["val"], torch.Tensor)
    }
    wide = [n for n, dtype in values.items() if dtype == torch.float32]
    assert all(n.target is torch.ops.aten.to.dtype for n in wide)
    assert all(user.op == "output" for n in wide for user in n.users)


def test_numbers_and_types_are_those_of_the_model(model: nn.Module) -> None:
    result = to_half(captured(model, X, IDS))
    sample = (X.numpy(), IDS.numpy())
    got, expected = eager(result.module())(sample), eager(model)(sample)
    assert [y.dtype.name for y in got] == ["float32", "float32", "int64"]
    for a, b in zip(got, expected, strict=True):
        assert np.abs(a - b).max() < 5e-3
    assert not np.array_equal(got[0], expected[0])  # else it was not computed in float16


def test_the_given_program_stays_as_it_was(model: nn.Module) -> None:
    program = captured(model, X, IDS)
    before = str(program.graph)
    to_half(program)
    assert str(program.graph) == before
    assert {v.dtype for v in program.state_dict.values()} == {torch.float32}


def test_the_result_survives_saving(model: nn.Module) -> None:
    result = to_half(captured(model, X, IDS))
    file = io.BytesIO()
    torch.export.save(result, file)
    file.seek(0)
    sample = (X.numpy(), IDS.numpy())
    again = eager(torch.export.load(file).module())(sample)
    assert np.array_equal(again[0], eager(result.module())(sample)[0])


def test_weights_beyond_float16_are_limited() -> None:
    layer = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1e6], [-torch.inf]]))
    result = to_half(captured(layer, torch.zeros(1, 1)))
    (weight,) = result.state_dict.values()
    assert weight.flatten().tolist() == [HALF_MAX, -torch.inf]


def test_a_varying_batch_still_varies(model: nn.Module) -> None:
    batch = Dim("batch")
    program = torch.export.export(
        model, (X, IDS), dynamic_shapes=({0: batch}, {0: batch}), strict=False
    )
    scores, *_ = to_half(program).module()(torch.randn(5, 8), torch.arange(5))
    assert scores.shape == (5, 4)
