"""Given `scaled_dot_product_attention(q, k, v, mask)`, (..., L, E), (..., S, E), (..., S, Ev).
Result: `softmax(q * scale @ k^T + mask) @ v` in plain operators.

The usual decomposition guards against rows that are masked throughout ("safe softmax": eq, any,
where), which delegates cannot take and which splits the graph at every attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import Node

from exporter.passes.base import Refusal, Rewrite, argument, shape_of
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_LOWEST = -10000.0
"""Added to a score that must not count: exp(-10000) is 0 in float32, and float16 can hold it.
Not -inf, which makes NaN of a row that is masked throughout."""


@dataclass(frozen=True)
class _Attention:
    query: Node
    key: Node
    value: Node
    mask: Node | torch.Tensor | None
    scale: float
    groups: int


class WriteOutAttention(Rewrite[_Attention]):
    """With float and boolean masks, causal attention, and grouped queries.

    Args:
        divide: the query by 1 / scale, not multiply it with the scale: of a product PyTorch's
            int8 lowering makes an int8 operator, which costs accuracy.
    """

    def __init__(self, divide: bool = False) -> None:
        self.name = f"write out attention{' with a division' if divide else ''}"
        self._divide = divide

    def check(self, graph: Graph, node: Node) -> _Attention | Refusal | None:
        if node.target is not _aten.scaled_dot_product_attention.default:
            return None
        query, key, value = node.args[:3]
        assert isinstance(query, Node)
        assert isinstance(key, Node)
        assert isinstance(value, Node)
        if argument(node, 4, "dropout_p", 0.0) > 0:
            return Refusal("its dropout is active")
        mask = argument(node, 3, "attn_mask")
        if argument(node, 5, "is_causal", False):
            rows, columns = shape_of(query)[-2], shape_of(key)[-2]
            if not isinstance(rows, int) or not isinstance(columns, int):
                return Refusal("it is causal over a length that may vary")
            mask = torch.ones(rows, columns, dtype=torch.bool).tril()
        elif isinstance(mask, Node) and mask.meta["val"].dtype is torch.bool:
            constant = graph.constant(mask)
            mask = mask if constant is None else constant
        if isinstance(mask, torch.Tensor) and mask.dtype is torch.bool:
            if not bool(mask.any(-1).all()):
                return Refusal("its mask hides every key from some query")
            mask = torch.zeros(mask.shape).masked_fill(~mask, _LOWEST)
        scale = argument(node, 6, "scale")
        if scale is None:
            scale = shape_of(query)[-1] ** -0.5
        elif scale == 0 and self._divide:
            return Refusal("its scale is 0")
        grouped = argument(node, 7, "enable_gqa", False)
        groups = shape_of(query)[-3] // shape_of(key)[-3] if grouped else 1
        return _Attention(query, key, value, mask, float(scale), groups)

    def rewrite(self, graph: Graph, node: Node, plan: _Attention) -> None:
        def call(target: torch._ops.OpOverload, *args: object) -> Node:
            return graph.call(target, args, origin=node)

        key, value = plan.key, plan.value
        if plan.groups > 1:
            key = call(_aten.repeat_interleave.self_int, key, plan.groups, -3)
            value = call(_aten.repeat_interleave.self_int, value, plan.groups, -3)
        if self._divide:
            query = call(_aten.div.Tensor, plan.query, 1 / plan.scale)
        else:
            query = call(_aten.mul.Tensor, plan.query, plan.scale)
        scores = call(_aten.matmul.default, query, call(_aten.transpose.int, key, -2, -1))
        mask, kept = self._masks(graph, node, plan)
        if mask is not None:
            scores = call(_aten.add.Tensor, scores, mask)
        shares = call(_aten.softmax.int, scores, -1)
        if kept is not None:
            shares = call(_aten.mul.Tensor, shares, kept)
        graph.replace(node, call(_aten.matmul.default, shares, value))

    def _masks(self, graph: Graph, node: Node, plan: _Attention) -> tuple[Node | None, Node | None]:
        """What is added to the scores, and what the shares are multiplied with.

        The second is for a boolean mask known at run time only: where a row hides every key,
        attention gives zeros.
        """
        mask, dtype = plan.mask, plan.query.meta["val"].dtype
        if isinstance(mask, torch.Tensor):
            return graph.add_constant(mask.to(dtype), like=node), None
        if mask is None or mask.meta["val"].dtype is not torch.bool:
            return mask, None
        kept = graph.call(_aten.to.dtype, (mask, dtype), origin=node)
        hidden = graph.call(_aten.sub.Tensor, (kept, 1.0), origin=node)
        return graph.call(_aten.mul.Tensor, (hidden, -_LOWEST), origin=node), kept
