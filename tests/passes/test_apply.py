"""The list as a whole: order, honesty, and what must survive every pass."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, export

from exporter.base.locate import source_line
from exporter.passes import SHARED, DishonestPassError, apply, for_format
from exporter.passes.base import Rewrite
from exporter.types import Format, PassOutcome
from tests.passes.support import run_passes, saved_and_loaded
from tests.support import Flat, captured


class Net(nn.Module):
    """Something for nearly every pass; two inputs, two outputs, an in-place write."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8)
        self.drop, self.w = nn.Dropout(0.3), nn.Parameter(torch.randn(8, 4))
        self.register_buffer("scale", torch.tensor(3.0))

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        z = nn.functional.relu6(self.norm(self.conv(nn.functional.pad(x, (1, 1, 1, 1)))))
        z[:, 0] = 1.0
        pooled = self.drop(z.mean((2, 3)))
        return pooled @ self.w * (self.scale * 2) + y, z.flatten(1)


@pytest.mark.parametrize("format", list(Format))
def test_all_passes_of_a_format(format):
    inputs = (torch.randn(2, 3, 6, 6), torch.randn(2, 4))
    before, after, outcomes = run_passes(
        Net().eval(), *inputs, passes=(*SHARED, *for_format(format)), atol=1e-4
    )
    assert before["batch_norm"] == before["dropout"] == before["pad"] == before["matmul"] == 1
    gone = {"batch_norm", "dropout", "pad", "matmul", "fill_", "_assert_tensor_metadata"}
    assert not after.keys() & gone
    assert after["conv2d"] == after["linear"] == 1
    changed = {o.name for o in outcomes if o.changed}
    assert {"functionalize", "fold batch norm", "fold padding", "fuse linear"} <= changed


def test_a_second_run_changes_nothing():
    inputs = (torch.randn(2, 3, 6, 6), torch.randn(2, 4))
    passes = (*SHARED, *for_format(Format.PTE))
    once, _ = apply(captured(Net(), *inputs), passes)
    twice, outcomes = apply(once, passes)
    assert twice is once
    assert not any(o.changed for o in outcomes)


@pytest.mark.parametrize("format", list(Format))
def test_a_batch_that_varies_still_varies(format):
    model = Flat(Net().eval())
    batch = Dim("batch", min=1, max=64)
    shapes = {"inputs": ({0: batch}, {0: batch})}
    program = export(model, (torch.randn(2, 3, 6, 6), torch.randn(2, 4)), dynamic_shapes=shapes)
    program, _ = apply(program, (*SHARED, *for_format(format)))
    inputs = torch.randn(5, 3, 6, 6), torch.randn(5, 4)
    with torch.no_grad():
        expected = model(*inputs)
        found = saved_and_loaded(program).module()(*inputs)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-4)


def test_every_operator_keeps_its_source_line():
    inputs = (torch.randn(2, 3, 6, 6), torch.randn(2, 4))
    program, _ = apply(captured(Net(), *inputs), (*SHARED, *for_format(Format.PTE)))
    lines = {
        n.target._opname: source_line(n) for n in program.graph.nodes if n.op == "call_function"
    }
    assert "self.norm(self.conv(" in lines["conv2d"]
    assert "self.drop(z.mean((2, 3)))" in lines["mean"]
    # Functionalization makes views anew and loses their line.
    assert {k for k, line in lines.items() if not line.startswith("test_apply.py:")} <= {"reshape"}


def test_unused_weights_do_not_stay_in_the_file():
    inputs = (torch.randn(2, 3, 6, 6), torch.randn(2, 4))
    program, _ = apply(captured(Net(), *inputs), SHARED)
    assert {tuple(t.shape) for t in program.state_dict.values()} >= {(8, 3, 3, 3), (8,), (4, 8)}
    assert not any(name.startswith("module.") for name in program.state_dict)


def test_a_buffer_that_changes_is_not_a_constant():
    class Counter(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count.add_(1)
            return x + self.count * 2

    program, _ = apply(captured(Counter(), torch.zeros(1)), SHARED)
    module = saved_and_loaded(program).module()
    assert [float(module(torch.zeros(1))[0]) for _ in range(2)] == [2.0, 4.0]


def test_a_pass_that_claims_a_change_it_did_not_make_is_caught():
    class Boaster(Rewrite[bool]):
        name = "boast"

        def check(self, _graph, _node):
            return True

        def rewrite(self, _graph, _node, _plan):
            pass

    with pytest.raises(DishonestPassError, match="boast"):
        apply(captured(nn.ReLU(), torch.randn(3)), (Boaster(),))


def test_a_pass_that_hides_a_change_is_caught():
    program = captured(nn.ReLU(), torch.randn(3))
    other = captured(nn.Sigmoid(), torch.randn(3))

    class Quiet:
        name = "quiet"

        def __call__(self, _program):
            return other, PassOutcome(self.name, 0)

    with pytest.raises(DishonestPassError, match="quiet"):
        apply(program, (Quiet(),))
