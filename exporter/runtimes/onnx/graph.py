"""Small questions to, and edits of, an ONNX graph."""

from __future__ import annotations

from collections.abc import Iterable

import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper


def float_weights(graph: GraphProto) -> dict[str, TensorProto]:
    """The float32 constants of a graph, by name, save those that are themselves an output."""
    outputs = {value.name for value in graph.output}
    tensors = (t for t in graph.initializer if t.data_type == TensorProto.FLOAT)
    return {t.name: t for t in tensors if t.name not in outputs}


def attribute(node: NodeProto, name: str, default: int) -> int:
    """An integer attribute of a node."""
    return next((a.i for a in node.attribute if a.name == name), default)


def float_attribute(node: NodeProto, name: str, default: float) -> float:
    """A real-valued attribute of a node."""
    return next((a.f for a in node.attribute if a.name == name), default)


def has_weight(node: NodeProto, weights: Iterable[str]) -> bool:
    """Whether the second input of a convolution or matrix product is a constant."""
    return len(node.input) > 1 and node.input[1] in weights


def replace_nodes(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Sets the nodes of a graph, in execution order."""
    kept = list(nodes)
    del graph.node[:]
    graph.node.extend(kept)


def replace_weights(graph: GraphProto, old: set[str], new: Iterable[TensorProto]) -> None:
    """Removes the constants named in `old` and adds `new` ones."""
    kept = [t for t in graph.initializer if t.name not in old]
    del graph.initializer[:]
    graph.initializer.extend([*kept, *new])


def prepare(model: ModelProto) -> None:
    """Makes a graph fit for quantizers: every node has its own name, no shape is remembered.

    Quantizers select nodes by name, and remembered shapes of tensors that are then rewritten fail
    their shape inference; ONNX Runtime infers all shapes when it loads a model.
    """
    seen: set[str] = set()
    for index, node in enumerate(model.graph.node):
        if not node.name or node.name in seen:
            node.name = f"{node.op_type}_{index}"
        seen.add(node.name)
    del model.graph.value_info[:]


def opset(model: ModelProto) -> int:
    """Version of the standard operators that a model uses; 0 if it names none."""
    return next((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), 0)


def element_type(tensor_type: int) -> str:
    """numpy's name of an ONNX element type, such as `float32`; ONNX's own where numpy has none."""
    try:
        return str(helper.tensor_dtype_to_np_dtype(tensor_type))
    except KeyError:
        return onnx.TensorProto.DataType.Name(tensor_type).lower()
