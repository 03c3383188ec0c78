"""Given the edge dialect's graph before partitioning, with copies that change nothing, `squeeze`
and `unsqueeze`, reshapes with sizes computed at run time, and `split` or `select`.
Result: `view_copy` with literal sizes, at most one of them -1, and `slice_copy`.

XNNPACK takes none of the former, so each of them would end a delegate."""

from __future__ import annotations

import operator
from typing import Any

import torch
from executorch.exir.dialects._ops import ops as exir_ops
from torch.fx import GraphModule, Node
from torch.fx.experimental.symbolic_shapes import statically_known_true
from torch.fx.passes.infra.pass_base import PassResult

_edge = exir_ops.edge.aten

_COPIES = frozenset({_edge.expand_copy.default, _edge.view_copy.default, _edge.alias_copy.default})
_RESHAPES = frozenset(
    {
        _edge.squeeze_copy.default,
        _edge.squeeze_copy.dim,
        _edge.squeeze_copy.dims,
        _edge.unsqueeze_copy.default,
        _edge.view_copy.default,
    }
)


def plain_views(module: GraphModule) -> PassResult:
    """The pass, as `to_edge_transform_and_lower` takes it."""
    calls = [n for n in module.graph.nodes if n.op == "call_function"]
    count = sum(_unsplit(n) or _unselect(n) or _drop(n) or _respell(n) for n in calls)
    if count:
        module.graph.eliminate_dead_code()
        module.recompile()
    return PassResult(module, bool(count))


def _unsplit(node: Node) -> bool:
    """`split(x, sizes)[i]` as a slice of `x`."""
    if node.target is not operator.getitem:
        return False
    split, index = node.args
    assert isinstance(split, Node)
    if split.target is not _edge.split_with_sizes_copy.default or not _is_static(split.args[0]):
        return False
    source, sizes, dim = (*split.args, 0)[:3]
    start = sum(sizes[:index])  # type: ignore[index, arg-type]
    _become_slice(node, source, dim, start, start + sizes[index])  # type: ignore[index, operator]
    return True


def _unselect(node: Node) -> bool:
    """`x[:, i]` as a slice of `x`, reshaped."""
    source = node.args[0] if node.target is _edge.select_copy.int else None
    if not isinstance(source, Node) or not _is_static(source):
        return False
    dim, index = node.args[1:3]
    value, graph = source.meta["val"], node.graph
    assert isinstance(dim, int)
    assert isinstance(index, int)
    index %= value.shape[dim]
    with graph.inserting_before(node):
        piece = graph.call_function(_edge.slice_copy.Tensor)
    piece.meta = {**node.meta, "val": value.narrow(dim, index, 1)}
    _become_slice(piece, source, dim, index, index + 1)
    node.target, node.args = _edge.view_copy.default, (piece, list(node.meta["val"].shape))
    return True


def _become_slice(node: Node, *args: Any) -> None:
    node.target, node.args = _edge.slice_copy.Tensor, args


def _drop(node: Node) -> bool:
    source = node.args[0] if node.target in _COPIES else None
    if not isinstance(source, Node) or source.op == "placeholder":
        return False
    if not _same_shape(node.meta["val"], source.meta["val"]):
        return False
    node.replace_all_uses_with(source)
    return True


def _respell(node: Node) -> bool:
    if node.target not in _RESHAPES:
        return False
    sizes = [s if isinstance(s, int) else -1 for s in node.meta["val"].shape]
    if sizes.count(-1) > 1:
        return False
    source: Any = node.args[0]
    while source.target is _edge.view_copy.default:
        source = source.args[0]
    if (node.target, node.args) == (_edge.view_copy.default, (source, sizes)):
        return False
    node.target, node.args = _edge.view_copy.default, (source, sizes)
    return True


def _is_static(node: Any) -> bool:
    return all(isinstance(s, int) for s in node.meta["val"].shape)


def _same_shape(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.dtype != b.dtype or a.dim() != b.dim():
        return False
    return all(statically_known_true(p == q) for p, q in zip(a.shape, b.shape, strict=True))
