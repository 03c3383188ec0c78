"""Given `conv(pad(x, zeros on both sides alike), padding=p)`.
Result: `conv(x, padding=p + pad)`."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import Node

from exporter.passes.base import Refusal, Rewrite, argument
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_SPATIAL: dict[object, int] = {
    _aten.conv1d.default: 1,
    _aten.conv2d.default: 2,
    _aten.conv3d.default: 3,
}
_PADS = frozenset({_aten.pad.default, _aten.constant_pad_nd.default})


@dataclass(frozen=True)
class _Fold:
    source: Node
    padding: list[int]


class FoldPad(Rewrite[_Fold]):
    """A convolution pads for free; a pad of its own copies the tensor, and in int8 gets a
    quantizer of its own."""

    name = "fold padding"

    def check(self, _graph: Graph, node: Node) -> _Fold | Refusal | None:
        if node.target not in _SPATIAL:
            return None
        rank, pad = _SPATIAL[node.target], node.args[0]
        if not isinstance(pad, Node) or pad.target not in _PADS:
            return None
        if not _pads_with_zero(pad):
            return Refusal("the pad before it does not pad with zeros")
        source, amounts = pad.args[0], list(argument(pad, 1, "pad"))
        assert isinstance(source, Node)
        if source.meta["val"].dim() != rank + 2 or len(amounts) > 2 * rank:
            return Refusal("the pad before it pads more than the spatial dimensions")
        amounts += [0] * (2 * rank - len(amounts))
        before, after = amounts[::2], amounts[1::2]
        if before != after or min(before) < 0:
            return Refusal("the pad before it differs between the two sides")
        own = list(argument(node, 4, "padding", [0] * rank))
        own = own * rank if len(own) == 1 else own
        # `pad` names the last dimension first.
        return _Fold(source, [p + q for p, q in zip(own, reversed(before), strict=True)])

    def rewrite(self, graph: Graph, node: Node, plan: _Fold) -> None:
        rank = len(plan.padding)
        args = (
            plan.source,
            node.args[1],
            argument(node, 2, "bias"),
            argument(node, 3, "stride", [1] * rank),
            plan.padding,
            argument(node, 5, "dilation", [1] * rank),
            argument(node, 6, "groups", 1),
        )
        graph.replace(node, graph.call(node.target, args, origin=node))  # type: ignore[arg-type]


def _pads_with_zero(pad: Node) -> bool:
    if pad.target is _aten.constant_pad_nd.default:
        return bool(argument(pad, 2, "value", 0) == 0)
    constant = argument(pad, 2, "mode", "constant") == "constant"
    return constant and not argument(pad, 3, "value", 0)
