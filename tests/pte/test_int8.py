"""Int8 artifacts compute what the quantized graph computes, padding and shared inputs included."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from exporter.errors import FormatError
from exporter.quantize.pt2e import quantize
from exporter.runtimes.pte import dynamic
from exporter.runtimes.pte.describe import describe
from exporter.types import Scheme
from tests.pte.models import (
    Attention,
    Branches,
    Pieces,
    Recurrent,
    Tokens,
    TwoReaders,
    Words,
    same_pad,
    symmetric_pad,
)
from tests.pte.support import made, passed, quantized, ran, sqnr
from tests.support import captured, eager

TRAPS = {
    "symmetric pad": (symmetric_pad, (1, 16, 12, 12)),
    "one-sided pad": (same_pad, (1, 16, 12, 12)),
    "branches": (Branches, (1, 24, 6, 6)),
    "tokens": (Tokens, (1, 24, 16)),
}
"""Models that ExecuTorch 1.4.1 alone lowers wrongly, or not at all, with dynamic int8."""


def _compare(path, module, *inputs, scheme, program=None) -> tuple[float, float]:
    """SQNR of the artifact against the quantized graph, and against eager."""
    sample = tuple(x.numpy() for x in inputs)
    graph = quantized(program or passed(module, *inputs), scheme, *inputs)
    expected = eager(graph.module())(sample)
    made(path, module, *inputs, program=graph, scheme=scheme)
    found = ran(path, sample)
    return sqnr(expected, found), sqnr(eager(module)(sample), found)


@pytest.mark.parametrize("scheme", [Scheme.STATIC, Scheme.DYNAMIC])
@pytest.mark.parametrize("trap", TRAPS)
def test_traps_are_right(tmp_path, trap, scheme):
    torch.manual_seed(0)
    make, shape = TRAPS[trap]
    to_graph, to_eager = _compare(
        tmp_path / "a.pte", make().eval(), torch.randn(shape), scheme=scheme
    )
    assert to_graph > 30
    assert to_eager > 25


def test_the_pad_alone_is_right_too(tmp_path):
    """Without the pass that folds it away."""
    torch.manual_seed(0)
    model, x = symmetric_pad().eval(), torch.randn(1, 16, 12, 12)
    program = captured(model, x)
    to_graph, _ = _compare(tmp_path / "a.pte", model, x, scheme=Scheme.DYNAMIC, program=program)
    assert to_graph > 100


@pytest.mark.parametrize("trap", TRAPS)
def test_without_our_mends_the_traps_spring(tmp_path, trap, monkeypatch):
    """If one of these turns green upstream has mended it, and `dynamic.py` may shrink."""
    torch.manual_seed(0)
    make, shape = TRAPS[trap]
    monkeypatch.setattr(dynamic, "_ChannelsLast", dynamic.ChannelsLastTaggedReshapePass)
    monkeypatch.setattr("exporter.runtimes.pte.convert.quantizer_each", lambda program: program)
    model, x = make().eval(), torch.randn(shape)
    try:
        to_graph, _ = _compare(
            tmp_path / "a.pte", model, x, scheme=Scheme.DYNAMIC, program=captured(model, x)
        )
    except FormatError as error:
        to_graph = -math.inf if error.reason.startswith("ExecuTorch") else math.inf
    assert to_graph < 25


@pytest.mark.parametrize(
    ("model", "shape", "scheme"),
    [
        (nn.Sequential(nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8)), (1, 4, 16), Scheme.STATIC),
        (nn.Sequential(nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8)), (1, 4, 16), Scheme.DYNAMIC),
        (nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6()), (1, 8, 9, 9), Scheme.STATIC),
        (nn.ConvTranspose2d(4, 8, 2, stride=2), (1, 4, 5, 5), Scheme.STATIC),
        (Pieces(), (1, 4, 9, 9), Scheme.STATIC),
        (TwoReaders(), (1, 4, 10, 10), Scheme.STATIC),
        (Attention(), (1, 5, 16), Scheme.DYNAMIC),
        (Recurrent(), (1, 3, 4), Scheme.DYNAMIC),
    ],
    ids=[
        "conv1d",
        "conv1d dynamic",
        "depthwise",
        "transposed",
        "pieces",
        "two readers",
        "attention",
        "lstm",
    ],
)
def test_other_layers(tmp_path, model, shape, scheme):
    torch.manual_seed(0)
    model, x = model.eval(), torch.randn(shape)
    to_graph, to_eager = _compare(tmp_path / "a.pte", model, x, scheme=scheme)
    assert to_graph > 30
    assert to_eager > 20
    assert describe(tmp_path / "a.pte").weight_bytes["int8"] > 0


def test_words_with_dynamic_int8(tmp_path):
    torch.manual_seed(0)
    inputs = torch.randint(0, 50, (2, 7)), torch.ones(2, 7)
    sample = tuple(x.numpy() for x in inputs)
    graph = quantize(passed(Words(), *inputs), Scheme.DYNAMIC, (sample,))
    made(tmp_path / "a.pte", Words(), *inputs, program=graph, scheme=Scheme.DYNAMIC)
    scores, ids = ran(tmp_path / "a.pte", sample)
    np.testing.assert_array_equal(ids, sample[0] + 1)
    np.testing.assert_allclose(scores, eager(graph.module())(sample)[0], atol=0.05)


_IN_A_FRESH_PROCESS = """
import sys, pathlib, torch
import torch.ao.quantization.fx._decomposed
from tests.pte.support import made, ran, sqnr
from tests.support import captured, eager

class Rows(torch.nn.Module):
    def forward(self, x, rows):
        scales, zeros = torch.tensor([0.1, 0.2]), torch.zeros(2, dtype=torch.int64)
        weights = torch.ops.quantized_decomposed.dequantize_per_channel(
            rows, scales, zeros, 0, -127, 127, torch.int8
        )
        return torch.nn.functional.elu(weights) + x

path, inputs = pathlib.Path(sys.argv[1]), (torch.randn(2, 4), torch.ones(2, 4, dtype=torch.int8))
notes = made(path, Rows(), *inputs, program=captured(Rows(), *inputs)).notes
assert any("quantized kernels" in note for note in notes), notes
sample = tuple(x.numpy() for x in inputs)
assert sqnr(eager(Rows())(sample), ran(path, sample)) > 100
"""


def test_quantized_operators_that_xnnpack_does_not_take(tmp_path):
    """In a process that has not loaded the runtime yet, which registers the quantized operators."""
    command = [sys.executable, "-c", _IN_A_FRESH_PROCESS, str(tmp_path / "a.pte")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_recurrent_layer_is_int8_from_its_first_state_on(tmp_path):
    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = nn.RNN(16, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x)[0]

    torch.manual_seed(0)
    x = torch.randn(2, 1, 16)
    close, right = _compare(tmp_path / "m.pte", Output().eval(), x, scheme=Scheme.DYNAMIC)
    assert close > 30
    assert right > 25
    assert describe(tmp_path / "m.pte").weight_bytes["int8"] >= 8 * 16


def test_a_scalar_input_keeps_its_shape(tmp_path):
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
            return x * by

    inputs = (torch.ones(1, 3), torch.tensor(2.0))
    made(tmp_path / "m.pte", Scaled(), *inputs)
    (product,) = ran(tmp_path / "m.pte", tuple(x.numpy() for x in inputs))
    assert product.tolist() == [[2, 2, 2]]
