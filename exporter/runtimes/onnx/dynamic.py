"""Dynamic int8: matrix products whose activations are quantized anew in each inference."""

from __future__ import annotations

from collections.abc import Mapping, Set

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from exporter.quantize.weights import to_int8
from exporter.runtimes.onnx.graph import (
    attribute,
    float_attribute,
    float_weights,
    has_weight,
    replace_nodes,
    replace_weights,
)


def quantize_products(model: ModelProto, names: Set[str]) -> None:
    """Computes matrix products with constant weights in int8.

    Weights are symmetric with a scale per output channel, activations uint8 with a scale and zero
    point from their own range. Written here, not with onnxruntime's `quantize_dynamic`: that one
    rounds weights to 7 bits, transposes a weight that two layers share twice, and fails on the
    shapes that torch.onnx leaves in the file. The nodes are the same, and ONNX Runtime fuses them
    into one kernel (DynamicQuantizeMatMul).

    Args:
        model: changed in place.
        names: of the products, each one that `is_plain`.
    """
    rewriter = _Rewriter(float_weights(model.graph))
    nodes = [
        n
        for node in model.graph.node
        for n in (rewriter.rewrite(node) if node.name in names else [node])
    ]
    replace_nodes(model.graph, nodes)
    read = {name for node in nodes for name in node.input}
    replace_weights(model.graph, rewriter.replaced - read, rewriter.tensors.values())


class _Rewriter:
    """Rewrites products one by one; layers that share an input or a weight share its int8 form.

    Args:
        weights: the float constants, by name.
    """

    def __init__(self, weights: dict[str, TensorProto]) -> None:
        self._weights = weights
        self._activations: set[str] = set()
        self.tensors: dict[str, TensorProto] = {}
        self.replaced: set[str] = set()

    def rewrite(self, node: NodeProto) -> list[NodeProto]:
        """The nodes that take the place of a product."""
        source, out = node.input[0], node.output[0]
        weight, scale = self._weight(node)
        nodes = [
            *self._activation(source),
            helper.make_node(
                "MatMulInteger", [f"{source}_u8", weight, f"{source}_zero"], [f"{out}_int32"]
            ),
            helper.make_node("Cast", [f"{out}_int32"], [f"{out}_cast"], to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{source}_scale", scale], [f"{out}_factor"]),
        ]
        bias = node.input[2] if len(node.input) > 2 else ""
        result = f"{out}_product" if bias else out
        nodes.append(helper.make_node("Mul", [f"{out}_cast", f"{out}_factor"], [result]))
        if bias:
            nodes.append(helper.make_node("Add", [result, bias], [out]))
        return nodes

    def _activation(self, name: str) -> list[NodeProto]:
        if name in self._activations:
            return []
        self._activations.add(name)
        outputs = [f"{name}_u8", f"{name}_scale", f"{name}_zero"]
        return [helper.make_node("DynamicQuantizeLinear", [name], outputs)]

    def _weight(self, node: NodeProto) -> tuple[str, str]:
        """Names of the int8 weight, (in, out), and of its scales, (out,)."""
        name = node.input[1]
        transposed = bool(attribute(node, "transB", 0))
        stored, scale = f"{name}_int8{'_t' if transposed else ''}", f"{name}_scale{transposed:d}"
        if stored not in self.tensors:
            weight = numpy_helper.to_array(self._weights[name])
            values, scales = to_int8(weight.T if transposed else weight, (1,))
            self.tensors[stored] = numpy_helper.from_array(np.ascontiguousarray(values), stored)
            self.tensors[scale] = numpy_helper.from_array(scales.reshape(-1), scale)
        self.replaced.add(name)
        return stored, scale


def is_plain(node: NodeProto, weights: Mapping[str, TensorProto]) -> bool:
    """Whether a node is a plain product of an activation and a constant matrix."""
    if node.op_type not in ("MatMul", "Gemm") or not has_weight(node, weights):
        return False
    plain = not attribute(node, "transA", 0) and all(
        float_attribute(node, name, 1.0) == 1.0 for name in ("alpha", "beta")
    )
    return plain and len(weights[node.input[1]].dims) == 2 and node.input[0] not in weights
