"""Given `convolution`, which a program that was decomposed to the core operators has.
Result: conv1d, conv2d, conv3d or their transposed forms.

Passes, quantizers and converters know those by their weights."""

from __future__ import annotations

import torch
from torch.fx import Node

from exporter.passes.base import Rewrite, argument, shape_of
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_PLAIN = {3: _aten.conv1d.default, 4: _aten.conv2d.default, 5: _aten.conv3d.default}
_TRANSPOSED = {
    3: _aten.conv_transpose1d.default,
    4: _aten.conv_transpose2d.input,
    5: _aten.conv_transpose3d.input,
}
"""Dimensions of the weight -> operator."""


class PlainConvolution(Rewrite[torch._ops.OpOverload]):
    """The same numbers: `convolution` is what each of them calls."""

    name = "plain convolutions"

    def check(self, _graph: Graph, node: Node) -> torch._ops.OpOverload | None:
        if node.target is not _aten.convolution.default:
            return None
        weight = node.args[1]
        assert isinstance(weight, Node)
        table = _TRANSPOSED if argument(node, 6, "transposed") else _PLAIN
        return table.get(len(shape_of(weight)))

    def rewrite(self, graph: Graph, node: Node, found: torch._ops.OpOverload) -> None:
        source, weight, bias, stride, padding, dilation, transposed, more, groups = node.args
        after = (more, groups, dilation) if transposed else (dilation, groups)
        args = (source, weight, bias, stride, padding, *after)
        graph.replace(node, graph.call(found, args, origin=node))
