"""Linear layers, activations, attention, views: the same numbers in fewer or plainer operators."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as fn

from exporter.passes import SHARED, apply, for_format
from exporter.passes.conv1d_to_conv2d import Conv1dToConv2d
from exporter.passes.drop_dropout import DropDropout
from exporter.passes.drop_noops import DropNoops
from exporter.passes.fuse_activation import FuseActivation
from exporter.passes.fuse_linear import FuseLinear
from exporter.passes.literal_padding import LiteralPadding
from exporter.passes.plain_convolution import PlainConvolution
from exporter.passes.view_to_reshape import ViewToReshape
from exporter.passes.write_out_attention import WriteOutAttention
from exporter.types import Format
from tests.passes.support import operators, run_passes
from tests.support import captured


class Weighted(nn.Module):
    """A function of an input and of this module's matrices and biases."""

    def __init__(self, body) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.randn(4, 6)), nn.Parameter(torch.randn(6, 4))
        self.b, self.row = nn.Parameter(torch.randn(6)), nn.Parameter(torch.randn(1, 6))
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x, self)


class Plain(nn.Module):
    """A function of its inputs."""

    def __init__(self, body) -> None:
        super().__init__()
        self.body = body

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return self.body(*inputs)


@pytest.mark.parametrize(
    "body",
    [
        lambda x, m: x @ m.w,
        lambda x, m: x @ m.w + m.b,
        lambda x, m: m.b + x @ m.v.t(),
        lambda x, m: torch.matmul(x, m.v.transpose(0, 1)) + m.row,
        lambda x, m: torch.addmm(m.b, x, m.w),
        lambda x, m: fn.linear(x, m.v) + m.b,
    ],
)
def test_every_spelling_of_a_linear_layer(body):
    _, after, (outcome,) = run_passes(
        Weighted(body), torch.randn(5, 4), passes=(FuseLinear(),), atol=1e-4
    )
    assert outcome.changed
    assert after["linear"] == 1
    assert not after.keys() & {"matmul", "mm", "addmm", "add", "t", "transpose"}


def test_a_shared_matrix_is_not_stored_twice():
    model = Weighted(lambda x, m: (x @ m.w, x.abs() @ m.w))
    _, after, (outcome,) = run_passes(model, torch.randn(5, 4), passes=(FuseLinear(),))
    assert after["matmul"] == 2
    assert "used elsewhere" in outcome.refusals[0]


def test_products_of_two_activations_stay():
    model = Plain(lambda x, y: x @ y)
    _, after, _ = run_passes(model, torch.randn(3, 4), torch.randn(4, 3), passes=(FuseLinear(),))
    assert after == {"matmul": 1}


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (fn.relu6, {"hardtanh": 1}),
        (lambda x: x.clamp(-1, 2), {"hardtanh": 1}),
        (lambda x: x.clamp(min=0), {"relu": 1}),
        (lambda x: x.clamp(min=0.5), {"clamp": 1}),
        (lambda x: fn.relu(x).clamp(max=1.0, min=-1), {"hardtanh": 1}),
        (lambda x: fn.hardtanh(fn.hardtanh(x, -1, 1), 2, 3), {"hardtanh": 1}),
        (lambda x: fn.relu(fn.hardtanh(x, -3, -2)), {"hardtanh": 1}),
        (lambda x: fn.relu(fn.relu(x)), {"relu": 1}),
    ],
)
def test_clamps_have_one_spelling(body, expected):
    _, after, _ = run_passes(Plain(body), 4 * torch.randn(50), passes=(FuseActivation(),))
    assert after == expected


def test_integer_clamps_stay():
    model = Plain(lambda x: x.clamp(0, 6))
    _, after, _ = run_passes(model, torch.arange(10), passes=(FuseActivation(),))
    assert after == {"clamp": 1}


@pytest.mark.parametrize("groups", [1, 2])
def test_conv1d_becomes_conv2d(groups):
    model = nn.Conv1d(4, 6, 3, stride=2, padding=1, groups=groups)
    _, after, _ = run_passes(model, torch.randn(2, 4, 9), passes=(Conv1dToConv2d(),))
    assert after == {"unsqueeze": 1, "conv2d": 1, "squeeze": 1}


def test_noops_go():
    def body(x: torch.Tensor) -> torch.Tensor:
        y = (x * 1 + 0).clone().contiguous().to(torch.float32).expand(2, 4, 4).view(2, 4, 4)
        y = fn.pad(y, (0, 0)).permute(0, 1, 2)[:, :]
        return torch.relu(y)

    before, after, _ = run_passes(Plain(body), torch.randn(2, 4, 4), passes=(DropNoops(),))
    assert sum(before.values()) >= 8
    assert after.keys() <= {"relu", "_assert_tensor_metadata"}


def test_what_only_looks_like_a_noop_stays():
    def body(x: torch.Tensor) -> torch.Tensor:
        shifted = fn.pad(x, (1, -1)).transpose(0, 1)
        return shifted.contiguous().view(2, 8)

    _, after, (outcome,) = run_passes(Plain(body), torch.randn(4, 4), passes=(DropNoops(),))
    assert not outcome.changed
    assert after == {"pad": 1, "transpose": 1, "contiguous": 1, "view": 1}


def test_an_input_is_not_handed_through_as_output():
    _, after, _ = run_passes(Plain(lambda x: x.clone()), torch.randn(3), passes=(DropNoops(),))
    assert after == {"clone": 1}


def test_views_do_not_depend_on_strides():
    model, x = Plain(lambda x: x.view(2, 12)[:, 1:].contiguous().view(22)), torch.randn(4, 6)
    before, after, (outcome,) = run_passes(model, x, passes=(ViewToReshape(),))
    assert before["view"] == outcome.count == 2
    assert (after["view"], after["reshape"]) == (0, 2)


def test_a_view_that_relied_on_the_strides_of_attention():
    """Fused attention gives (B, L, H, D) in memory; written out, it gives (B, H, L, D)."""

    def body(x):
        heads = fn.silu(x, inplace=True).view(2, 5, 4, 3).transpose(1, 2)
        mixed = fn.scaled_dot_product_attention(heads, heads, heads)
        return mixed.transpose(1, 2).contiguous().view(2, 5, 12)

    model, x = Plain(lambda x: body(x * 1.5)), torch.randn(2, 5, 12)
    _, after, _ = run_passes(model, x, passes=(*SHARED, *for_format(Format.PTE)))
    assert not after.keys() & {"scaled_dot_product_attention", "view"}


@pytest.mark.parametrize(
    ("layer", "shape", "name"),
    [
        (nn.Conv1d(4, 6, 3, stride=2), (1, 4, 9), "conv1d"),
        (nn.Conv2d(4, 4, 3, groups=2, padding=1, dilation=2, bias=False), (1, 4, 9, 8), "conv2d"),
        (nn.Conv3d(2, 3, 2), (1, 2, 4, 5, 6), "conv3d"),
        (
            nn.ConvTranspose2d(4, 4, 3, stride=2, output_padding=1, groups=2, dilation=2),
            (1, 4, 5, 6),
            "conv_transpose2d",
        ),
    ],
)
def test_a_core_convolution_is_spelled_as_what_it_is(
    layer: nn.Module, shape: tuple[int, ...], name: str
) -> None:
    x = torch.randn(shape)
    program = captured(layer, x).run_decompositions()
    assert operators(program)["convolution"] == 1
    plain, (outcome,) = apply(program, (PlainConvolution(),))
    assert outcome.count == 1
    assert operators(plain)[name] == 1
    assert "convolution" not in operators(plain)
    with torch.no_grad():
        (wanted,), (found,) = program.module()(x), plain.module()(x)
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize(
    ("conv", "shape"),
    [
        (nn.Conv2d(4, 6, 3, padding="same", dilation=2), (1, 4, 7, 8)),
        (nn.Conv2d(4, 4, (2, 5), padding="same", groups=2, bias=False), (1, 4, 7, 8)),
        (nn.Conv1d(4, 6, 4, padding="same"), (1, 4, 9)),
        (nn.Conv2d(4, 6, 3, padding="valid", stride=2), (1, 4, 7, 8)),
    ],
)
def test_padding_in_words_becomes_numbers(conv, shape):
    _, after, _ = run_passes(conv, torch.randn(shape), passes=(LiteralPadding(),))
    odd = any(k % 2 == 0 for k in conv.kernel_size)
    assert after["constant_pad_nd"] == odd
    program, _ = apply(captured(conv, torch.randn(shape)), (LiteralPadding(),))
    assert not any("padding" in str(n.target) for n in program.graph.nodes)


def test_dropout_goes():
    model = nn.Sequential(nn.Dropout(0.5), nn.ReLU(), nn.Dropout2d(0.1), nn.AlphaDropout(0.2))
    before, after, _ = run_passes(model, torch.randn(1, 2, 3, 3), passes=(DropDropout(),))
    assert sum(before.values()) == 4
    assert after == {"relu": 1}


def test_active_dropout_is_reported():
    model = Plain(lambda x: fn.dropout(x, 1.0, training=True))
    _, after, (outcome,) = run_passes(model, torch.randn(3), passes=(DropDropout(),))
    assert after == {"dropout": 1}
    assert "training mode" in outcome.refusals[0]


_Q, _K = torch.randn(2, 4, 5, 8), torch.randn(2, 4, 7, 8)
_SQUARE = torch.randn(2, 4, 5, 8)


@pytest.mark.parametrize(
    ("body", "inputs"),
    [
        (lambda q, k, v: fn.scaled_dot_product_attention(q, k, v), (_Q, _K, _K)),
        (lambda q, k, v: fn.scaled_dot_product_attention(q, k, v, scale=0.3), (_Q, _K, _K)),
        (
            lambda q, k, v: fn.scaled_dot_product_attention(q, k, v, is_causal=True),
            (_SQUARE, _SQUARE, _SQUARE),
        ),
        (
            lambda q, k, v, m: fn.scaled_dot_product_attention(q, k, v, m),
            (_Q, _K, _K, torch.randn(5, 7)),
        ),
        (
            lambda q, k, v, m: fn.scaled_dot_product_attention(q, k, v, m > 0),
            (_Q, _K, _K, torch.cat([torch.randn(2, 1, 4, 7), -torch.ones(2, 1, 1, 7)], 2)),
        ),
        (
            lambda q, k, v: fn.scaled_dot_product_attention(q, k, v, enable_gqa=True),
            (_Q, _K[:, :2].clone(), _K[:, :2].clone()),
        ),
    ],
    ids=["plain", "scale", "causal", "float mask", "boolean mask", "grouped"],
)
def test_attention_is_written_out(body, inputs):
    before, after, _ = run_passes(Plain(body), *inputs, passes=(WriteOutAttention(),))
    assert before["scaled_dot_product_attention"] == 1
    assert after["scaled_dot_product_attention"] == 0
    assert after["matmul"] == 2
    assert after["softmax"] == 1


def test_layers_share_one_causal_mask():
    attend = partial(fn.scaled_dot_product_attention, is_causal=True)
    model = Plain(lambda x: attend(attend(x, x, x), x, x))
    program, _ = apply(captured(model, _SQUARE), (WriteOutAttention(),))
    assert [tuple(t.shape) for t in program.state_dict.values()] == [(5, 5)]


def test_attention_that_sees_nothing_keeps_its_safe_softmax():
    mask = torch.ones(5, 7, dtype=torch.bool)
    mask[0] = False

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", mask)

        def forward(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
            return fn.scaled_dot_product_attention(q, k, k, self.mask)

    _, after, (outcome,) = run_passes(Hidden(), _Q, _K, passes=(WriteOutAttention(),))
    assert after["scaled_dot_product_attention"] == 1
    assert "hides every key" in outcome.refusals[0]
