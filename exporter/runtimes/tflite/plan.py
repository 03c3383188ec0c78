"""Decides which operators of a .tflite graph become int8, and how."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from exporter.runtimes.tflite.flatbuffer import Graph, Operator
from exporter.types import Scheme

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})
"""Hold weights, as their second input, and have int8 kernels in XNNPACK."""

LOOKUP = "EMBEDDING_LOOKUP"
"""Its table is int8 in both schemes; rows come out as float."""

FLOAT_COMPUTE = frozenset({"DEPTHWISE_CONV_2D"})
"""With dynamic activations their weights are int8 and the compute stays float: XNNPACK leaves the
dynamic kind to the interpreter. Measured on EfficientNet-Lite0, one thread: 14.6 ms in 17 pieces
with dynamic depthwise convolutions, 3.2 ms in one piece so."""

BETWEEN = frozenset(
    {
        "ADD", "MUL", "CONCATENATION", "MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PADV2",
        "MIRROR_PAD", "RESHAPE", "TRANSPOSE", "SLICE", "STRIDED_SLICE", "SPLIT", "RESIZE_BILINEAR",
        "RESIZE_NEAREST_NEIGHBOR", "LOGISTIC", "HARD_SWISH", "RELU",
    }
)  # fmt: skip
"""Hold no weights, and are int8 under static quantization only where all around them is int8 too.

In a CNN that is everywhere, and saves going to float and back. In a transformer it is nowhere,
which is right: with all of it int8, a small DeiT fell from 38 to 31 dB and ran four times slower,
in 42 delegates instead of one.
"""


@dataclass(frozen=True)
class Plan:
    """Numbers of the main graph's operators, by what becomes of them; the others stay float.

    Attributes:
        static: int8 weights and int8 activations with calibrated ranges.
        dynamic: int8 weights, activations quantized at run time.
        weight_only: int8 weights, turned to float before the operator.
    """

    static: frozenset[int] = frozenset()
    dynamic: frozenset[int] = frozenset()
    weight_only: frozenset[int] = frozenset()


def plan(graph: Graph, scheme: Scheme) -> Plan:
    """Chooses the operators to quantize.

    Args:
        graph: the float main graph.
        scheme: static or dynamic.
    """
    lookups = frozenset(
        i for i, op in enumerate(graph.operators) if _holds_weights(graph, op, {LOOKUP})
    )
    weighted = frozenset(
        i for i, op in enumerate(graph.operators) if _holds_weights(graph, op, WEIGHTED)
    )
    if scheme is Scheme.STATIC:
        return Plan(static=weighted | _between(graph, weighted), dynamic=lookups)
    as_float = frozenset(i for i in weighted if graph.operators[i].name in FLOAT_COMPUTE)
    return Plan(dynamic=lookups | (weighted - as_float), weight_only=as_float)


def _holds_weights(graph: Graph, operator: Operator, names: set[str] | frozenset[str]) -> bool:
    if operator.name not in names or len(operator.inputs) < 2:
        return False
    weights = graph.tensors[operator.inputs[1]]
    return weights.constant and weights.dtype == "float32"


def _between(graph: Graph, weighted: frozenset[int]) -> frozenset[int]:
    """The `BETWEEN` operators whose neighbours are all int8, inputs and outputs of the model aside.

    Starts with all of them and drops those with a float neighbour until none is left to drop;
    then keeps what is connected to a weighted operator at all.
    """
    neighbours = _neighbours(graph)
    kept = {
        i
        for i, op in enumerate(graph.operators)
        if op.name in BETWEEN and all(graph.tensors[o].dtype == "float32" for o in op.outputs)
    }
    while lost := {i for i in kept if not neighbours[i] <= kept | weighted}:
        kept -= lost
    reached: set[int] = set()
    frontier = set(weighted)
    while frontier := {n for i in frontier for n in neighbours[i] & kept} - reached:
        reached |= frontier
    return frozenset(reached)


def _neighbours(graph: Graph) -> dict[int, set[int]]:
    """Operator -> the operators it takes float tensors from or gives them to."""
    maker = {t: i for i, op in enumerate(graph.operators) for t in op.outputs}
    found: dict[int, set[int]] = defaultdict(set)
    for i, op in enumerate(graph.operators):
        for tensor in op.inputs:
            if tensor in maker and graph.tensors[tensor].dtype == "float32":
                found[i].add(maker[tensor])
                found[maker[tensor]].add(i)
    return found
