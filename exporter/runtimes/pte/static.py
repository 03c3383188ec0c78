"""A fault of the XNNPACK lowering with static int8, mended.

Where one reader of a dequantized tensor needs channels last and another does not (a mask that is
given out and shown smaller), ExecuTorch 1.4.1 turns the tensor for all of its readers, and the file
fails to run."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default


def dequantizer_each(program: ExportedProgram) -> ExportedProgram:
    """Given a dequantized tensor with several readers. Result: one of its own for each.

    Args:
        program: quantized; its graph is edited in place.
    """
    graph = program.graph
    for node in [n for n in graph.nodes if n.target is _DEQUANTIZE]:
        # The program's output is known by this node's name, so it goes on reading this one.
        for user in sorted(node.users, key=lambda user: user.op != "output")[1:]:
            with graph.inserting_after(node):
                copy = graph.node_copy(node)
            user.replace_input_with(node, copy)
    graph.lint()
    program.graph_module.recompile()
    return program
