"""Quantizes a captured program to int8: the graph that `.ptl` and `.pte` are lowered from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from exporter.errors import FormatError
from exporter.quantize.embedding import quantize_embeddings
from exporter.quantize.marker import key
from exporter.quantize.operators import RECURRENT
from exporter.quantize.quantizer import MobileQuantizer
from exporter.quantize.recipe import Range, Recipe
from exporter.quantize.reexport import reexport
from exporter.types import Compute

# How PT2E writes a dequantized tensor; a graph with none of these has nothing quantized in it.
_DEQUANTIZE = "quantized_decomposed.dequantize"


def quantize(program: ExportedProgram, recipe: Recipe) -> ExportedProgram:
    """Quantizes weights and activations as the recipe says, as far as ExecuTorch's quantizer goes.

    Nothing is run for it: ranges come from the recipe, and those of weights from the weights.

    Args:
        program: float32, marked, after any passes; it is not modified.
        recipe: for the captured program that it was made of.

    Returns:
        A program with the same inputs and outputs, whose quantized values appear as
        `quantized_decomposed` quantize and dequantize operators around float ones.

    Raises:
        FormatError: nothing in the program can be quantized.
    """
    module = program.module(check_guards=False)
    assert isinstance(module, GraphModule)
    quantizer = MobileQuantizer(recipe)
    with torch.no_grad():
        prepared = prepare_pt2e(module, quantizer)
        _tell_ranges(prepared, quantizer.ranges)
        converted = convert_pt2e(prepared)

    def wanted(lookup: Node) -> bool:
        step = recipe.by_node.get(key(lookup) or "")
        return step is not None and step.compute is not Compute.FLOAT

    embeddings = quantize_embeddings(converted, wanted)
    if not embeddings and not _has_int8(converted) and not _has_recurrence(converted):
        raise FormatError(
            f"int8 was asked for, but with {recipe.scheme} activations the model has no operator "
            "that can be quantized"
        )
    return reexport(converted, program)


def _tell_ranges(prepared: GraphModule, ranges: Mapping[str, Range]) -> None:
    """Shows each observer the smallest and largest value of all that it stands for."""
    for node in prepared.graph.find_nodes(op="call_module"):
        observer, source = prepared.get_submodule(node.target), node.args[0]
        if isinstance(observer, PerChannelMinMaxObserver | MinMaxObserver):
            while source.op == "call_module":
                source = source.args[0]
            if source.op == "get_attr":
                observer(_constant(prepared, source))
            elif source.name in ranges:
                known = ranges[source.name]
                observer(torch.tensor([known.low, known.high]))
    for name, observer in prepared.named_modules():
        if isinstance(observer, MinMaxObserver) and observer.min_val > observer.max_val:
            raise AssertionError(f"nobody knows the range that {name} stands for")


def _constant(model: GraphModule, node: Node) -> torch.Tensor:
    path, _, leaf = str(node.target).rpartition(".")
    value = getattr(model.get_submodule(path), leaf)
    assert isinstance(value, torch.Tensor)
    return value


def _has_int8(module: GraphModule) -> bool:
    return any(str(n.target).startswith(_DEQUANTIZE) for n in module.graph.nodes)


def _has_recurrence(module: GraphModule) -> bool:
    """Whether whole recurrent networks are left, whose weights the `.ptl` stores as int8."""
    return any(n.target in RECURRENT for n in module.graph.nodes)
