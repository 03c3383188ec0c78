"""The recipe in ExecuTorch's terms, and what became of it.

Static and dynamic layers are both XNNPACK's. It has no kernel that takes int8 weights and computes
in float: such layers keep float32 weights, but for embeddings, whose rows are looked up as int8.
"""

from __future__ import annotations

from collections import defaultdict

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from exporter.quantize.marker import key
from exporter.quantize.operators import EMBEDDING, MOVES
from exporter.quantize.pt2e import quantize
from exporter.quantize.recipe import Recipe
from exporter.runtimes.pte.dynamic import quantizer_each
from exporter.runtimes.pte.static import dequantizer_each
from exporter.types import Compute

_quantized = torch.ops.quantized_decomposed

_QUANTIZE = _quantized.quantize_per_tensor.default
_STATIC = _quantized.dequantize_per_tensor.default
_DYNAMIC = _quantized.dequantize_per_tensor.tensor
_CLAMPS = frozenset({torch.ops.aten.relu.default, torch.ops.aten.hardtanh.default})


def quantized(program: ExportedProgram, recipe: Recipe) -> ExportedProgram:
    """The int8 graph, as XNNPACK's lowering takes it.

    Raises:
        FormatError: nothing in the program can be quantized.
    """
    return dequantizer_each(quantizer_each(quantize(program, recipe)))


def computes(program: ExportedProgram, recipe: Recipe) -> dict[str, Compute]:
    """How each captured operator computes, where it holds weights or the recipe wants it in int8.

    Args:
        program: the int8 graph.
        recipe: that it was made by.
    """
    parts: dict[str, set[Compute]] = defaultdict(set)
    for node in program.graph.nodes:
        step = recipe.by_node.get(key(node) or "") if node.op == "call_function" else None
        told = step and (step.macs or step.compute is not Compute.FLOAT)
        if step and told and not (step.macs and node.target in MOVES):
            parts[step.node].add(_compute(node))
    order = list(Compute)
    return {name: max(found, key=order.index) for name, found in parts.items()}


def _compute(node: Node) -> Compute:
    read = [n for n in node.all_input_nodes if n.op != "get_attr"]
    if any(n.target is _DYNAMIC for n in read):
        return Compute.DYNAMIC
    if node.target is EMBEDDING and node.meta["val"].dtype == torch.int8:
        return Compute.WEIGHT_ONLY
    given = {user.target for user in node.users}
    takes_int8 = any(n.target is _STATIC for n in read)
    if node.target in _CLAMPS:  # of a layer that is one with it
        takes_int8 = takes_int8 or any(m.target is _STATIC for n in read for m in n.all_input_nodes)
    gives_int8 = given == {_QUANTIZE} or (len(given) == 1 and given <= _CLAMPS)
    return Compute.STATIC if takes_int8 and gives_int8 else Compute.FLOAT
