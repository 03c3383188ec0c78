"""Given `view`, which fails where the strides of its input do not suit the new shape.
Result: `reshape`, which copies there.

Which strides an operator gives is its kernel's choice: quantization, another form of attention or a
dropped `contiguous` change them behind the back of a `view` that relied on them."""

from __future__ import annotations

import torch
from torch.fx import Node

from exporter.passes.base import Rewrite
from exporter.passes.graph import Graph

_aten = torch.ops.aten


class ViewToReshape(Rewrite[Node]):
    """The same numbers whatever the strides; without mutation, a copy is as good as an alias."""

    name = "view to reshape"

    def check(self, _graph: Graph, node: Node) -> Node | None:
        return node if node.target in (_aten.view.default, _aten._unsafe_view.default) else None

    def rewrite(self, graph: Graph, node: Node, plan: Node) -> None:
        graph.replace(node, graph.call(_aten.reshape.default, plan.args, origin=node))
