"""A fault of the XNNPACK lowering with static int8, mended.

Where one reader of a dequantized tensor needs channels last and another does not (a mask that is
given out and shown smaller), ExecuTorch 1.4.1 turns the tensor for all of its readers, and the file
fails to run."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram

from exporter.base.graphs import copy_for_each_reader

_DEQUANTIZE = torch.ops.quantized_decomposed.dequantize_per_tensor.default


def dequantizer_each(program: ExportedProgram) -> ExportedProgram:
    """Given a dequantized tensor with several readers. Result: one of its own for each.

    Args:
        program: quantized; its graph is edited in place.
    """
    for node in program.graph.find_nodes(op="call_function", target=_DEQUANTIZE):
        copy_for_each_reader(node)
    program.graph.lint()
    program.graph_module.recompile()
    return program
