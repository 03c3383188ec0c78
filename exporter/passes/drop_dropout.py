"""Given `dropout(x)` that is switched off. Result: `x`."""

from __future__ import annotations

import torch
from torch.fx import Node

from exporter.passes.base import Refusal, Rewrite, argument
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_DROPOUTS = frozenset(
    {
        _aten.dropout.default,
        _aten.feature_dropout.default,
        _aten.alpha_dropout.default,
        _aten.feature_alpha_dropout.default,
    }
)


class DropDropout(Rewrite[Node]):
    """Removes every kind of dropout; one that is active is left, for it changes the numbers."""

    name = "drop dropout"

    def check(self, _graph: Graph, node: Node) -> Node | Refusal | None:
        if node.target not in _DROPOUTS:
            return None
        if argument(node, 2, "train") and argument(node, 1, "p") > 0:
            return Refusal("it is active, the model is in training mode")
        source = node.args[0]
        assert isinstance(source, Node)
        return source

    def rewrite(self, graph: Graph, node: Node, plan: Node) -> None:
        graph.replace(node, plan)
