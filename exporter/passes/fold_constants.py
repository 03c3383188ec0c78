"""Given a call on constants only. Result: a constant."""

from __future__ import annotations

import torch
from torch.fx import Node

from exporter.passes.base import Refusal, Rewrite
from exporter.passes.graph import Graph

MAX_GROWTH = 256 * 1024
"""Bytes that one fold may add to the file; a larger table is quicker computed than loaded."""

_UNINITIALISED = ("empty", "new_empty", "empty_like", "empty_strided")


class FoldConstants(Rewrite[torch.Tensor]):
    """Computes ahead what does not depend on the inputs: weight norms, masks, position tables."""

    name = "fold constants"

    def check(self, graph: Graph, node: Node) -> torch.Tensor | Refusal | None:
        inputs = node.all_input_nodes
        if any(graph.constant(n) is None for n in inputs) or not _is_pure(node):
            return None
        value = node.meta.get("val")
        if not isinstance(value, torch.Tensor) or not all(isinstance(s, int) for s in value.shape):
            return None
        freed = sum(_bytes(n.meta["val"]) for n in inputs if set(n.users) == {node})
        growth = _bytes(value) - freed
        if growth > MAX_GROWTH:
            return Refusal(f"folding it would add {growth / 1e6:.1f} MB to the file")
        return _evaluate(graph, node)

    def rewrite(self, graph: Graph, node: Node, plan: torch.Tensor) -> None:
        graph.replace(node, graph.add_constant(plan, like=node))


def _is_pure(node: Node) -> bool:
    target = node.target
    return (
        isinstance(target, torch._ops.OpOverload)
        and not target._schema.is_mutable
        and torch.Tag.nondeterministic_seeded not in target.tags
        and target._opname not in _UNINITIALISED
    )


def _bytes(value: torch.Tensor) -> int:
    return value.numel() * value.element_size()


def _evaluate(graph: Graph, node: Node) -> torch.Tensor:
    args, kwargs = torch.fx.node.map_arg((node.args, node.kwargs), graph.constant)
    with torch.no_grad():
        result: torch.Tensor = node.target(*args, **kwargs)  # type: ignore[operator]
    # A fresh copy: a view would drag its whole base into the saved file.
    return result.clone(memory_format=torch.contiguous_format)
