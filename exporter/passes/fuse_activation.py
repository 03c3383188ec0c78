"""Given `relu6(x)`, `clamp(x, a, b)`, `clamp(x, 0)` and their spellings.
Result: `hardtanh(x, a, b)` or `relu(x)`, the two that int8 kernels fuse with the layer before."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import Node

from exporter.passes.base import Rewrite, argument
from exporter.passes.graph import Graph

_aten = torch.ops.aten


@dataclass(frozen=True)
class _Clamp:
    source: Node
    low: float
    high: float | None


class FuseActivation(Rewrite[_Clamp]):
    """Spells every clamp in one way, and makes one of two that follow each other."""

    name = "fuse activations"

    def check(self, _graph: Graph, node: Node) -> _Clamp | None:
        if (clamp := _as_clamp(node)) is None:
            return None
        inner = _as_clamp(clamp.source)
        if inner is not None and len(clamp.source.users) == 1:
            return _merged(inner, clamp)
        settled = node.target in (_aten.relu.default, _aten.hardtanh.default)
        return None if settled else clamp

    def rewrite(self, graph: Graph, node: Node, plan: _Clamp) -> None:
        if plan.high is None:
            new = graph.call(_aten.relu.default, (plan.source,), origin=node)
        else:
            bounds = (float(plan.low), float(plan.high))
            new = graph.call(_aten.hardtanh.default, (plan.source, *bounds), origin=node)
        graph.replace(node, new)


def _as_clamp(node: Node) -> _Clamp | None:
    """`node` as a clamp of floats that `relu` or `hardtanh` can express."""
    source = node.args[0] if node.args else None
    if not isinstance(source, Node) or not isinstance(node.meta.get("val"), torch.Tensor):
        return None
    low, high = _bounds(node)
    value, given = node.meta["val"], source.meta.get("val")
    if (
        not value.is_floating_point()
        or not isinstance(given, torch.Tensor)
        or given.dtype != value.dtype
    ):
        return None
    if not isinstance(low, int | float) or not isinstance(high, int | float | None):
        return None
    return _Clamp(source, low, high) if high is not None or low == 0 else None


def _bounds(node: Node) -> tuple[object, object]:
    match node.target:
        case _aten.relu.default:
            return 0, None
        case _aten.relu6.default:
            return 0, 6
        case _aten.hardtanh.default:
            return argument(node, 1, "min_val", -1), argument(node, 2, "max_val", 1)
        case _aten.clamp.default | _aten.clip.default:
            return argument(node, 1, "min"), argument(node, 2, "max")
        case _aten.clamp_min.default:
            return argument(node, 1, "min"), None
    return None, None


def _merged(inner: _Clamp, outer: _Clamp) -> _Clamp:
    """`outer(inner(x))` as one clamp: the outer bounds hold whatever the inner ones are."""
    upper = [h for h in (inner.high, outer.high) if h is not None]
    low, high = max(inner.low, outer.low), min(upper, default=None)
    if outer.high is not None:
        low = min(low, outer.high)
    if high is not None:
        high = max(high, outer.low, low)
    return _Clamp(inner.source, low, high)
