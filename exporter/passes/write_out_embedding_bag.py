"""Given `embedding_bag(table, indices, offsets, weights)` with bags of equal length: (n * length),
and 0, length, 2 length, ... as `nn.EmbeddingBag` makes them of (n, length).
Result: `embedding(table, (n, length))`, weighted, and the sum, mean or maximum over each bag. Where
an index means padding, its rows count as zeros.

Mobile runtimes have an embedding, but none for bags."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import Node

from exporter.passes.base import Refusal, Rewrite, argument, shape_of
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_BAGS = frozenset({_aten.embedding_bag.default, _aten.embedding_bag.padding_idx})
_SUM, _MEAN, _MAX = 0, 1, 2


@dataclass(frozen=True)
class _Bags:
    table: Node
    indices: Node
    weights: Node | None
    padding: int | None
    length: int
    mode: int
    result: Node


class WriteOutEmbeddingBag(Rewrite[_Bags]):
    """Sum, mean and maximum, weighted or not."""

    name = "write out embedding bag"

    def check(self, graph: Graph, node: Node) -> _Bags | Refusal | None:
        if node.target not in _BAGS:
            return None
        table, indices, offsets = node.args[:3]
        assert isinstance(table, Node)
        assert isinstance(indices, Node)
        used = [user for user in node.users if user.users]
        if [user.args[1] for user in used] != [0]:
            return Refusal("more than its first result is used")
        length = _bag_length(graph, offsets, shape_of(indices))
        if length is None:
            return Refusal("its bags may differ in length")
        mode = argument(node, 4, "mode", _SUM)
        padding = argument(node, 8, "padding_idx")
        if mode == _MAX and padding is not None:
            return Refusal("it takes the maximum of what is no padding")
        weights = argument(node, 6, "per_sample_weights")
        return _Bags(table, indices, weights, padding, length, mode, used[0])

    def rewrite(self, graph: Graph, node: Node, plan: _Bags) -> None:
        def call(target: torch._ops.OpOverload, *args: object) -> Node:
            return graph.call(target, args, origin=node)

        bags = call(_aten.view.default, plan.indices, [-1, plan.length])
        rows = call(_aten.embedding.default, plan.table, bags)
        if plan.weights is not None:
            weights = call(_aten.view.default, plan.weights, [-1, plan.length, 1])
            rows = call(_aten.mul.Tensor, rows, weights)
        if plan.mode == _MAX:
            result = call(_aten.amax.default, rows, [1])
        elif plan.padding is None:
            reduce = _aten.mean.dim if plan.mode == _MEAN else _aten.sum.dim_IntList
            result = call(reduce, rows, [1])
        else:
            counted = call(_aten.ne.Scalar, bags, plan.padding)
            counted = call(_aten.to.dtype, counted, rows.meta["val"].dtype)
            rows = call(_aten.mul.Tensor, rows, call(_aten.unsqueeze.default, counted, -1))
            result = call(_aten.sum.dim_IntList, rows, [1])
            if plan.mode == _MEAN:  # of a bag with nothing but padding: zeros
                size = call(_aten.sum.dim_IntList, counted, [1], True)
                result = call(_aten.div.Tensor, result, call(_aten.clamp_min.default, size, 1))
        graph.replace(plan.result, result)


def _bag_length(graph: Graph, offsets: object, shape: tuple[object, ...]) -> int | None:
    """Length of the bags, where the offsets are known and evenly spaced up to the end."""
    count = shape[0]
    if not isinstance(offsets, Node):
        return None
    if offsets.target is _aten.arange.start_step:
        start, stop, step = offsets.args[:3]
        even = start == 0 and _same(stop, count)
        return step if even and isinstance(step, int) else None
    starts = graph.constant(offsets)
    if starts is None or not isinstance(count, int) or count % len(starts):
        return None
    length = count // len(starts)
    return length if starts.tolist() == list(range(0, count, length)) else None


def _same(stop: object, count: object) -> bool:
    return bool((stop.meta["val"] if isinstance(stop, Node) else stop) == count)
