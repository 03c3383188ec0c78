"""Quantizes a float .tflite with ai-edge-quantizer: int8 as chosen, or float16 weights."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from ai_edge_quantizer import quantizer
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.recipe_manager import RecipeManager

from exporter.base.text import first_line
from exporter.errors import FormatError
from exporter.quantize.recipe import Recipe
from exporter.quantize.weights import to_int8
from exporter.runtimes.api import ConvertJob
from exporter.runtimes.tflite.flatbuffer import Graph, graphs, pack, parse
from exporter.runtimes.tflite.recipe import LOOKUP, WEIGHT_AXES, OperatorChoices, choose, computes
from exporter.types import Array, Compute

_ANY = TFLOperationName.ALL_SUPPORTED

_Ranges = dict[str, dict[str, Array]]
"""Name of a tensor -> `min` and `max`, which broadcast against it."""


def quantize(content: bytes, job: ConvertJob, recipe: Recipe) -> tuple[bytes, dict[str, Compute]]:
    """Quantizes a float file as a recipe wants it. Inputs and outputs stay float.

    Args:
        content: a float .tflite with the converter's own names.
        job: gives the program it was made of, and samples.
        recipe: what becomes of each captured operator.

    Returns:
        The file, and how each captured operator computes in it.

    Raises:
        FormatError: see `choose`; or nothing can be quantized, or the quantizer refuses.
    """
    try:
        chosen = choose(content, job, recipe)
    except (ValueError, RuntimeError) as error:  # of the interpreter that runs the float file
        raise FormatError(f"LiteRT cannot run the converted model: {first_line(error)}") from error
    model = parse(content)
    graph = graphs(model)[0]
    quantized = _quantized(content, _settings(graph, chosen), _ranges(model, graph, chosen))
    return quantized, computes(chosen, content, quantized)


def halve(content: bytes) -> bytes:
    """Stores the weights of a float file as float16.

    Raises:
        FormatError: there are none, or the quantizer refuses.
    """
    settings = RecipeManager()
    settings.add_weight_only_config(".*", _ANY, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    return _quantized(content, settings, {})


def _quantized(content: bytes, settings: RecipeManager, ranges: _Ranges) -> bytes:
    try:
        worker = quantizer.Quantizer(content, settings.get_quantization_recipe())
        result = worker.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, KeyError, IndexError) as error:
        raise FormatError(
            f"LiteRT's quantizer refuses the converted model: {first_line(error)}"
        ) from error
    assert result.quantized_model is not None  # quantize() returns or raises
    return _with_signature_of(content, bytes(result.quantized_model))


def _settings(graph: Graph, chosen: OperatorChoices) -> RecipeManager:
    """The choices in the quantizer's terms.

    It tells operators apart by the names of their outputs, of which the converter uses each once.
    """
    settings = RecipeManager()
    lookups = {i for i, op in enumerate(graph.operators) if op.name == LOOKUP}
    stored = chosen.numbered(Compute.WEIGHT_ONLY)
    if static := chosen.numbered(Compute.STATIC):
        settings.add_static_config(_named(graph, static), _ANY, 8, 8)
    if dynamic := chosen.numbered(Compute.DYNAMIC) | (stored & lookups):
        settings.add_dynamic_config(_named(graph, dynamic), _ANY, 8)
    if weight_only := stored - lookups:
        settings.add_weight_only_config(_named(graph, weight_only), _ANY, 8)
    if not settings.get_quantization_recipe():
        raise FormatError("no operator holds weights that int8 could make smaller")
    # To the quantizer, output is an operator with the same name as the last one.
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        settings.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return settings


def _named(graph: Graph, operators: Iterable[int]) -> str:
    """A regular expression for the scopes of these operators: output names, each with a `;`."""
    scopes = (
        "".join(f"{graph.tensors[o].name};" for o in graph.operators[i].outputs)
        for i in sorted(operators)
    )
    return f"^(?:{'|'.join(re.escape(scope) for scope in scopes)})$"


def _ranges(model: Any, graph: Graph, chosen: OperatorChoices) -> _Ranges:
    """Of the activations, and of the weights as the common rule has them."""
    ranks = {t.name: len(t.shape) for t in graph.tensors}
    found = {
        name: {
            "min": np.full((1,) * ranks[name], known.low, np.float32),
            "max": np.full((1,) * ranks[name], known.high, np.float32),
        }
        for name, known in chosen.ranges.items()
    }
    for i in chosen.computes:
        op = graph.operators[i]
        if op.name in WEIGHT_AXES:
            weight = graph.tensors[op.inputs[1]]
            stored = np.frombuffer(bytes(model.buffers[weight.buffer].data), np.float32)
            _, scales = to_int8(stored.reshape(weight.shape), (WEIGHT_AXES[op.name],))
            found[weight.name] = {"min": -127 * scales, "max": 127 * scales}
    return found


def _with_signature_of(original: bytes, quantized: bytes) -> bytes:
    """Points the signature at the graph's own inputs and outputs again.

    Where an output also feeds a float operator the quantizer moves the output to another tensor,
    and leaves the signature at the one it had.
    """
    before, after = parse(original), parse(quantized)
    old, new = before.subgraphs[0], after.subgraphs[0]
    (was,), (now,) = before.signatureDefs, after.signatureDefs
    places = {e.name: list(old.inputs).index(e.tensorIndex) for e in was.inputs}
    for entry in now.inputs:
        entry.tensorIndex = new.inputs[places[entry.name]]
    places = {e.name: list(old.outputs).index(e.tensorIndex) for e in was.outputs}
    for entry in now.outputs:
        entry.tensorIndex = new.outputs[places[entry.name]]
    return pack(after)
