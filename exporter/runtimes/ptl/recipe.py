"""The recipe in the Lite Interpreter's terms, and what became of it.

What ExecuTorch's quantizer leaves float in its graph can hold int8 weights all the same, which are
dequantized when they are used. With dynamic activations QNNPACK has a right kernel for linear
layers only: convolutions fall back to that, too.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch.fx import GraphModule, Node

from exporter.quantize.marker import key
from exporter.quantize.operators import EMBEDDING, MOVES
from exporter.quantize.recipe import Recipe
from exporter.runtimes.ptl.graph import constant
from exporter.runtimes.ptl.kernels import Fused
from exporter.types import Compute

aten = torch.ops.aten

_CHANNELS: dict[object, int] = {
    aten.linear.default: 0,
    aten.conv1d.default: 0,
    aten.conv2d.default: 0,
    aten.conv3d.default: 0,
    aten.conv_transpose1d.default: 1,
    aten.conv_transpose2d.input: 1,
    aten.lstm.input: 0,
    aten.gru.input: 0,
    aten.rnn_tanh.input: 0,
    aten.rnn_relu.input: 0,
}
"""Operators whose float weights can be stored as int8 -> axis of the output channels."""


def channels_of(node: Node, recipe: Recipe) -> int | None:
    """Axis of the output channels of a layer whose weights are to be int8, else None."""
    step = recipe.by_node.get(key(node) or "")
    wanted = step is not None and step.compute is not Compute.FLOAT
    return _CHANNELS.get(node.target) if wanted else None


def computes(module: GraphModule, recipe: Recipe, fused: Iterable[Fused]) -> dict[str, Compute]:
    """How each captured operator computes, where it holds weights or the recipe wants it in int8.

    Args:
        module: the lowered graph.
        recipe: that it was made by.
        fused: the int8 kernels in it.
    """
    found: dict[str, Compute] = {}
    for node in module.graph.nodes:
        name = _told(node, recipe)
        if name is None:
            continue
        stored = any(_is_stored(module, n) for n in node.all_input_nodes)
        if stored or (node.target is EMBEDDING and node.meta["val"].dtype == torch.int8):
            found[name] = Compute.WEIGHT_ONLY
        else:
            found.setdefault(name, Compute.FLOAT)
    kernels = [(node, kernel.compute) for kernel in fused for node in kernel.operators]
    return found | {name: how for node, how in kernels if (name := _told(node, recipe))}


def _told(node: Node, recipe: Recipe) -> str | None:
    """The captured operator that this node can speak for: a move inside of one that multiplies
    matrices says nothing of how that computes."""
    step = recipe.by_node.get(key(node) or "")
    if step is None or (step.macs and node.target in MOVES):
        return None
    return step.node if step.macs or step.compute is not Compute.FLOAT else None


def _is_stored(module: GraphModule, node: Node) -> bool:
    """Whether this makes float of a layer's int8 weights."""
    value = constant(module, node.args[0]) if node.target is aten.dequantize.self else None
    return value is not None and value.qscheme() == torch.per_channel_affine
