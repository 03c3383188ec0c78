"""The recipe in LiteRT's terms: what becomes of each operator, and the range of each tensor."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch.export import ExportedProgram
from torch.export.graph_signature import OutputKind

from exporter.errors import FormatError
from exporter.quantize.guard import Captured, least, wanted
from exporter.quantize.marker import KIND, key
from exporter.quantize.operators import BETWEEN, PRODUCTS
from exporter.quantize.recipe import Range, Recipe
from exporter.runtimes.api import ConvertJob
from exporter.runtimes.tflite.flatbuffer import Graph, Operator, graphs, parse
from exporter.runtimes.tflite.probe import Probe
from exporter.types import Array, Compute, Scheme

LOOKUP = "EMBEDDING_LOOKUP"
"""Takes an int8 table whose rows come out as float; to the quantizer that is dynamic int8."""

WEIGHT_AXES = {
    "CONV_2D": 0,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 0,
    "TRANSPOSE_CONV": 0,
    LOOKUP: 0,
}
"""Operators with int8 kernels that hold weights, as their second input -> the axis of those along
which each index has a scale."""

_FLOAT_COMPUTE = frozenset({"DEPTHWISE_CONV_2D"})
"""With dynamic activations their weights are int8 and the compute stays float: XNNPACK leaves the
dynamic kind to the interpreter. Measured on EfficientNet-Lite0, one thread: 14.6 ms in 17 pieces
with dynamic depthwise convolutions, 3.2 ms in one piece so."""

_MOVES = frozenset({"RESHAPE", "TRANSPOSE"})
"""Give all elements that they take."""

_KERNELS = _MOVES | {
    *("ADD", "MUL", "CONCATENATION", "MEAN", "AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "PADV2"),
    *("MIRROR_PAD", "SLICE", "STRIDED_SLICE", "SPLIT", "RESIZE_BILINEAR"),
    *("RESIZE_NEAREST_NEIGHBOR", "LOGISTIC", "HARD_SWISH", "RELU"),
}
"""Hold no weights, and have int8 kernels."""

_NAME = re.compile(rf"{KIND}_(\w+);")
"""What litert-torch makes of a mark; fused operators join their names."""


@dataclass(frozen=True)
class OperatorChoices:
    """What becomes of the main graph's operators.

    Attributes:
        computes: number of an operator -> how it computes, for those that come from a captured one.
        ranges: name of a tensor -> its range, for all activations of static operators.
        operators: number of an operator -> the captured ones whose fate it tells.
    """

    computes: Mapping[int, Compute]
    ranges: Mapping[str, Range]
    operators: Mapping[int, frozenset[str]]

    def numbered(self, compute: Compute) -> frozenset[int]:
        """Numbers of the operators that compute in this way."""
        return frozenset(i for i, kind in self.computes.items() if kind is compute)


def choose(content: bytes, job: ConvertJob, recipe: Recipe) -> OperatorChoices:
    """Finds each operator's captured one, and what it can be of what the recipe wants.

    Less than that where LiteRT has no good kernel, and where the converter made an operator of its
    own, to move elements, that has a float neighbour. Ranges are the recipe's. Those of tensors
    that the captured program does not have are measured on the job's few calibration samples: what
    a layer norm gives whose factors went into the next layer, or the inside of an operator that
    became several.

    Args:
        content: a float .tflite with the converter's own names, of a marked program.
        job: gives the program and samples.
        recipe: what is wanted.

    Raises:
        FormatError: static int8 is wanted and there are no ranges or samples, or the names do not
            fit the numbers.
    """
    ranges = any(step.range for step in recipe.steps)
    if recipe.scheme is Scheme.STATIC and not (ranges and job.calibration):
        raise FormatError("static int8 needs calibration samples")
    return _Chooser(content, job, recipe).choose()


class _Chooser:
    """Decides operator by operator.

    Args:
        content: the file.
        job: gives the program and samples.
        recipe: what is wanted.
    """

    def __init__(self, content: bytes, job: ConvertJob, recipe: Recipe) -> None:
        model = parse(content)
        self._graph = graphs(model)[0]
        self._job, self._recipe = job, recipe
        self._captured = Captured(job.program, job.example)
        self._inputs = _numbers(model.signatureDefs[0].inputs, "args_")
        outputs = _numbers(model.signatureDefs[0].outputs, "output_")
        self._ends = dict(zip(outputs, _ends(job.program, self._captured.layers), strict=True))
        self._probe = Probe(content, self._inputs)
        self._probe.run(job.example)
        self._names = [self._names_of(i) for i in range(len(self._graph.tensors))]
        self._neighbours = _neighbours(self._graph)

    def choose(self) -> OperatorChoices:
        layers = self._layers()
        self._check()
        computes = {i: self._weighted(self._graph.operators[i], of) for i, of in layers.items()}
        computes |= self._between(computes)
        told = {i: layers.get(i, frozenset()) | self._also(i) for i in computes}
        return OperatorChoices(computes, self._ranges(computes), told)

    def _also(self, operator: int) -> frozenset[str]:
        """What holds no weights, and an operator tells of: itself, or the clamp fused into it."""
        return frozenset(
            name
            for name in self._names_at(operator)[:1]
            if name not in self._captured.layers
            and self._recipe.by_node[name].compute is not Compute.FLOAT
        )

    def _names_of(self, tensor: int) -> tuple[str, ...]:
        """The captured operators that a tensor's name tells, the last in the program first: it is
        what the others were fused into, or lent a constant to."""
        if tensor in self._ends:
            return self._ends[tensor]
        order = self._captured.order
        found = set(_NAME.findall(self._graph.tensors[tensor].name)) & order.keys()
        return tuple(sorted(found, key=order.__getitem__, reverse=True))

    def _names_at(self, operator: int) -> tuple[str, ...]:
        return self._names[self._graph.operators[operator].outputs[0]]

    def _layers(self) -> dict[int, frozenset[str]]:
        """Operator -> the captured layers that it computes."""
        found = {
            i: self._captured.layers & set(self._names_at(i))
            for i, op in enumerate(self._graph.operators)
            if op.name in WEIGHT_AXES and self._is_weight(op.inputs[1])
        }
        # Merged operators lend their names to others: each is what the others are not.
        sure = {name for names in found.values() if len(names) == 1 for name in names}
        return {i: (of - sure if len(of) > 1 else of) or of for i, of in found.items() if of}

    def _is_weight(self, tensor: int) -> bool:
        found = self._graph.tensors[tensor]
        return found.constant and found.dtype == "float32"

    def _check(self) -> None:
        tensors: defaultdict[str, list[tuple[tuple[str, ...], Array]]] = defaultdict(list)
        for op in self._graph.operators:
            for t in (t for t in op.outputs if self._is_activation(t)):
                for name in self._captured.layers.intersection(self._names[t]):
                    if self._recipe.by_node[name].compute is not Compute.FLOAT:
                        tensors[name].append((self._names[t], self._probe.value(t)))
        for name, given in tensors.items():
            self._captured.check(name, given)

    def _weighted(self, operator: Operator, layers: frozenset[str]) -> Compute:
        asked = wanted(self._recipe, layers)
        if operator.name == LOOKUP and asked is not Compute.FLOAT:
            return Compute.WEIGHT_ONLY
        if operator.name in _FLOAT_COMPUTE and asked is Compute.DYNAMIC:
            return Compute.WEIGHT_ONLY
        return asked

    def _between(self, weighted: Mapping[int, Compute]) -> dict[int, Compute]:
        """What holds no weights: static as the recipe wants it, or between two that are.

        An operator is dropped where a neighbour has no kernel for what the recipe wants of it: the
        recipe took the two for a chain.
        """
        static = {i for i, compute in weighted.items() if compute is Compute.STATIC}
        asked = {
            i
            for i in range(len(self._graph.operators))
            if i not in weighted and self._asked(i) is Compute.STATIC
        }
        own = {i for i in asked if self._names_at(i)[0] in self._captured.layers}
        kept = {i for i in asked if self._has_kernel(i, _MOVES if i in own else _KERNELS)}
        while lost := {
            i
            for i in kept
            if any(n in asked or i in own for n in self._neighbours[i] - kept - static)
        }:
            kept -= lost
        return {i: Compute.STATIC if i in kept else Compute.FLOAT for i in asked}

    def _asked(self, operator: int) -> Compute:
        names = self._names_at(operator)
        return wanted(self._recipe, names[:1]) if names else Compute.FLOAT

    def _has_kernel(self, operator: int, kernels: frozenset[str]) -> bool:
        op = self._graph.operators[operator]
        return op.name in kernels and all(self._is_activation(t) for t in op.outputs)

    def _is_activation(self, tensor: int) -> bool:
        found = self._graph.tensors[tensor]
        return found.dtype == "float32" and not found.constant

    def _ranges(self, computes: Mapping[int, Compute]) -> dict[str, Range]:
        static = [self._graph.operators[i] for i, c in computes.items() if c is Compute.STATIC]
        needed = {t for op in static for t in (*op.inputs, *op.outputs) if self._is_activation(t)}
        moves = [op for op in self._graph.operators if op.name in _MOVES]
        same = {(op.inputs[0], op.outputs[0]) for op in moves}
        around = needed | {t for pair in same if needed & set(pair) for t in pair}
        found = {t: known for t in around if (known := self._captured_range(t))}
        while more := {
            new: found[old]
            for pair in same
            for old, new in (pair, pair[::-1])
            if old in found and new not in found
        }:
            found |= more
        found |= self._measured(sorted(needed - found.keys()))
        return {self._graph.tensors[t].name: found[t] for t in needed}

    def _captured_range(self, tensor: int) -> Range | None:
        if tensor in self._inputs:
            return self._recipe.inputs[self._inputs.index(tensor)]
        name = self._captured.origin(self._names[tensor], self._probe.value(tensor))
        return self._recipe.by_node[name].range if name else None

    def _measured(self, tensors: list[int]) -> dict[int, Range]:
        found: dict[int, Range] = {}
        for sample in self._job.calibration if tensors else ():
            self._probe.run(sample)
            for t in tensors:
                value = self._probe.value(t)
                if not value.size:
                    continue
                low, high = float(value.min()), float(value.max())
                old = found.get(t, Range(low, high))
                found[t] = Range(min(low, old.low), max(high, old.high))
        return found


def computes(chosen: OperatorChoices, content: bytes, quantized: bytes) -> dict[str, Compute]:
    """How each captured operator computes in the file that was made of choices.

    Of an operator that has become several, the one counts that has the least of int8; the quantizer
    leaves out what it has no form for, without a word.

    Args:
        chosen: of the float file.
        content: of the float file.
        quantized: of the file that was made of it.
    """
    graph, after = graphs(parse(content))[0], graphs(parse(quantized))[0]
    int8 = {
        after.tensors[o].name
        for op in after.operators
        if any(after.tensors[i].dtype == "int8" for i in op.inputs)
        for o in op.outputs
    }
    found: dict[str, Compute] = {}
    for i, compute in chosen.computes.items():
        names = {graph.tensors[o].name for o in graph.operators[i].outputs}
        if compute in (Compute.STATIC, Compute.DYNAMIC) and int8.isdisjoint(names):
            compute = Compute.FLOAT
        for operator in chosen.operators[i]:
            found[operator] = least((compute, found.get(operator, compute)))
    return found


def _numbers(entries: list[Any], prefix: str) -> tuple[int, ...]:
    """Tensor numbers of a signature's entries, in call order."""
    places = {int(e.name.decode().removeprefix(prefix)): int(e.tensorIndex) for e in entries}
    return tuple(places[i] for i in sorted(places))


def _ends(program: ExportedProgram, layers: frozenset[str]) -> list[tuple[str, ...]]:
    """For each output, whose tensor lost its name to the signature, the operators that the
    converter may have fused into the one that gives it: back to the first layer."""
    specs = program.graph_signature.output_specs
    given = program.graph.output_node().args[0]
    assert isinstance(given, tuple | list)
    ends = []
    for spec, node in zip(specs, given, strict=True):
        if spec.kind is not OutputKind.USER_OUTPUT:
            continue
        names: list[str] = []
        while node is not None and (name := key(node)):
            names.append(name)
            calls = [n for n in node.all_input_nodes if key(n)]
            fused = name not in layers and node.target in BETWEEN | PRODUCTS
            node = calls[0] if fused and calls else None
        ends.append(tuple(names))
    return ends


def _neighbours(graph: Graph) -> dict[int, set[int]]:
    """Operator -> the operators it takes float tensors from or gives them to."""
    maker = {t: i for i, op in enumerate(graph.operators) for t in op.outputs}
    found: defaultdict[int, set[int]] = defaultdict(set)
    for i, op in enumerate(graph.operators):
        for tensor in op.inputs:
            if tensor in maker and graph.tensors[tensor].dtype == "float32":
                found[i].add(maker[tensor])
                found[maker[tensor]].add(i)
    return found
