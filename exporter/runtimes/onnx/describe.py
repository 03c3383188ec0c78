"""Reads what an .onnx file holds, without running it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
)

from exporter.errors import UserError
from exporter.runtimes.onnx.graph import element_type, opset
from exporter.runtimes.onnx.run import FREE
from exporter.types import Description, Needs, TensorSpec


def describe(path: Path) -> Description:
    """See `exporter.runtimes.api.DescribeFn`; the size includes external data.

    Raises:
        UserError: the file is no ONNX model, or its external data is missing.
    """
    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError as error:
        raise UserError(f"{path} is not an ONNX model, or it is damaged.") from error
    if not model.opset_import or not model.graph.output:
        raise UserError(f"{path} is not an ONNX model, or it is damaged.")
    nodes = list(_nodes(model.graph)) + [n for f in model.functions for n in f.node]
    tensors = [*model.graph.initializer, *(t for n in nodes for t in _constants(n))]
    external = _external_files(path, tensors)
    weights: Counter[str] = Counter()
    for tensor in tensors:
        weights[element_type(tensor.data_type)] += _bytes(tensor)
    constants = {t.name for t in model.graph.initializer}
    return Description(
        kind=f"ONNX model, opset {opset(model)}",
        size=sum(file.stat().st_size for file in (path, *external)),
        inputs=tuple(_spec(v) for v in model.graph.input if v.name not in constants),
        outputs=tuple(_spec(v) for v in model.graph.output),
        operators=dict(Counter(_operator(n) for n in nodes).most_common()),
        weight_bytes=dict(weights.most_common()),
        details=_details(model, external),
        needs=_needs(model, nodes),
    )


def _details(model: ModelProto, external: list[Path]) -> dict[str, str]:
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return {
        **({"producer": producer} if producer else {}),
        **{p.key: p.value for p in model.metadata_props},
        **({"external data": ", ".join(f.name for f in external)} if external else {}),
    }


def _needs(model: ModelProto, nodes: list[NodeProto]) -> Needs:
    """Operator sets that the file uses and does not define itself, and the version of its IR."""
    own = {function.domain for function in model.functions}
    used = {node.domain for node in nodes} - own
    others = {
        f"opset {o.domain}": str(o.version)
        for o in model.opset_import
        if o.domain in used - {"", "ai.onnx"}
    }
    return Needs({"opset": str(opset(model)), **others, "IR version": str(model.ir_version)})


def _nodes(graph: GraphProto) -> Iterator[NodeProto]:
    """The nodes of a graph and of the branches and loop bodies in it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _nodes(inner)


def _constants(node: NodeProto) -> list[TensorProto]:
    if node.op_type != "Constant":
        return []
    return [a.t for a in node.attribute if a.type == AttributeProto.TENSOR]


def _operator(node: NodeProto) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type


def _bytes(tensor: TensorProto) -> int:
    """Bytes of a tensor, wherever its data lies."""
    try:
        size = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError:
        return len(tensor.raw_data)
    return math.prod(tensor.dims) * size


def _external_files(path: Path, tensors: list[TensorProto]) -> list[Path]:
    names = {
        entry.value
        for tensor in tensors
        if tensor.data_location == TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = [path.parent / name for name in sorted(names)]
    for file in files:
        if not file.is_file():
            raise UserError(
                f"{path} keeps its weights in {file.name}, which is missing.",
                "Put that file beside it.",
            )
    return files


def _spec(value: ValueInfoProto) -> TensorSpec:
    tensor = value.type.tensor_type
    shape = tuple(d.dim_value if d.HasField("dim_value") else FREE for d in tensor.shape.dim)
    return TensorSpec(value.name, shape, element_type(tensor.elem_type))
