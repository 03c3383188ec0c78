"""What a captured program's operators are to int8: which hold weights, which only move numbers."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import Node

aten = torch.ops.aten

CONVS = frozenset(
    {
        *(aten.conv1d.default, aten.conv2d.default, aten.conv3d.default),
        *(aten.conv1d.padding, aten.conv2d.padding, aten.conv3d.padding),
    }
)

TRANSPOSED_CONVS = frozenset(
    {aten.conv_transpose1d.default, aten.conv_transpose2d.input, aten.conv_transpose3d.input}
)

LINEARS = frozenset({aten.linear.default, aten.matmul.default, aten.mm.default, aten.addmm.default})

LAYERS = CONVS | TRANSPOSED_CONVS | LINEARS

RECURRENT = frozenset({aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input})

EMBEDDING = aten.embedding.default

CLAMPS = frozenset(
    {
        *(aten.relu.default, aten.relu6.default, aten.hardtanh.default),
        *(aten.clamp.default, aten.clamp_min.default, aten.clip.default),
    }
)
"""After a convolution or linear layer, one with it in every runtime."""

REORDERS = frozenset(
    {
        *(aten.reshape.default, aten.view.default, aten.flatten.using_ints),
        *(aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default),
        *(aten.permute.default, aten.transpose.int, aten.t.default),
    }
)

MOVES = REORDERS | {
    *(aten.slice.Tensor, aten.select.int, aten.unbind.int, aten.chunk.default),
    *(aten.split.Tensor, aten.split_with_sizes.default, operator.getitem),
}
"""Only pick or reorder elements of their first input: what they give shares its range."""

BETWEEN = MOVES | {
    *(aten.add.Tensor, aten.mul.Tensor, aten.cat.default, aten.mean.dim),
    *(aten.avg_pool1d.default, aten.avg_pool2d.default, aten.max_pool1d.default),
    *(aten.max_pool2d.default, aten.adaptive_avg_pool1d.default, aten.adaptive_avg_pool2d.default),
    *(aten.pad.default, aten.constant_pad_nd.default, aten.reflection_pad2d.default),
    *(aten.upsample_bilinear2d.vec, aten.upsample_bilinear2d.default),
    *(aten.upsample_nearest2d.vec, aten.upsample_nearest2d.default),
    *(aten.sigmoid.default, aten.silu.default, aten.hardswish.default, aten.hardsigmoid.default),
    *(aten.leaky_relu.default, *CLAMPS),
}
"""Hold no weights, and int8 serves them where all around them is int8 too."""

PRODUCTS = frozenset({aten.mul.Tensor, aten.mul.Scalar, aten.div.Tensor})

ATTENTION = aten.scaled_dot_product_attention.default

_BATCHED = frozenset({aten.matmul.default, aten.mm.default, aten.bmm.default, aten.baddbmm.default})


@dataclass(frozen=True)
class Weighted:
    """Where a layer has its inputs.

    Attributes:
        activation: what it is applied to.
        weights: those with two dimensions or more.
    """

    activation: Node
    weights: tuple[Node, ...]


def layer_of(node: Node, constants: frozenset[Node]) -> Weighted | None:
    """The layer that a call is, or None if it holds no float32 weights.

    Args:
        node: a call of the captured program.
        constants: what no input has a part in; see `constants_of`.
    """
    if node.target in RECURRENT:
        given = node.args[2]
        assert isinstance(given, list | tuple)
        return _layer(node.args[0], [n for n in given if _rank(n) > 1], constants)
    if node.target is EMBEDDING:
        return _layer(node.args[1], node.args[:1], constants)
    if node.target in LAYERS:
        first = int(node.target is aten.addmm.default)
        return _layer(node.args[first], node.args[first + 1 : first + 2], constants)
    return None


def _layer(
    activation: object, weights: Sequence[object], constants: frozenset[Node]
) -> Weighted | None:
    stored = tuple(n for n in weights if isinstance(n, Node) and n.op == "placeholder")
    if not isinstance(activation, Node) or not stored or len(stored) < len(weights):
        return None
    fit = all(n in constants and is_float(n) and _rank(n) > 1 for n in stored)
    return Weighted(activation, stored) if fit else None


def _rank(node: object) -> int:
    return node.meta["val"].dim() if isinstance(node, Node) else 0


def constants_of(program: ExportedProgram) -> frozenset[Node]:
    """Weights, and what is computed of them alone; without states that the program writes to."""
    written = set(program.graph_signature.buffers_to_mutate.values())
    stored = {
        spec.arg.name
        for spec in program.graph_signature.input_specs
        if spec.kind is not InputKind.USER_INPUT and spec.target not in written
    }
    found: set[Node] = set()
    for node in program.graph.nodes:
        computed = node.op == "call_function" and found.issuperset(node.all_input_nodes)
        if node.name in stored or computed:
            found.add(node)
    return frozenset(found)


def is_float(node: Node) -> bool:
    """Whether a call gives float32, or a list of such tensors."""
    value = node.meta.get("val")
    parts = value if isinstance(value, list | tuple) else [value]
    return all(isinstance(p, torch.Tensor) and p.dtype == torch.float32 for p in parts)


def is_move(node: Node) -> bool:
    """Whether a call only picks or reorders elements of its first input; not a part of a layer's
    several outputs."""
    if node.target not in MOVES:
        return False
    source = node.args[0]
    assert isinstance(source, Node)
    return node.target is not operator.getitem or source.target in MOVES


def is_depthwise(conv: Node) -> bool:
    """One input channel per group; no runtime has a dynamic int8 kernel for it.

    XNNPACK takes the first layer over a grayscale image, one group of one channel, for the same.
    """
    weight = conv.args[1]
    assert isinstance(weight, Node)
    return conv.target in CONVS and bool(weight.meta["val"].shape[1] == 1)


def macs(node: Node, layer: Weighted | None) -> int:
    """Multiply-accumulate operations of one call, at the example's sizes.

    Each weight of a convolution takes part once for each output position, of a transposed one for
    each input position, of a linear or recurrent layer for each row of its input.
    """
    if node.target is ATTENTION:
        query, key, value = (_shape(n) for n in node.args[:3])
        rows = math.prod(query[:-1]) * key[-2]
        return rows * (query[-1] + value[-1])
    if layer is None and node.target in _BATCHED:
        factor = node.args[int(node.target is aten.baddbmm.default)]
        return math.prod(_shape(node)) * _shape(factor)[-1]
    if layer is None or node.target is EMBEDDING:
        return 0
    if node.target in CONVS | TRANSPOSED_CONVS:
        image = _shape(node if node.target in CONVS else layer.activation)
        rank = len(_shape(layer.weights[0])) - 2
        batch = math.prod(image[: -rank - 1])
        positions = batch * math.prod(image[-rank:])
    else:
        positions = math.prod(_shape(layer.activation)[:-1])
    return positions * sum(math.prod(_shape(w)) for w in layer.weights)


def _shape(node: object) -> tuple[int, ...]:
    """Sizes; of those that vary, the example's."""
    assert isinstance(node, Node)
    return tuple(
        size if isinstance(size, int) else int(size.node.hint or 1)
        for size in node.meta["val"].shape
    )
