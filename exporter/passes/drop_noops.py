"""Given a call that gives back what it was given (`clone`, an expand to the same shape, `x * 1`).
Result: its input."""

from __future__ import annotations

import torch
from torch.fx import Node
from torch.fx.experimental.symbolic_shapes import statically_known_true

from exporter.passes.base import Rewrite, argument
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_COPIES = frozenset(
    {
        _aten.alias.default,
        _aten.clone.default,
        _aten.contiguous.default,
        _aten.detach.default,
        _aten.detach_.default,
        _aten.expand.default,
        _aten.expand_as.default,
        _aten.flatten.using_ints,
        _aten.lift_fresh.default,
        _aten.lift_fresh_copy.default,
        _aten.repeat.default,
        _aten.reshape.default,
        _aten.slice.Tensor,
        _aten.squeeze.default,
        _aten.squeeze.dim,
        _aten.squeeze.dims,
        _aten.to.device,
        _aten.to.dtype,
        _aten.to.dtype_layout,
        _aten.to.other,
        _aten.type_as.default,
        _aten._to_copy.default,
        _aten._unsafe_view.default,
        _aten.view.default,
    }
)
"""Whose result is the input itself when shape, layout and element type are the same."""

_NEUTRAL = {
    _aten.add.Tensor: 0,
    _aten.add.Scalar: 0,
    _aten.sub.Tensor: 0,
    _aten.sub.Scalar: 0,
    _aten.mul.Tensor: 1,
    _aten.mul.Scalar: 1,
    _aten.div.Tensor: 1,
    _aten.div.Scalar: 1,
    _aten.pow.Tensor_Scalar: 1,
}
"""Operator -> the second operand that changes nothing."""


class DropNoops(Rewrite[Node]):
    """Removes calls without effect; an input is never handed through as an output, though."""

    name = "drop no-ops"

    def check(self, graph: Graph, node: Node) -> Node | None:
        source = argument(node, 0, "self")
        if not isinstance(source, Node) or not _does_nothing(node, source):
            return None
        returned = node in graph.outputs
        passes_through = source.op == "placeholder" or source in graph.outputs
        return None if returned and passes_through else source

    def rewrite(self, graph: Graph, node: Node, plan: Node) -> None:
        graph.replace(node, plan)


def _does_nothing(node: Node, source: Node) -> bool:
    if not _same_tensor(node, source):
        return False
    if node.target in _NEUTRAL:
        other = argument(node, 1, "other")
        return isinstance(other, int | float) and other == _NEUTRAL[node.target]
    if node.target is _aten.permute.default:
        dims = argument(node, 1, "dims")
        return [d % len(dims) for d in dims] == list(range(len(dims)))
    if node.target in (_aten.constant_pad_nd.default, _aten.pad.default):
        return all(isinstance(p, int) and p == 0 for p in argument(node, 1, "pad"))
    return node.target in _COPIES


def _same_tensor(a: Node, b: Node) -> bool:
    """Same element type, shape and strides, as far as that is certain with symbolic sizes."""
    x, y = a.meta.get("val"), b.meta.get("val")
    if not isinstance(x, torch.Tensor) or not isinstance(y, torch.Tensor):
        return False
    if x.dtype != y.dtype or x.dim() != y.dim():
        return False
    # A later `view` may rely on the strides that a `contiguous` has made.
    pairs = zip((*x.shape, *x.stride()), (*y.shape, *y.stride()), strict=True)
    return all(statically_known_true(p == q) for p, q in pairs)
