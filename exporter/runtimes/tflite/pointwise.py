"""Writes the linear layers of a static int8 file as 1x1 convolutions.

Given:
    y (..., channels) = FULLY_CONNECTED(x (..., depth), weight (channels, depth), bias (channels)),
    all int8 but for the int32 bias; weight and bias have a scale per output channel.

Result:
    RESHAPE x to (1, 1, rows, depth), CONV_2D with kernel (channels, 1, 1, depth), RESHAPE to y;
    rows is the product of all dimensions of x but depth.

The XNNPACK of TensorFlow Lite 2.16, which apps ship, knows a bias with a scale per channel in
convolutions only; it leaves such a FULLY_CONNECTED to a kernel ten times as slow. Both operators
sum the same products in int32 and requantize them alike, so the bits stay the same. A bias that
tells a single scale would do there, too, but LiteRT 1.0 to 1.4 do not load such a file.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from exporter.runtimes.tflite.flatbuffer import Graph, graphs, pack, parse
from exporter.types import Array

_PER_CHANNEL_CONV = 3
"""The first version of CONV_2D with a scale per output channel."""


def as_convolutions(content: bytes) -> tuple[bytes, int]:
    """The file with its static int8 linear layers as convolutions, and how many those are.

    A FULLY_CONNECTED stays where the two are not known to be the same: float or dynamic
    activations, weights that are computed, sparse, shuffled or not symmetric, shapes that vary.
    So does one with a single scale or without a bias, which that XNNPACK knows.

    Args:
        content: of a .tflite file.

    Returns:
        `content` itself where nothing was rewritten. Tensors keep their numbers, so that
        signatures hold.
    """
    model = parse(content)
    parts = zip(model.subgraphs, graphs(model), strict=True)
    count = sum(_Rewriter(model, graph, _uses(part)).rewrite() for graph, part in parts)
    return (pack(model) if count else content), count


class _Rewriter:
    """Rewrites one subgraph of a `ModelT` in place."""

    def __init__(self, model: Any, graph: Any, uses: Counter[int]) -> None:
        self.model, self.graph, self.uses = model, graph, uses
        self.kernels: dict[int, int] = {}
        """Number of a weight -> of the same weight as a kernel."""

    def rewrite(self) -> int:
        """Returns how many operators were rewritten."""
        chosen = [_applies(self.model, self.graph, op) for op in self.graph.operators]
        self.graph.operators = [
            new
            for op, applies in zip(self.graph.operators, chosen, strict=True)
            for new in (self._convolution(op) if applies else [op])
        ]
        return sum(chosen)

    def _convolution(self, op: Any) -> list[Any]:
        x, weight, bias = (int(i) for i in op.inputs)
        out = int(op.outputs[0])
        channels, depth = (int(n) for n in self.graph.tensors[weight].shape)
        rows = _size(self.graph.tensors[x]) // depth
        kernel = self._kernel(weight, [channels, 1, 1, depth])
        source = self._activation(x, [1, 1, rows, depth])
        result = self._activation(out, [1, 1, rows, channels])
        options = schema.Conv2DOptionsT()
        options.padding = schema.Padding.VALID
        options.strideW = options.strideH = 1
        options.fusedActivationFunction = op.builtinOptions.fusedActivationFunction
        code = self._code(schema.BuiltinOperator.CONV_2D, _PER_CHANNEL_CONV)
        kind = schema.BuiltinOptions.Conv2DOptions
        return [
            self._reshape(x, source),
            _operator(code, [source, kernel, bias], result, kind, options),
            self._reshape(result, out),
        ]

    def _reshape(self, source: int, target: int) -> Any:
        options = schema.ReshapeOptionsT()
        options.newShape = _int32(self.graph.tensors[target].shape)
        code = self._code(schema.BuiltinOperator.RESHAPE, 1)
        return _operator(code, [source], target, schema.BuiltinOptions.ReshapeOptions, options)

    def _kernel(self, weight: int, shape: list[int]) -> int:
        if weight not in self.kernels:
            tensor = self.graph.tensors[weight]
            if self.uses[weight] > 1:  # others read the matrix; a twin repeats all scales
                tensor = copy.copy(tensor)
                self.kernels[weight] = self._add(tensor)
            else:
                self.kernels[weight] = weight
            tensor.shape, tensor.shapeSignature = _int32(shape), None
        return self.kernels[weight]

    def _activation(self, like: int, shape: list[int]) -> int:
        tensor = copy.copy(self.graph.tensors[like])
        tensor.shape, tensor.shapeSignature = _int32(shape), None
        tensor.buffer = 0  # nothing stored
        return self._add(tensor)

    def _add(self, tensor: Any) -> int:
        number = len(self.graph.tensors)
        tensor.name = f"pointwise_{number}".encode()  # the converter's scopes are long
        self.graph.tensors.append(tensor)
        return number

    def _code(self, builtin: int, version: int) -> int:
        for index, code in enumerate(self.model.operatorCodes):
            if (code.builtinCode, code.version) == (builtin, version):
                return index
        made = schema.OperatorCodeT()
        made.builtinCode = made.deprecatedBuiltinCode = builtin
        made.version = version
        self.model.operatorCodes.append(made)
        return len(self.model.operatorCodes) - 1


def _uses(graph: Graph) -> Counter[int]:
    """Number of a tensor -> how often it is read, within the graph or from outside."""
    return Counter([*(i for op in graph.operators for i in op.inputs), *graph.outputs])


def _applies(model: Any, graph: Any, op: Any) -> bool:
    """Whether `op` is a linear layer that a convolution is known to equal, bit by bit."""
    code = model.operatorCodes[op.opcodeIndex].builtinCode
    if code != schema.BuiltinOperator.FULLY_CONNECTED:
        return False
    if len(op.inputs) != 3 or min(op.inputs) < 0 or len(op.outputs) != 1:
        return False
    default = schema.FullyConnectedOptionsWeightsFormat.DEFAULT
    if op.builtinOptions is None or op.builtinOptions.weightsFormat != default:
        return False
    x, weight, bias, out = (graph.tensors[i] for i in (*op.inputs, *op.outputs))
    int8, int32 = schema.TensorType.INT8, schema.TensorType.INT32
    return (
        [t.type for t in (x, weight, bias, out)] == [int8, int8, int32, int8]
        and _fits(x, weight, out)
        and _symmetric_per_channel(model, weight)
    )


def _fits(x: Any, weight: Any, out: Any) -> bool:
    if len(weight.shape) != 2 or not (_static(x) and _static(out)):
        return False
    channels, depth = weight.shape
    return _size(x) % depth == 0 and _size(out) == _size(x) // depth * channels


def _symmetric_per_channel(model: Any, weight: Any) -> bool:
    stored = model.buffers[weight.buffer].data
    if stored is None or len(stored) != _size(weight) or weight.sparsity is not None:
        return False
    scales = weight.quantization
    return (
        scales is not None
        and scales.scale is not None
        and len(scales.scale) == weight.shape[0] > 1
        and scales.quantizedDimension == 0
        and not np.any(scales.zeroPoint)
    )


def _static(tensor: Any) -> bool:
    """Whether its shape is known, and not that of a scalar."""
    if tensor.shape is None or len(tensor.shape) == 0 or min(tensor.shape) < 1:
        return False
    return tensor.shapeSignature is None or min(tensor.shapeSignature) > 0


def _size(tensor: Any) -> int:
    return int(np.prod(tensor.shape))


def _operator(code: int, inputs: list[int], output: int, kind: int, options: Any) -> Any:
    made = schema.OperatorT()
    made.opcodeIndex = code
    made.inputs, made.outputs = _int32(inputs), _int32([output])
    made.builtinOptionsType, made.builtinOptions = kind, options
    return made


def _int32(numbers: Any) -> Array:
    return np.array(numbers, np.int32)
