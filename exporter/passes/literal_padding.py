"""Given a convolution with `padding="same"` or `"valid"`.
Result: one with the padding in numbers, after a `pad` where "same" needs more on one side.

Quantizers and kernels know the latter only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import Node

from exporter.passes.base import Rewrite, argument, shape_of
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_IN_NUMBERS: dict[object, torch._ops.OpOverload] = {
    _aten.conv1d.padding: _aten.conv1d.default,
    _aten.conv2d.padding: _aten.conv2d.default,
    _aten.conv3d.padding: _aten.conv3d.default,
}


@dataclass(frozen=True)
class _Padding:
    """In elements: `both` on either side of each dimension, `after` at the end of some."""

    both: list[int]
    after: list[int]


class LiteralPadding(Rewrite[_Padding]):
    """The sizes are those of `torch.nn.functional.conv2d`: an odd element goes to the end."""

    name = "padding in numbers"

    def check(self, _graph: Graph, node: Node) -> _Padding | None:
        if node.target not in _IN_NUMBERS:
            return None
        weight = node.args[1]
        assert isinstance(weight, Node)
        kernel = shape_of(weight)[2:]
        dilation = argument(node, 5, "dilation", [1] * len(kernel))
        same = argument(node, 4, "padding", "valid") == "same"
        total = [d * (k - 1) if same else 0 for d, k in zip(dilation, kernel, strict=True)]
        return _Padding([t // 2 for t in total], [t % 2 for t in total])

    def rewrite(self, graph: Graph, node: Node, plan: _Padding) -> None:
        source, weight = node.args[:2]
        if any(plan.after):
            ends = [size for after in reversed(plan.after) for size in (0, after)]
            source = graph.call(_aten.constant_pad_nd.default, (source, ends), origin=node)
        ones = [1] * len(plan.both)
        args = (
            *(source, weight, argument(node, 2, "bias"), argument(node, 3, "stride", ones)),
            *(plan.both, argument(node, 5, "dilation", ones), argument(node, 6, "groups", 1)),
        )
        graph.replace(node, graph.call(_IN_NUMBERS[node.target], args, origin=node))
