"""Given `conv1d(x, W)` on (N, C, L).
Result: `conv2d` on (N, C, 1, L) with `W` of (C_out, C_in, 1, K), and back to (N, C_out, L)."""

from __future__ import annotations

import torch
from torch.fx import Node

from exporter.passes.base import Rewrite, argument
from exporter.passes.graph import Graph

_aten = torch.ops.aten


class Conv1dToConv2d(Rewrite[torch.Tensor]):
    """Mobile engines have fast and int8 kernels for two dimensions, seldom for one."""

    name = "conv1d to conv2d"

    def check(self, graph: Graph, node: Node) -> torch.Tensor | None:
        if node.target is not _aten.conv1d.default or node.meta["val"].dim() != 3:
            return None
        return graph.constant(node.args[1])

    def rewrite(self, graph: Graph, node: Node, plan: torch.Tensor) -> None:
        source, old = node.args[:2]
        assert isinstance(old, Node)
        image = graph.call(_aten.unsqueeze.default, (source, 2), origin=node)
        args = (
            image,
            graph.add_constant(plan.unsqueeze(2), like=old),
            argument(node, 2, "bias"),
            [1, *_single(node, 3, "stride", 1)],
            [0, *_single(node, 4, "padding", 0)],
            [1, *_single(node, 5, "dilation", 1)],
            argument(node, 6, "groups", 1),
        )
        conv = graph.call(_aten.conv2d.default, args, origin=node)
        graph.replace(node, graph.call(_aten.squeeze.dim, (conv, 2), origin=node))


def _single(node: Node, index: int, name: str, default: int) -> list[int]:
    value = argument(node, index, name, default)
    return [value] if isinstance(value, int) else list(value)
