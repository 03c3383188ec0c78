"""Static int8: QuantizeLinear / DequantizeLinear around each operator, with given ranges."""

from __future__ import annotations

from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

import numpy as np
from onnx import GraphProto, ModelProto, numpy_helper
from onnxruntime.quantization import CalibrationMethod, QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer
from onnxruntime.quantization.quant_utils import load_model_with_shape_infer

from exporter.errors import FormatError
from exporter.quantize.recipe import Range
from exporter.quantize.weights import to_int8
from exporter.runtimes.onnx.engine import short
from exporter.runtimes.onnx.graph import float_weights
from exporter.runtimes.onnx.quiet import quiet
from exporter.runtimes.onnx.storage import save
from exporter.runtimes.onnx.weights import weight_axes

PRODUCTS = frozenset({"Gemm", "MatMul"})

_ACTIVATIONS = QuantType.QUInt8
"""The same 256 steps as int8 with another zero point. With QInt8, ONNX Runtime on x86 leaves the
depthwise convolutions and additions of EfficientNet-Lite0 in float (35 of 49 convolutions as int8,
3.6 ms; with this all 49, 2.1 ms); ARM has kernels for both."""


def quantize_activations(
    model: ModelProto, names: Set[str], ranges: Mapping[str, Range], folder: Path
) -> ModelProto:
    """Quantizes weights and activations of some nodes.

    Weights are symmetric int8 with a scale per output channel, activations asymmetric 8 bit with
    one scale per tensor. What a matrix product gives stays float.

    Args:
        model: float model, simplified, with names for its nodes.
        names: of the nodes.
        ranges: tensor -> its range, for all activations that these nodes take and give.
        folder: for temporary files.

    Raises:
        FormatError: the toolchain fails.
    """
    source = folder / "float.onnx"
    save(model, source)
    types = {node.op_type for node in model.graph.node if node.name in names}
    limits = {
        name: (np.float32(found.low), np.float32(found.high)) for name, found in ranges.items()
    }
    try:
        with quiet():
            quantizer = QDQQuantizer(
                load_model_with_shape_infer(source),
                per_channel=True,
                reduce_range=False,
                weight_qType=QuantType.QInt8,
                activation_qType=_ACTIVATIONS,
                tensors_range=TensorsData(CalibrationMethod.MinMax, limits),
                nodes_to_quantize=sorted(names),
                nodes_to_exclude=[],
                op_types_to_quantize=sorted(types),
                extra_options={
                    # What follows a product (layer norm, GELU, an addition) is mostly float.
                    "OpTypesToExcludeOutputQuantization": sorted(PRODUCTS),
                    "TensorQuantOverrides": _weight_scales(model.graph, names),
                },
            )
            quantizer.quantize_model()
            quantizer.model.topological_sort()
    except Exception as error:  # plain Python behind it: any built-in exception
        raise FormatError(f"onnxruntime cannot quantize this model: {short(error)}") from error
    return quantizer.model.model


def _weight_scales(graph: GraphProto, names: Set[str]) -> dict[str, list[dict[str, Any]]]:
    """The scales of each weight's channels; onnxruntime raises those that a bias overflows."""
    weights = float_weights(graph)
    chosen = [node for node in graph.node if node.name in names]
    return {
        name: [
            {"axis": axes[0], "scale": scale, "zero_point": 0}
            for scale in to_int8(numpy_helper.to_array(weights[name]), axes)[1].ravel()
        ]
        for node in chosen
        for name, axes in weight_axes(node, weights)
    }
