"""Given `x @ W`, `x @ V.t()`, `addmm(b, x, W)`, or `linear(x, V) + b` with constant `W`, `V`, `b`.
Result: `linear(x, V, b)`, which every runtime has an int8 kernel for."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import Node

from exporter.passes.base import Refusal, Rewrite, argument
from exporter.passes.graph import Graph

_aten = torch.ops.aten


@dataclass(frozen=True)
class _Fuse:
    """`weight` is (out, in) when `transposed`, else (in, out) and still to be turned."""

    source: Node
    weight: Node
    transposed: bool
    bias: Node | None


class FuseLinear(Rewrite[_Fuse]):
    """Recognises the ways a linear layer may be written."""

    name = "fuse linear"

    def check(self, graph: Graph, node: Node) -> _Fuse | Refusal | None:
        if node.target in (_aten.mm.default, _aten.matmul.default):
            return _product(graph, node.args[0], node.args[1], None)
        if node.target is _aten.addmm.default:
            bias, source, weight = node.args
            plain = all(argument(node, 9, k, 1) == 1 for k in ("alpha", "beta"))
            if not plain or not _is_bias(graph, bias, weight):
                return None
            return _product(graph, source, weight, bias)
        if node.target is _aten.add.Tensor and argument(node, 2, "alpha", 1) == 1:
            return _sum(graph, node.args[0], node.args[1]) or _sum(
                graph, node.args[1], node.args[0]
            )
        return None

    def rewrite(self, graph: Graph, node: Node, plan: _Fuse) -> None:
        weight = plan.weight
        if not plan.transposed:
            value = graph.constant(weight)
            assert value is not None
            weight = graph.add_constant(value.t(), like=weight)
        bias = plan.bias
        if bias is not None and bias.meta["val"].dim() != 1:
            value = graph.constant(bias)
            assert value is not None
            bias = graph.add_constant(value.reshape(-1), like=bias)
        args = (plan.source, weight) if bias is None else (plan.source, weight, bias)
        graph.replace(node, graph.call(_aten.linear.default, args, origin=node))


def _product(
    graph: Graph, source: object, weight: object, bias: Node | object | None
) -> _Fuse | Refusal | None:
    if not isinstance(source, Node) or not isinstance(weight, Node):
        return None
    if graph.constant(source) is not None or source.meta["val"].dim() < 2:
        return None
    bias = bias if isinstance(bias, Node) else None
    turned = _turned(weight)
    if turned is not None and graph.constant(turned) is not None:
        return _Fuse(source, turned, True, bias)
    value = graph.constant(weight)
    if value is None or value.dim() != 2 or not value.is_floating_point():
        return None
    if len(weight.users) > 1:
        return Refusal("its weight is used elsewhere too, a turned copy would add to the file")
    return _Fuse(source, weight, False, bias)


def _sum(graph: Graph, linear: object, bias: object) -> _Fuse | None:
    if not isinstance(linear, Node) or linear.target is not _aten.linear.default:
        return None
    weight = linear.args[1]
    if argument(linear, 2, "bias") is not None or len(linear.users) != 1:
        return None
    source = linear.args[0]
    assert isinstance(source, Node)
    assert isinstance(weight, Node)
    if not isinstance(bias, Node) or not _fits(graph, bias, weight.meta["val"].shape[0]):
        return None
    return _Fuse(source, weight, True, bias)


def _turned(node: Node) -> Node | None:
    """`V` of `V.t()`, however it is written, for a matrix `V`."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Node) or node.meta["val"].dim() != 2:
        return None
    swap = {
        _aten.t.default: True,
        _aten.numpy_T.default: True,
        _aten.transpose.int: {d % 2 for d in node.args[1:] if isinstance(d, int)} == {0, 1},
        _aten.permute.default: list(node.args[1:]) in ([[1, 0]], [[-1, -2]], [[-1, 0]], [[1, -2]]),
    }
    return source if swap.get(node.target, False) else None  # type: ignore[call-overload]


def _is_bias(graph: Graph, bias: object, weight: object) -> bool:
    return (
        isinstance(bias, Node)
        and isinstance(weight, Node)
        and _fits(graph, bias, weight.meta["val"].shape[1])
    )


def _fits(graph: Graph, bias: Node, size: int) -> bool:
    """Whether `bias` is a constant of shape (size,) or (1, ..., size)."""
    value = graph.constant(bias)
    return value is not None and value.dim() > 0 and value.numel() == size == value.shape[-1]
