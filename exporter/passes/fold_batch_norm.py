"""Given `batch_norm(conv(x, W, b))` in evaluation mode.
Result: `conv(x, W', b')` with `W' = W * s` and `b' = (b - mean) * s + beta`,
`s = gamma / sqrt(var + eps)` for each output channel."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.fx import Node

from exporter.passes.base import Refusal, Rewrite, argument, only_user
from exporter.passes.graph import Graph

_aten = torch.ops.aten

_TRANSPOSED = frozenset(
    {_aten.conv_transpose1d.default, _aten.conv_transpose2d.input, _aten.conv_transpose3d.input}
)
_CONVS = _TRANSPOSED | {
    _aten.conv1d.default,
    _aten.conv2d.default,
    _aten.conv3d.default,
    _aten.conv1d.padding,
    _aten.conv2d.padding,
    _aten.conv3d.padding,
}

_EPS_AT: dict[object, int] = {
    _aten.batch_norm.default: 7,
    _aten._native_batch_norm_legit_no_training.default: 6,
}
"""Batch norm, as captured and as functionalization leaves it -> where its epsilon stands."""


@dataclass(frozen=True)
class _Fold:
    conv: Node
    weight: torch.Tensor
    bias: torch.Tensor


class FoldBatchNorm(Rewrite[_Fold]):
    """For 1-, 2- and 3-D convolutions, transposed ones, and linear layers on (N, C)."""

    name = "fold batch norm"

    def check(self, graph: Graph, node: Node) -> _Fold | Refusal | None:
        conv = node.args[0] if node.target in _EPS_AT else None
        if not isinstance(conv, Node) or not _is_affine(conv):
            return None
        if node.target is _aten.batch_norm.default and argument(node, 5, "training"):
            return Refusal("it is in training mode")
        if only_user(conv) is not node:
            return Refusal("the result of the layer before it is used elsewhere too")
        weight_node, bias_node = argument(conv, 1, "weight"), argument(conv, 2, "bias")
        weight, bias = graph.constant(weight_node), graph.constant(bias_node)
        gamma, beta, mean, var = (graph.constant(n) for n in node.args[1:5])
        bias_varies = bias_node is not None and bias is None
        if bias_varies or weight is None or mean is None or var is None:
            return Refusal("weights or statistics are computed at run time")
        if only_user(weight_node) is not conv:
            return Refusal("the layer before it shares its weights with another")
        scale = (var.double() + argument(node, _EPS_AT[node.target], "eps")).rsqrt()
        scale = scale * gamma.double() if gamma is not None else scale
        shift = -mean.double() if bias is None else bias.double() - mean.double()
        offset = 0 if beta is None else beta.double()
        folded = weight.double() * _by_output_channel(scale, weight, conv)
        return _Fold(conv, folded.to(weight.dtype), (shift * scale + offset).to(weight.dtype))

    def rewrite(self, graph: Graph, node: Node, plan: _Fold) -> None:
        conv = plan.conv
        old = argument(conv, 1, "weight")
        weight = graph.add_constant(plan.weight, like=old)
        bias = graph.add_constant(plan.bias, like=old)
        args = (conv.args[0], weight, bias, *conv.args[3:])
        kwargs = {k: v for k, v in conv.kwargs.items() if k not in ("weight", "bias")}
        folded = graph.call(conv.target, args, kwargs=kwargs, origin=conv)  # type: ignore[arg-type]
        if node.target is _aten.batch_norm.default:
            graph.replace(node, folded)
            return
        for first in list(node.users):  # the others, the saved statistics, have no users
            graph.replace(first, folded)
        graph.remove(node)


def _is_affine(node: Node) -> bool:
    # On (N, L, C) a batch norm works on L, a linear layer on C.
    if node.target is _aten.linear.default:
        return node.meta["val"].dim() == 2
    return node.target in _CONVS


def _by_output_channel(scale: torch.Tensor, weight: torch.Tensor, conv: Node) -> torch.Tensor:
    """`scale` (C_out,) shaped to multiply `weight`."""
    kernel = [1] * (weight.dim() - 2)
    if conv.target not in _TRANSPOSED:
        return scale.reshape(-1, 1, *kernel)
    # A transposed convolution stores (C_in, C_out / groups, ...), group after group along C_in.
    groups = argument(conv, 6, "groups", 1)
    by_group = scale.reshape(groups, 1, -1).expand(groups, weight.shape[0] // groups, -1)
    return by_group.reshape(weight.shape[0], weight.shape[1], *kernel)
