"""Stores weights as int8 and computes with them in float32.

For operators that have no fitting int8 kernel, so that the file is small all the same. A weight
becomes `Cast(int8) * scale`, which ONNX Runtime folds back to float32 when it loads the model: it
then runs exactly as fast as the float one. (`DequantizeLinear` would say the same, but is not
folded: EfficientNet-Lite0 takes 14 ms with it and 5 ms with this.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Set

from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from exporter.quantize.weights import to_int8
from exporter.runtimes.onnx.graph import attribute, float_weights, replace_nodes, replace_weights

_RECURRENT = ("LSTM", "GRU", "RNN")


def int8_weights(model: ModelProto, names: Set[str]) -> None:
    """Stores as int8, symmetric and per channel, what weights of some nodes are still float.

    Convolutions, matrix products and recurrent layers go on computing in float32. An embedding
    looks up int8 rows and scales only those, so that its table stays small in memory too.

    Args:
        model: changed in place; the other nodes read none of these weights, see `own_weights`.
        names: of the nodes.
    """
    graph = model.graph
    weights = float_weights(graph)
    readers = Counter(name for node in graph.node for name in node.input)
    stored: dict[str, tuple[TensorProto, TensorProto]] = {}
    loads: list[NodeProto] = []
    nodes: list[NodeProto] = []
    for node in graph.node:
        replacement = [node]
        for name, axes in weight_axes(node, weights) if node.name in names else ():
            if name in stored:
                continue
            stored[name] = _store(weights[name], axes)
            if node.op_type == "Gather" and readers[name] == 1:
                replacement = _lookup(node)
            else:
                loads += _load(name)
        nodes += replacement
    replace_nodes(graph, (*loads, *nodes))
    replace_weights(graph, set(stored), (t for pair in stored.values() for t in pair))


def own_weights(graph: GraphProto, names: Set[str]) -> None:
    """Gives some nodes copies of the weights that they share with others.

    Args:
        graph: changed in place.
        names: of the nodes whose weights are to stay float where those of the others become int8.
    """
    weights = float_weights(graph)
    shared = {i for n in graph.node if n.name not in names for i in n.input} & weights.keys()
    copies: dict[str, TensorProto] = {}
    for node in graph.node:
        for index, name in enumerate(node.input):
            if node.name in names and name in shared:
                copies[name] = tensor = TensorProto()
                tensor.CopyFrom(weights[name])
                tensor.name = node.input[index] = f"{name}_float"
    graph.initializer.extend(copies.values())


def weight_axes(
    node: NodeProto, weights: Mapping[str, TensorProto]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Each of a node's `weights`, with the axes that get a scale of their own: output channels."""
    return tuple(found for found in _axes(node, weights) if found[0] in weights)


def _axes(
    node: NodeProto, weights: Mapping[str, TensorProto]
) -> tuple[tuple[str, tuple[int, ...]], ...]:
    inputs = list(node.input)
    if node.op_type == "Conv":
        return ((inputs[1], (0,)),)
    if node.op_type == "ConvTranspose":  # (in, out / groups, ...): in is out where it is depthwise
        return ((inputs[1], (1,) if attribute(node, "group", 1) == 1 else (0,)),)
    if node.op_type == "Gemm":
        return ((inputs[1], (0,) if attribute(node, "transB", 0) else (1,)),)
    if node.op_type == "MatMul" and inputs[1] in weights:
        return ((inputs[1], (len(weights[inputs[1]].dims) - 1,)),)
    if node.op_type in _RECURRENT:  # (directions, gates * hidden, in)
        return tuple((name, (0, 1)) for name in inputs[1:3])
    if node.op_type == "Gather" and inputs[0] in weights:
        is_table = len(weights[inputs[0]].dims) == 2 and attribute(node, "axis", 0) == 0
        return ((inputs[0], (0,)),) if is_table else ()
    return ()


def _store(weight: TensorProto, axes: tuple[int, ...]) -> tuple[TensorProto, TensorProto]:
    values, scales = to_int8(numpy_helper.to_array(weight), axes)
    return (
        numpy_helper.from_array(values, f"{weight.name}_int8"),
        numpy_helper.from_array(scales, f"{weight.name}_scale"),
    )


def _load(name: str) -> list[NodeProto]:
    """Nodes that make float32 of a stored weight, under its old name."""
    return [
        helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}_cast", f"{name}_scale"], [name]),
    ]


def _lookup(node: NodeProto) -> list[NodeProto]:
    """An embedding whose rows are scaled after they were looked up."""
    table, index, out = node.input[0], node.input[1], node.output[0]
    return [
        helper.make_node("Gather", [f"{table}_int8", index], [f"{out}_rows"], axis=0),
        helper.make_node("Cast", [f"{out}_rows"], [f"{out}_cast"], to=TensorProto.FLOAT),
        helper.make_node("Gather", [f"{table}_scale", index], [f"{out}_factor"], axis=0),
        helper.make_node("Mul", [f"{out}_cast", f"{out}_factor"], [out]),
    ]
