"""Reads what a .tflite file holds, without running it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from exporter.errors import UserError
from exporter.runtimes.tflite import releases
from exporter.runtimes.tflite.flatbuffer import Graph, graphs, operator_versions, parse
from exporter.types import Description, TensorSpec

_BY_SCALES = {
    "FULLY_CONNECTED": ("FULLY_CONNECTED (dynamic int8)", ("float32", "int8")),
    "EMBEDDING_LOOKUP": ("EMBEDDING_LOOKUP (int8)", ("int32", "int8")),
}
"""Operator whose weights may have a scale per channel -> what libraries call it, and the types of
its inputs, where they differ in it."""


def describe(path: Path) -> Description:
    """Operators, inputs, outputs and stored weights of a .tflite file.

    Inputs and outputs have the types of the file: an int64 input of the model is int32 here.

    Raises:
        UserError: the file is not a whole .tflite file.
    """
    content = path.read_bytes()
    try:
        model = parse(content)
    except ValueError as error:
        raise UserError(
            f"{path} is {error}.", "Export it again, or compare its sha256 with the manifest."
        ) from error
    parts = graphs(model)
    counts = Counter(op.name for graph in parts for op in graph.operators)
    inputs, outputs = _endpoints(model, parts[0])
    return Description(
        kind=f"LiteRT model, schema version {model.version}",
        size=len(content),
        inputs=inputs,
        outputs=outputs,
        operators=dict(counts.most_common()),
        weight_bytes=weight_bytes(parts),
        details=_details(model, parts),
        needs=replace(
            releases.needs(_stated_release(model), operator_versions(model)),
            operators=dict.fromkeys(_differing(model, parts), 0),
        ),
    )


def weight_bytes(parts: tuple[Graph, ...]) -> dict[str, int]:
    """Element type -> stored bytes, largest first; a buffer that tensors share counts once."""
    sizes: Counter[str] = Counter()
    seen: set[int] = set()
    for tensor in (t for graph in parts for t in graph.tensors):
        if tensor.constant and tensor.buffer not in seen:
            seen.add(tensor.buffer)
            sizes[tensor.dtype] += tensor.nbytes
    return dict(sizes.most_common())


def computing(graph: Graph) -> Counter[str]:
    """Operators that compute, name -> how often: all but those that only change type or shape."""
    names = Counter(op.name for op in graph.operators)
    for change in ("QUANTIZE", "DEQUANTIZE", "RESHAPE"):
        del names[change]
    return names


def int8_operators(graph: Graph) -> Counter[str]:
    """Those of `computing` that read int8 weights or activations."""
    names = Counter(
        op.name
        for op in graph.operators
        if any(graph.tensors[i].dtype == "int8" for i in op.inputs)
    )
    return names & computing(graph)


def _endpoints(model: Any, graph: Graph) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """Inputs and outputs, under their signature names where the file has a signature."""
    if not model.signatureDefs:
        return (
            tuple(_spec(graph, i, graph.tensors[i].name) for i in graph.inputs),
            tuple(_spec(graph, i, graph.tensors[i].name) for i in graph.outputs),
        )
    definition = model.signatureDefs[0]
    return (
        tuple(_spec(graph, entry.tensorIndex, entry.name.decode()) for entry in definition.inputs),
        tuple(_spec(graph, entry.tensorIndex, entry.name.decode()) for entry in definition.outputs),
    )


def _spec(graph: Graph, number: int, name: str) -> TensorSpec:
    tensor = graph.tensors[number]
    return TensorSpec(name, tensor.shape, tensor.dtype)


def _details(model: Any, parts: tuple[Graph, ...]) -> dict[str, str]:
    details = {"written by": (model.description or b"unknown").decode()}
    if model.signatureDefs:
        details["signature"] = model.signatureDefs[0].signatureKey.decode()
    if quantized := int8_operators(parts[0]).total():
        details["int8 operators"] = f"{quantized} of {computing(parts[0]).total()}"
    return details


def _differing(model: Any, parts: tuple[Graph, ...]) -> Iterator[str]:
    """Operators of which a library is known that computes them wrongly."""
    for subgraph, graph in zip(model.subgraphs, parts, strict=True):
        for op in (op for op in graph.operators if op.name in _BY_SCALES):
            data, weight, *_ = op.inputs
            types = (graph.tensors[data].dtype, graph.tensors[weight].dtype)
            label, differing = _BY_SCALES[op.name]
            if types == differing and _by_channel(subgraph.tensors[weight]):
                yield label


def _by_channel(tensor: Any) -> bool:
    scales = tensor.quantization and tensor.quantization.scale
    return scales is not None and len(scales) > 1


def _stated_release(model: Any) -> str:
    """What the file says of the TensorFlow Lite that it needs, or ""."""
    for entry in model.metadata or []:
        if entry.name == b"min_runtime_version":
            return bytes(model.buffers[entry.buffer].data).rstrip(b"\0").decode()
    return ""
