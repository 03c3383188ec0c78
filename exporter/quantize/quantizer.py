"""ExecuTorch's XNNPACK quantizer, told what to quantize by a recipe."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
from executorch.backends.xnnpack.utils.utils import get_groups_from_conv
from torch.fx import GraphModule, Node
from torchao.quantization.pt2e import MinMaxObserver, ObserverBase, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from exporter.quantize.marker import key
from exporter.quantize.operators import MOVES, REORDERS, is_depthwise, is_float
from exporter.quantize.prepared import own_constants, pieces_as_slices
from exporter.quantize.recipe import Range, Recipe
from exporter.quantize.weights import SMALLEST_SCALE
from exporter.types import Compute

aten = torch.ops.aten

_CONVS = {aten.conv1d.default, aten.conv2d.default}
_TRANSPOSED = {aten.conv_transpose1d.default, aten.conv_transpose2d.input}
_GEMMS = {*_CONVS, *_TRANSPOSED, aten.linear.default}
_BOUNDED = {aten.hardtanh.default, aten.hardtanh_.default}
_CLAMPS = {aten.relu.default, aten.relu_.default, *_BOUNDED}
_RELU6 = {aten.relu6.default, aten.relu6_.default}
_WITH_NUMBER = {aten.add.Tensor: aten.add.Scalar, aten.mul.Tensor: aten.mul.Scalar}


class MobileQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """Per-channel symmetric int8 weights, per-tensor activations, each layer as the recipe says.

    Differs from its base in several points, each for both runtimes that lower the result:
    - what the recipe leaves float is left alone, and so is what lies inside a captured operator
      that a pass has written out in several: no range of it is known;
    - one file can hold static and dynamic layers; a convolution before ReLU is quantized with
      dynamic activations too (the base skips it), a depthwise one never (no kernel);
    - ReLU6 is a clamp, and a clamp after a convolution or linear layer belongs to it, so that its
      input is never quantized over a range that is thrown away;
    - an integer plus or times a number stays one (the base makes the number a float tensor);
    - layers that share a bias or a weight are all quantized (the base takes the first);
    - tensors of small values keep them, see `SMALLEST_SCALE`;
    - what only picks or reorders elements of an int8 tensor stays int8, whatever the recipe says of
      it: the numbers are the same. It has the range of what it reads (with its own, a `.pte` does
      not load).

    Args:
        recipe: whose nodes the marks of the model name.

    Attributes:
        ranges: name of a node -> range of its output; filled when the model is annotated.
    """

    # Patterns of training-time quantization are in vain here, and building them takes seconds.
    SUPPORTED_PATTERNS: ClassVar = [p for p in XNNPACKQuantizer.SUPPORTED_PATTERNS if not p.is_qat]

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.ranges: Mapping[str, Range] = {}
        self._recipe = recipe
        self._static, self._dynamic = _config(is_dynamic=False), _config(is_dynamic=True)
        self.set_global(self._static)

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """Writes ReLU6 as the clamp that it is, then what the base does to float operators."""
        for node in model.graph.nodes:
            if node.target in _WITH_NUMBER and not (is_float(node) or _all_nodes(node)):
                node.target = _WITH_NUMBER[node.target]
            if node.op == "call_function" and node.target in _RELU6:
                node.target = aten.hardtanh.default
                node.args = (node.args[0], 0.0, 6.0)
        own_constants(model)
        pieces_as_slices(model)
        return super().transform_for_annotation(model)

    def annotate(self, model: GraphModule) -> GraphModule:
        """Marks what to quantize; what is marked first, the base leaves as it is."""
        self.ranges = ranges_of(model, self._recipe)
        for node in _free(model):
            if node.target in MOVES:
                continue
            match self._compute(node):
                case Compute.DYNAMIC if _has_dynamic_kernel(node):
                    node.meta[Q_ANNOTATION_KEY] = _inputs_of(node, self._dynamic)
                case Compute.STATIC if self._has_ranges(node):
                    pass
                case _:
                    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
        self._annotate_clamped(model)
        super().annotate(model)
        _annotate_moves(model)
        return model

    def _compute(self, node: Node) -> Compute:
        step = self._recipe.by_node.get(key(node) or "")
        return step.compute if step else Compute.FLOAT

    def _has_ranges(self, node: Node) -> bool:
        """Whether the ranges of what it reads and gives are known, constants aside.

        None is needed between a layer and the clamp that is one with it.
        """
        layer, clamp = node, _clamp_after(node)
        before = node.args[0] if node.target in _CLAMPS else None
        if isinstance(before, Node) and _clamp_after(before) is node:
            layer, clamp = before, node
        read = [n for n in layer.all_input_nodes if n.op != "get_attr"]
        return all(n.name in self.ranges for n in (*read, clamp or layer))

    def _annotate_clamped(self, model: GraphModule) -> None:
        for gemm in _free(model):
            clamp = _clamp_after(gemm)
            if clamp and clamp.target in _BOUNDED and Q_ANNOTATION_KEY not in clamp.meta:
                gemm.meta[Q_ANNOTATION_KEY] = _inputs_of(gemm, self._static)
                clamp.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                    output_qspec=self._static.output_activation, _annotated=True
                )


def ranges_of(model: GraphModule, recipe: Recipe) -> dict[str, Range]:
    """Ranges of a rewritten program's tensors, by the marks of its nodes.

    The range of a captured operator belongs to what others read of it. Of the tensors inside one
    that was written out in several, those have a range that it only moves.

    Args:
        model: the program as a module; its inputs are those of the recipe, in order.
        recipe: decisions and ranges of the captured program.

    Returns:
        Name of a node -> range of its output.
    """
    inputs = [n for n in model.graph.nodes if n.op == "placeholder"]
    found = {n: r for n, r in zip(inputs, recipe.inputs, strict=True) if r}
    parts: dict[str, list[Node]] = defaultdict(list)
    for node in model.graph.nodes:
        if node.op == "call_function" and (name := key(node)) in recipe.by_node:
            parts[str(name)].append(node)
    for name, nodes in parts.items():
        known, inside = recipe.by_node[name].range, set(nodes)
        ends = [n for n in nodes if not inside.issuperset(n.users)]
        if known and len(ends) == 1:
            found[ends[0]] = known
    for node in reversed(model.graph.nodes):
        if node.target in REORDERS and node in found and node.args[0].op == "call_function":
            found.setdefault(node.args[0], found[node])
    for node in model.graph.nodes:
        if node.target in MOVES and node.args[0] in found:
            found[node] = found[node.args[0]]
    return {node.name: known for node, known in found.items()}


def _config(*, is_dynamic: bool) -> QuantizationConfig:
    base = get_symmetric_quantization_config(is_per_channel=True, is_dynamic=is_dynamic)
    weight = _observed(base.weight, PerChannelMinMaxObserver)
    if is_dynamic:
        return replace(base, weight=weight)
    activation = _observed(base.input_activation, MinMaxObserver)
    return replace(base, weight=weight, input_activation=activation, output_activation=activation)


def _observed(spec: QuantizationSpec, observer: type[ObserverBase]) -> QuantizationSpec:
    return replace(spec, observer_or_fake_quant_ctr=observer.with_args(eps=SMALLEST_SCALE))


def _inputs_of(gemm: Node, config: QuantizationConfig) -> QuantizationAnnotation:
    activation, weight = gemm.args[:2]
    assert isinstance(activation, Node)
    assert isinstance(weight, Node)
    channels = int(gemm.target in _TRANSPOSED)
    return QuantizationAnnotation(
        input_qspec_map={
            activation: config.input_activation,
            weight: replace(config.weight, ch_axis=channels),
        },
        _annotated=True,
    )


def _annotate_moves(model: GraphModule) -> None:
    for move in _free(model):
        source = move.args[0] if move.target in MOVES else None
        annotation = source.meta.get(Q_ANNOTATION_KEY) if isinstance(source, Node) else None
        if annotation and annotation.output_qspec:
            shared = SharedQuantizationSpec(source)
            move.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                input_qspec_map={source: shared}, output_qspec=shared, _annotated=True
            )


def _free(model: GraphModule) -> Iterator[Node]:
    """The calls that nothing has marked yet."""
    for node in model.graph.nodes:
        if node.op == "call_function" and Q_ANNOTATION_KEY not in node.meta:
            yield node


def _clamp_after(gemm: Node) -> Node | None:
    """The clamp that is one with a convolution or linear layer, or None."""
    user = next(iter(gemm.users), None)
    alone = gemm.target in _GEMMS and len(gemm.users) == 1
    return user if alone and user is not None and user.target in _CLAMPS else None


def _has_dynamic_kernel(node: Node) -> bool:
    """Whether both runtimes' lowering takes a layer with activations quantized at run time."""
    activation, weight = node.args[:2] if node.target in _GEMMS else (None, None)
    if not isinstance(activation, Node) or not isinstance(weight, Node):
        return False
    if weight.op != "get_attr" or _is_constant(activation):
        return False
    if node.target is aten.conv_transpose2d.input:
        return bool(get_groups_from_conv(node) == 1)
    return node.target is aten.linear.default or (
        node.target is aten.conv2d.default and not is_depthwise(node)
    )


def _is_constant(node: Node) -> bool:
    """Whether no input has a part in it, such as in a first state: its int8 form would be folded,
    and its run-time scale would not."""
    waiting, seen = [node], set[Node]()
    while waiting:
        node = waiting.pop()
        if node.op == "placeholder":
            return False
        if node not in seen:
            seen.add(node)
            waiting += node.all_input_nodes
    return True


def _all_nodes(node: Node) -> bool:
    return all(isinstance(argument, Node) for argument in node.args)
