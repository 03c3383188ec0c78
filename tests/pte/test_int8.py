"""Int8 artifacts compute what the quantized graph computes, padding and shared inputs included."""

from __future__ import annotations

import math
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch
from torch import nn

from exporter.errors import FormatError
from exporter.runtimes.pte import dynamic
from exporter.runtimes.pte.describe import describe
from exporter.types import INT8_DYNAMIC, INT8_STATIC, Compute, Stage
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
from tests.pte.support import made, ran, sqnr
from tests.support import Recorder, captured, eager

TRAPS = {
    "symmetric pad": (symmetric_pad, (1, 16, 12, 12)),
    "one-sided pad": (same_pad, (1, 16, 12, 12)),
    "branches": (Branches, (1, 24, 6, 6)),
    "tokens": (Tokens, (1, 24, 16)),
}
"""Models that ExecuTorch 1.4.1 alone lowers wrongly, or not at all, with dynamic int8."""


def _compare(path, module, *inputs, variant, program=None) -> tuple[float, float]:
    """SQNR of the artifact against the quantized graph, and against eager."""
    sample, recorder = tuple(x.numpy() for x in inputs), Recorder()
    made(path, module, *inputs, program=program, variant=variant, check=recorder)
    found = ran(path, sample)
    graph = recorder.runs[Stage.QUANTIZED]
    return sqnr(graph(sample), found), sqnr(eager(module)(sample), found)


@pytest.mark.parametrize("variant", [INT8_STATIC, INT8_DYNAMIC], ids=str)
@pytest.mark.parametrize("trap", TRAPS)
def test_traps_are_right(tmp_path, trap, variant):
    torch.manual_seed(0)
    make, shape = TRAPS[trap]
    to_graph, to_eager = _compare(
        tmp_path / "a.pte", make().eval(), torch.randn(shape), variant=variant
    )
    assert to_graph > 30
    assert to_eager > 25


def test_the_pad_alone_is_right_too(tmp_path):
    """Without the pass that folds it away."""
    torch.manual_seed(0)
    model, x = symmetric_pad().eval(), torch.randn(1, 16, 12, 12)
    program = captured(model, x)
    to_graph, _ = _compare(tmp_path / "a.pte", model, x, variant=INT8_DYNAMIC, program=program)
    assert to_graph > 100


@pytest.mark.parametrize("trap", TRAPS)
def test_without_our_mends_the_traps_spring(tmp_path, trap, monkeypatch):
    """If one of these turns green upstream has mended it, and `dynamic.py` may shrink."""
    torch.manual_seed(0)
    make, shape = TRAPS[trap]
    monkeypatch.setattr(dynamic, "_ChannelsLast", dynamic.ChannelsLastTaggedReshapePass)
    monkeypatch.setattr("exporter.runtimes.pte.recipe.quantizer_each", lambda program: program)
    model, x = make().eval(), torch.randn(shape)
    try:
        to_graph, _ = _compare(
            tmp_path / "a.pte", model, x, variant=INT8_DYNAMIC, program=captured(model, x)
        )
    except FormatError as error:
        to_graph = -math.inf if error.reason.startswith("ExecuTorch") else math.inf
    assert to_graph < 25


@pytest.mark.parametrize(
    ("model", "shape", "variant"),
    [
        (nn.Sequential(nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8)), (1, 4, 16), INT8_STATIC),
        (nn.Sequential(nn.Conv1d(4, 8, 3), nn.BatchNorm1d(8)), (1, 4, 16), INT8_DYNAMIC),
        (nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU6()), (1, 8, 9, 9), INT8_STATIC),
        (nn.ConvTranspose2d(4, 8, 2, stride=2), (1, 4, 5, 5), INT8_STATIC),
        (Pieces(), (1, 4, 9, 9), INT8_STATIC),
        (TwoReaders(), (1, 4, 10, 10), INT8_STATIC),
        (Attention(), (1, 5, 16), INT8_DYNAMIC),
        (Recurrent(), (1, 3, 4), INT8_DYNAMIC),
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
def test_other_layers(tmp_path, model, shape, variant):
    torch.manual_seed(0)
    model, x = model.eval(), torch.randn(shape)
    to_graph, to_eager = _compare(tmp_path / "a.pte", model, x, variant=variant)
    assert to_graph > 30
    assert to_eager > 20
    assert describe(tmp_path / "a.pte").weight_bytes["int8"] > 0


def test_words_with_dynamic_int8(tmp_path):
    torch.manual_seed(0)
    inputs = torch.randint(0, 50, (2, 7)), torch.ones(2, 7)
    sample, recorder = tuple(x.numpy() for x in inputs), Recorder()
    path = tmp_path / "a.pte"
    conversion = made(path, Words(), *inputs, variant=INT8_DYNAMIC, check=recorder)
    scores, ids = ran(path, sample)
    np.testing.assert_array_equal(ids, sample[0] + 1)
    np.testing.assert_allclose(scores, recorder.runs[Stage.QUANTIZED](sample)[0], atol=0.05)
    assert conversion.computes == {"embedding": Compute.WEIGHT_ONLY, "linear": Compute.DYNAMIC}


def test_an_edited_recipe_is_honoured(tmp_path):
    model, x = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 16)), torch.randn(1, 64)
    asked = {"linear": Compute.FLOAT, "linear_1": Compute.DYNAMIC}
    found = made(tmp_path / "a.pte", model, x, variant=INT8_STATIC, edit=asked).computes
    assert {name: found[name] for name in asked} == asked
    weights = describe(tmp_path / "a.pte").weight_bytes
    assert weights["int8"] == 32 * 16
    assert weights["float32"] >= 4 * 64 * 32


@pytest.mark.parametrize(
    ("model", "shape", "variant", "expected"),
    [
        (nn.Conv2d(8, 8, 3, groups=8), (1, 8, 9, 9), INT8_DYNAMIC, None),
        (Attention(), (1, 5, 16), INT8_STATIC, {Compute.STATIC: 2, Compute.FLOAT: 1}),
        (Recurrent(), (1, 3, 4), INT8_STATIC, {Compute.DYNAMIC: 1, Compute.STATIC: 1}),
    ],
    ids=["depthwise", "attention", "lstm"],
)
def test_how_each_captured_operator_computes_is_told(tmp_path, model, shape, variant, expected):
    """With dynamic activations a depthwise convolution has no int8 kernel here at all."""
    torch.manual_seed(0)
    model, x, path = model.eval(), torch.randn(shape), tmp_path / "a.pte"
    if expected is None:
        with pytest.raises(FormatError, match="no operator that can be quantized"):
            made(path, model, x, variant=variant)
        return
    assert Counter(made(path, model, x, variant=variant).computes.values()) == expected
    sample = (x.numpy(),)
    assert sqnr(eager(model)(sample), ran(path, sample)) > 20


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
    close, right = _compare(tmp_path / "m.pte", Output().eval(), x, variant=INT8_DYNAMIC)
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
