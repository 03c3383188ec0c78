"""The recipe in ONNX Runtime's terms: what becomes of each node, and the range of each tensor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto

from exporter.errors import FormatError
from exporter.quantize.guard import Captured, least, wanted
from exporter.quantize.recipe import Range, Recipe
from exporter.runtimes.onnx.dynamic import is_plain
from exporter.runtimes.onnx.graph import float_weights
from exporter.runtimes.onnx.program import Marks
from exporter.runtimes.onnx.session import open_session, run_fn
from exporter.runtimes.onnx.static import PRODUCTS
from exporter.runtimes.onnx.storage import save
from exporter.runtimes.onnx.weights import weight_axes
from exporter.types import Array, Compute, Sample, Scheme

_MOVES = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Flatten", "Identity"})
"""Give all elements of their first input."""

_PARTS = _MOVES | {"Slice", "Split", "Gather"}
"""Give elements of their first input."""

_SAME_RANGE = _PARTS | {"MaxPool", "AveragePool", "Resize", "Pad"}
"""onnxruntime gives what they make the range of what they take, and leaves them float where that
is float."""

_KERNELS = _SAME_RANGE | {
    *("Relu", "Clip", "LeakyRelu", "Sigmoid", "GlobalAveragePool", "Add", "Mul", "Concat"),
}
"""Hold no weights, and have int8 kernels of their own, or only move numbers."""

_REMOVED = frozenset({"Relu", "Clip"})
"""Need no kernel after an int8 operator: the range of its result holds them."""


@dataclass(frozen=True)
class NodeChoices:
    """What becomes of the nodes of a graph.

    Attributes:
        computes: name of a node -> how it computes, for those that hold weights or become int8.
        ranges: tensor -> its range, for all activations that static nodes take and give.
        operators: name of a node -> the captured operators that it computes.
    """

    computes: Mapping[str, Compute]
    ranges: Mapping[str, Range]
    operators: Mapping[str, frozenset[str]]

    def named(self, *kinds: Compute) -> frozenset[str]:
        """Names of the nodes that compute in one of these ways."""
        return frozenset(name for name, compute in self.computes.items() if compute in kinds)


def choose(
    model: ModelProto,
    marks: Marks,
    recipe: Recipe,
    captured: Captured,
    example: Sample,
    folder: Path,
) -> NodeChoices:
    """Finds each node's captured operator, and what it can be of what the recipe wants.

    Less than that where ONNX Runtime has no good kernel:
    - A convolution keeps int8 weights alone in place of dynamic int8: per-channel ConvInteger is 12
      times slower than the float convolution, and leaves EfficientNet-Lite0 an SQNR of 6 dB where
      int8 weights with float activations leave 20. So do transposed ones and recurrent layers.
    - A sum or product with a constant stays float: its int8 form would have one scale for all
      channels.
    - So does what takes or gives a tensor whose range nobody knows, such as one inside an attention
      that was written out. It is not measured here: what ONNX Runtime has kernels for takes and
      gives captured tensors, their parts, or their elements in another order.

    Args:
        model: float, simplified, with names for its nodes.
        marks: where its tensors come from.
        recipe: what is wanted.
        captured: of the program that it was made of.
        example: one sample.
        folder: for temporary files.

    Raises:
        FormatError: static int8 is wanted and there are no ranges, or the marks do not fit the
            numbers.
    """
    if recipe.scheme is Scheme.STATIC and not any(step.range for step in recipe.steps):
        raise FormatError("static int8 needs calibration samples")
    values = _values(model, example, folder)
    chooser = _Chooser(model.graph, marks, recipe, captured, values)
    return chooser.choose()


def computes(chosen: NodeChoices, quantized: GraphProto) -> dict[str, Compute]:
    """How each captured operator computes in the graph that was made of choices.

    Of an operator that has become several nodes, the one counts that has the least of int8.
    """
    nodes = {node.name: node for node in quantized.node}
    loaded = {n.output[0] for n in quantized.node if n.op_type == "DequantizeLinear"}
    found: dict[str, Compute] = {}
    for name, compute in chosen.computes.items():
        node = nodes.get(name)
        if compute is Compute.STATIC and node and node.input[0] not in loaded:
            compute = Compute.FLOAT
        for operator in chosen.operators[name]:
            found[operator] = least((compute, found.get(operator, compute)))
    return found


class _Chooser:
    """Decides node by node.

    Args:
        graph: float.
        marks: where its tensors come from.
        recipe: what is wanted.
        captured: of the program that it was made of.
        values: tensor -> its value on the example.
    """

    def __init__(
        self,
        graph: GraphProto,
        marks: Marks,
        recipe: Recipe,
        captured: Captured,
        values: Mapping[str, Array],
    ) -> None:
        self._graph, self._recipe, self._captured, self._values = graph, recipe, captured, values
        self._constants = marks.constants
        self._weights = float_weights(graph)
        self._makers = {out: node for node in graph.node for out in node.output}
        self._origins = _origins(graph, marks.values)
        self._inputs = dict(zip((v.name for v in graph.input), recipe.inputs, strict=True))

    def choose(self) -> NodeChoices:
        operators = self._operators()
        self._check(operators)
        possible = {
            node.name: self._possible(node, operators[node.name])
            for node in self._graph.node
            if operators[node.name]
        }
        ranges = self._ranges(n for n in self._graph.node if possible.get(n.name) is Compute.STATIC)
        made: dict[str, Compute] = {}
        for node in self._graph.node:
            if node.name not in possible:
                continue
            compute, holds = possible[node.name], bool(weight_axes(node, self._weights))
            if compute is Compute.STATIC and not ranges.keys() >= self._needed(node):
                compute = Compute.WEIGHT_ONLY if holds else Compute.FLOAT
            if holds or wanted(self._recipe, operators[node.name]) is not Compute.FLOAT:
                made[node.name] = compute
            if not holds:  # such as a bias that is added on its own
                operators[node.name] -= self._captured.layers
        return NodeChoices(made, ranges, operators)

    def _operators(self) -> dict[str, frozenset[str]]:
        """Node -> captured operators: by what it gives, or by the weights it reads, as onnxsim
        renames the results of what it fuses."""
        found = {node.name: self._by_output(node) for node in self._graph.node}
        layers = [n for n in self._graph.node if weight_axes(n, self._weights)]
        for node in layers:
            given = found[node.name]
            found[node.name] = (given & self._captured.layers) or self._readers(node) or given
        # Of equal layers onnxsim keeps one weight: each is what the others are not.
        sure = {name for n in layers if len(found[n.name]) == 1 for name in found[n.name]}
        for node in layers:
            if len(found[node.name]) > 1:
                found[node.name] = (found[node.name] - sure) or found[node.name]
        return found

    def _by_output(self, node: NodeProto) -> frozenset[str]:
        return frozenset(self._origins[out] for out in node.output if out in self._origins)

    def _readers(self, node: NodeProto) -> frozenset[str]:
        names = (name for name, _ in weight_axes(node, self._weights))
        readers = (self._constants.get(name, frozenset()) for name in names)
        return frozenset().union(*readers) & self._captured.layers

    def _check(self, operators: Mapping[str, frozenset[str]]) -> None:
        tensors: defaultdict[str, dict[str, Array]] = defaultdict(dict)
        for node in self._graph.node:
            for name in operators[node.name] | self._by_output(node):
                tensors[name].update({o: self._values[o] for o in node.output if o in self._values})
        for name in self._captured.layers & tensors.keys():
            if self._recipe.by_node[name].compute is not Compute.FLOAT:
                given = tensors[name].items()
                self._captured.check(name, [([self._origins.get(o, name)], v) for o, v in given])

    def _possible(self, node: NodeProto, operators: frozenset[str]) -> Compute:
        """What a node could be, if there are ranges."""
        asked = wanted(self._recipe, operators)
        if weight_axes(node, self._weights):
            has_kernel = {
                Compute.STATIC: node.op_type in PRODUCTS | {"Conv"},
                Compute.DYNAMIC: is_plain(node, self._weights),
            }
            return asked if has_kernel.get(asked, True) else Compute.WEIGHT_ONLY
        known = _MOVES if operators & self._captured.layers else _KERNELS
        constant = node.op_type in ("Add", "Mul", "Concat") and not self._makers.keys() >= set(
            node.input
        )
        fits = asked is Compute.STATIC and node.op_type in known and not constant
        return Compute.STATIC if fits else Compute.FLOAT

    def _needed(self, node: NodeProto) -> set[str]:
        """The activations that are quantized for a static node."""
        if node.op_type in _SAME_RANGE:
            names = [node.input[0]]
        elif node.op_type in PRODUCTS or node.op_type == "Conv":
            names = [node.input[0], *(node.output if node.op_type == "Conv" else ())]
        else:
            names = [*node.input, *node.output]
        return {n for n in names if n in self._values and self._values[n].dtype == np.float32}

    def _ranges(self, static: Iterable[NodeProto]) -> dict[str, Range]:
        found: dict[str, Range] = {}
        readers: defaultdict[str, list[NodeProto]] = defaultdict(list)
        for node in self._graph.node:
            for name in node.input:
                readers[name].append(node)
        chosen = list(static)
        for name in {name for node in chosen for name in self._needed(node)}:
            if (known := self._range(name)) is not None:
                found[name] = known
        for node in chosen:
            source = node.input[0]
            if node.op_type in _REMOVED and len(readers[source]) == 1 and node.output[0] in found:
                found[source] = found[node.output[0]]
        return found

    def _range(self, tensor: str) -> Range | None:
        """The range of the captured tensor that this one is, or is a part of."""
        if tensor in self._inputs:
            return self._inputs[tensor]
        names = [self._origins[tensor]] if tensor in self._origins else []
        captured = self._captured.origin(names, self._values[tensor])
        if captured:
            return self._recipe.by_node[captured].range
        maker = self._makers.get(tensor)
        return self._range(maker.input[0]) if maker and maker.op_type in _PARTS else None


def _origins(graph: GraphProto, values: Mapping[str, str]) -> dict[str, str]:
    """Tensor -> captured operator, with the tensors that onnxsim renamed: what is only moved is
    still what it was."""
    found = dict(values)
    moves = [node for node in graph.node if node.op_type in _MOVES]
    for node in moves:
        if node.output[0] not in found and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    made = {out for node in graph.node for out in node.output}
    for node in reversed(moves):
        if node.input[0] in made and node.output[0] in found:
            found.setdefault(node.input[0], found[node.output[0]])
    return found


def _values(model: ModelProto, example: Sample, folder: Path) -> dict[str, Array]:
    """Every tensor's value on one sample."""
    probe = ModelProto()
    probe.CopyFrom(model)
    public = [value.name for value in model.graph.output]
    inner = [o for n in model.graph.node for o in n.output if o and o not in public]
    probe.graph.output.extend(ValueInfoProto(name=name) for name in inner)
    path = folder / "probe.onnx"
    save(probe, path)
    outputs = run_fn(open_session(path, optimise=False))(example)
    inputs = [value.name for value in model.graph.input]
    names = [*inputs, *public, *inner]
    return dict(zip(names, (*example, *outputs), strict=True))
