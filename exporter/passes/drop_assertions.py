"""Given checks of shapes and types that export left in the graph. Result: none."""

from __future__ import annotations

import torch
from torch.fx import Node

from exporter.passes.base import Rewrite
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_ASSERTIONS = frozenset(
    {
        _aten._assert_tensor_metadata.default,
        _aten._assert_scalar.default,
        _aten._assert_async.default,
        _aten._assert_async.msg,
        _aten.sym_constrain_range.default,
        _aten.sym_constrain_range_for_size.default,
    }
)


class DropAssertions(Rewrite[bool]):
    """The runner checks its inputs; inside the graph no runtime has a kernel for these."""

    name = "drop assertions"

    def check(self, _graph: Graph, node: Node) -> bool | None:
        return True if node.target in _ASSERTIONS and not node.users else None

    def rewrite(self, graph: Graph, node: Node, _plan: bool) -> None:
        graph.remove(node)
