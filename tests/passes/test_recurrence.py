"""Cells, recurrent layers and bags of embeddings in plain operators: the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from exporter.base.locate import source_line
from exporter.passes import SHARED, apply, for_format
from exporter.passes.write_out_embedding_bag import WriteOutEmbeddingBag
from exporter.passes.write_out_recurrence import CELLS, SEQUENCES, WriteOutRecurrence
from exporter.types import Format
from tests.passes.support import assert_same, operators, run_passes
from tests.support import captured


class Steps(nn.Module):
    """A cell over four steps, from zeros."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        state = None
        for step in x.unbind(1):
            state = self.cell(step, state)
        return state[0] if isinstance(state, tuple) else state


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    "kind",
    [nn.LSTMCell, nn.GRUCell, nn.RNNCell, lambda *a, **k: nn.RNNCell(*a, **k, nonlinearity="relu")],
)
def test_a_cell_becomes_its_linear_layers(kind, bias):
    net = Steps(kind(6, 5, bias=bias))
    _, after, (outcome,) = run_passes(
        net, torch.randn(2, 4, 6), passes=(WriteOutRecurrence(CELLS),)
    )
    assert outcome.count == 4
    assert after["linear"] == 8
    assert not any("cell" in name for name in after)


@pytest.mark.parametrize(
    "net",
    [
        nn.LSTM(6, 5, num_layers=2, bidirectional=True),
        nn.LSTM(6, 5, proj_size=3, batch_first=True),
        nn.GRU(6, 5, bidirectional=True, bias=False),
        nn.RNN(6, 5),
        nn.RNN(6, 5, nonlinearity="relu"),
    ],
    ids=str,
)
def test_a_recurrent_layer_becomes_its_linear_layers(net):
    class Output(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)[0]

    before, after, (outcome,) = run_passes(
        Output(), torch.randn(4, 2, 6), passes=(WriteOutRecurrence(SEQUENCES),)
    )
    assert outcome.count == 1
    assert before["linear"] == 0 < after["linear"]
    assert not after.keys() & {"lstm", "gru", "rnn_tanh", "rnn_relu"}


def test_what_is_written_out_knows_its_source():
    program, _ = apply(captured(Steps(nn.GRUCell(6, 5)), torch.randn(2, 4, 6)), SHARED)
    lines = [
        source_line(n) for n in program.graph.nodes if n.target is torch.ops.aten.linear.default
    ]
    assert lines
    assert all("test_recurrence.py" in (line or "") for line in lines)


def test_only_executorch_writes_out_whole_layers():
    program, _ = apply(captured(nn.GRU(6, 5), torch.randn(4, 2, 6)), SHARED)
    kept = {f: operators(apply(program, for_format(f))[0])["gru"] for f in Format}
    assert kept == {Format.PTL: 1, Format.PTE: 0, Format.ONNX: 1, Format.TFLITE: 1}


def bag(mode: str, padding: int | None = None) -> nn.Module:
    torch.manual_seed(0)
    net = nn.EmbeddingBag(9, 4, mode=mode, padding_idx=padding)
    nn.init.normal_(net.weight)  # the padding row, too: it must not count whatever it holds
    return net


_WORDS = torch.tensor([[1, 0, 3], [0, 0, 0], [4, 8, 0]])


@pytest.mark.parametrize("padding", [None, 0])
@pytest.mark.parametrize("mode", ["sum", "mean"])
def test_bags_of_equal_length_are_written_out(mode, padding):
    before, after, (outcome,) = run_passes(
        bag(mode, padding), _WORDS, passes=(WriteOutEmbeddingBag(),)
    )
    assert before["embedding_bag"] == outcome.count == after["embedding"] == 1
    assert after["embedding_bag"] == 0


def test_a_maximum_over_bags_is_written_out():
    _, after, _ = run_passes(bag("max"), _WORDS, passes=(WriteOutEmbeddingBag(),))
    assert (after["embedding_bag"], after["amax"]) == (0, 1)


def test_weighted_bags_are_written_out():
    class Weighted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = bag("sum", 0)

        def forward(self, words: Tensor, weights: Tensor) -> Tensor:
            return self.bag(words, per_sample_weights=weights)

    _, after, _ = run_passes(
        Weighted(), _WORDS, torch.randn(3, 3), passes=(WriteOutEmbeddingBag(),)
    )
    assert after["embedding_bag"] == 0


def test_the_number_of_bags_may_vary():
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = bag("mean")

        def forward(self, words: Tensor) -> Tensor:
            return self.bag(words)

    net = Words().eval()
    shapes = ({0: Dim("batch")},)
    with torch.no_grad():
        program = torch.export.export(net, (_WORDS,), dynamic_shapes=shapes, strict=False)
    after, (outcome,) = apply(program, (WriteOutEmbeddingBag(),))
    assert outcome.count == 1
    words = torch.randint(0, 9, (5, 3))
    with torch.no_grad():
        assert torch.allclose(after.module()(words), net(words), atol=1e-6)


def test_bags_whose_length_is_not_known_stay():
    words, starts = torch.arange(6), torch.tensor([0, 2])
    program = captured(bag("mean"), words, starts)
    after, (outcome,) = apply(program, (WriteOutEmbeddingBag(),))
    assert after is program
    assert "may differ in length" in outcome.refusals[0]
    assert_same(bag("mean").eval(), after, words, starts, atol=1e-6)


def test_a_maximum_without_padding_stays():
    program = captured(bag("max", 0), _WORDS)
    _, (outcome,) = apply(program, (WriteOutEmbeddingBag(),))
    assert "no padding" in outcome.refusals[0]
