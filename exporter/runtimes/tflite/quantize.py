"""Quantizes a float .tflite with ai-edge-quantizer: int8 by `plan`, or float16 weights."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ai_edge_quantizer import quantizer
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.calibrator import Calibrator
from ai_edge_quantizer.qtyping import TFLOperationName
from ai_edge_quantizer.recipe_manager import RecipeManager
from ai_edge_quantizer.utils.qsv_utils import min_max_update

from exporter.errors import FormatError
from exporter.runtimes.tflite.flatbuffer import Graph, graphs, pack, parse
from exporter.runtimes.tflite.plan import plan
from exporter.types import Array, Precision, Sample, Scheme

_SIGNATURE = "serving_default"
"""The converter's name for the only signature of a file."""

_ANY = TFLOperationName.ALL_SUPPORTED


def quantize(
    content: bytes, precision: Precision, scheme: Scheme, calibration: tuple[Sample, ...]
) -> bytes:
    """Quantizes a float file. Inputs and outputs stay float.

    Args:
        content: a float .tflite with the converter's own signature names.
        precision: fp16 or int8.
        scheme: of int8.
        calibration: samples with the file's dtypes; empty unless static.

    Raises:
        FormatError: static without samples, or the quantizer refuses.
    """
    recipe = _halving() if precision is Precision.FP16 else _recipe(content, scheme)
    if not recipe.get_quantization_recipe():
        raise FormatError(f"no operator holds weights that {precision.value} could make smaller")
    try:
        ranges = _ranges(content, recipe, calibration) if recipe.need_calibration() else None
        worker = quantizer.Quantizer(content, recipe.get_quantization_recipe())
        result = worker.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    except (ValueError, RuntimeError, KeyError, IndexError) as error:
        what = str(error).strip().split("\n")[0]
        raise FormatError(f"LiteRT's quantizer refuses the converted model: {what}") from error
    assert result.quantized_model is not None  # quantize() returns or raises
    return _with_signature_of(content, bytes(result.quantized_model))


def _recipe(content: bytes, scheme: Scheme) -> RecipeManager:
    """The plan in the quantizer's terms.

    It tells operators apart by the names of their outputs, of which the converter uses each once.
    """
    graph = graphs(parse(content))[0]
    chosen = plan(graph, scheme)
    recipe = RecipeManager()
    if chosen.static:
        recipe.add_static_config(_named(graph, chosen.static), _ANY, 8, 8)
    if chosen.dynamic:
        recipe.add_dynamic_config(_named(graph, chosen.dynamic), _ANY, 8)
    if chosen.weight_only:
        recipe.add_weight_only_config(_named(graph, chosen.weight_only), _ANY, 8)
    if recipe.get_quantization_recipe():
        # To the quantizer, output is an operator with the same name as the last one.
        for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
            recipe.add_quantization_config(".*", end, algorithm_key=AlgorithmName.NO_QUANTIZE)
    return recipe


def _halving() -> RecipeManager:
    recipe = RecipeManager()
    recipe.add_weight_only_config(".*", _ANY, 16, algorithm_key=AlgorithmName.FLOAT_CASTING)
    return recipe


def _named(graph: Graph, operators: Iterable[int]) -> str:
    """A regular expression for the scopes of these operators: output names, each with a `;`."""
    scopes = (
        "".join(f"{graph.tensors[o].name};" for o in graph.operators[i].outputs)
        for i in sorted(operators)
    )
    return f"^(?:{'|'.join(re.escape(scope) for scope in scopes)})$"


def _ranges(
    content: bytes, recipe: RecipeManager, calibration: tuple[Sample, ...]
) -> dict[str, dict[str, Array]]:
    """Smallest and largest value of each tensor over all samples.

    The quantizer's own default is a moving average that gives the first of 16 samples nearly
    half the weight, and cuts off what the others exceed it by.
    """
    if not calibration:
        raise FormatError("static int8 needs calibration samples")
    data = [{f"args_{i}": x for i, x in enumerate(sample)} for sample in calibration]
    calibrator = Calibrator(content, num_threads=1, qsv_update_func=min_max_update)
    calibrator.calibrate({_SIGNATURE: data}, recipe)
    ranges: dict[str, dict[str, Array]] = calibrator.get_model_qsvs()
    return ranges


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
