"""ExecuTorch's XNNPACK quantizer, with what it leaves out or takes too far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import ClassVar

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from torch.fx import GraphModule, Interpreter, Node
from torchao.quantization.pt2e.quantizer import QuantizationAnnotation
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from exporter.types import Scheme

aten = torch.ops.aten

RANGE_LIMIT = 1e6
"""Magnitude beyond which a tensor is a mask or a sentinel, which no int8 scale can hold."""

_CONVS = {aten.conv1d.default, aten.conv2d.default}
_GEMMS = {*_CONVS, aten.linear.default}
_CLAMPS = {aten.hardtanh.default, aten.hardtanh_.default}
_PRODUCTS = {aten.mul.Tensor, aten.mul_.Tensor, aten.mul.Scalar, aten.div.Tensor}
_RELU6 = {aten.relu6.default, aten.relu6_.default}


class MobileQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """Per-channel symmetric int8 weights, per-tensor activations, static or dynamic.

    Differs from its base in four points, each for both runtimes that lower the result:
    - ReLU6 is a clamp, and a clamp after a convolution or linear layer belongs to it, so that its
      input is never quantized over a range that is thrown away;
    - a convolution before ReLU is quantized with dynamic activations too (the base skips it);
    - operators that touch integers are left alone (the base quantizes any `cat`);
    - operators that touch values no int8 scale can hold, such as attention masks, stay float.

    Args:
        scheme: static or dynamic activations.
        sample: one calibration sample (static only), to see which values are beyond int8.
    """

    # Patterns of training-time quantization are in vain here, and building them takes seconds.
    SUPPORTED_PATTERNS: ClassVar = [p for p in XNNPACKQuantizer.SUPPORTED_PATTERNS if not p.is_qat]

    def __init__(self, scheme: Scheme, sample: tuple[torch.Tensor, ...] = ()) -> None:
        super().__init__()
        self._config = get_symmetric_quantization_config(
            is_per_channel=True, is_dynamic=scheme is Scheme.DYNAMIC
        )
        self._sample = sample
        self.set_global(self._config)

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """Writes ReLU6 as the clamp that it is, then what the base does."""
        for node in model.graph.nodes:
            if node.op == "call_function" and node.target in _RELU6:
                node.target = aten.hardtanh.default
                node.args = (node.args[0], 0.0, 6.0)
        return super().transform_for_annotation(model)

    def annotate(self, model: GraphModule) -> GraphModule:
        """Marks what to quantize; what is marked first, the base leaves as it is."""
        for node in _beyond_int8(model, self._sample):
            node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
        if self._config.input_activation.is_dynamic:
            self._annotate_dynamic_convs(model)
        else:
            self._annotate_clamped(model)
        return super().annotate(model)

    def _annotate_clamped(self, model: GraphModule) -> None:
        for clamp in _free(model, _CLAMPS):
            gemm = clamp.args[0]
            if not isinstance(gemm, Node) or gemm.target not in _GEMMS:
                continue
            if len(gemm.users) > 1 or Q_ANNOTATION_KEY in gemm.meta:
                continue
            gemm.meta[Q_ANNOTATION_KEY] = self._inputs_of(gemm)
            clamp.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                output_qspec=self._config.output_activation, _annotated=True
            )

    def _annotate_dynamic_convs(self, model: GraphModule) -> None:
        for conv in _free(model, {aten.conv2d.default}):
            if not _is_depthwise(conv):
                conv.meta[Q_ANNOTATION_KEY] = self._inputs_of(conv)

    def _inputs_of(self, gemm: Node) -> QuantizationAnnotation:
        activation, weight = gemm.args[:2]
        return QuantizationAnnotation(
            input_qspec_map={
                activation: self._config.input_activation,
                weight: self._config.weight,
            },
            _annotated=True,
        )


def _free(model: GraphModule, targets: set[torch._ops.OpOverload]) -> Iterator[Node]:
    """The calls of `targets` that nothing has marked yet."""
    for node in model.graph.nodes:
        called = node.op == "call_function" and node.target in targets
        if called and Q_ANNOTATION_KEY not in node.meta:
            yield node


def _is_depthwise(conv: Node) -> bool:
    """One input channel per group; no runtime has a dynamic int8 kernel for it."""
    weight = conv.args[1]
    assert isinstance(weight, Node)
    groups = conv.args[6] if len(conv.args) > 6 else conv.kwargs.get("groups", 1)
    return bool(groups != 1 and weight.meta["val"].shape[1] == 1)


def _beyond_int8(model: GraphModule, sample: tuple[torch.Tensor, ...]) -> list[Node]:
    """Operators that touch what is not float32 or, run on `sample`, is not tame.

    Also all that leads to a factor of something huge: transformers make a mask as
    `(1 - keep) * -3.4e38`, where the smallest rounding of `keep` would hide every token.
    """
    wild = _WildValues(model)
    if sample:
        with torch.no_grad():
            wild.run(*sample)
    exact = _ancestors(n for n in wild.found if n.target in _PRODUCTS)
    calls = (n for n in model.graph.nodes if n.op == "call_function")
    unfit = {n for n in model.graph.nodes if n in wild.found or not _is_float(n)}
    return [n for n in calls if n in exact or not unfit.isdisjoint((n, *n.all_input_nodes))]


def _ancestors(nodes: Iterable[Node]) -> set[Node]:
    found: set[Node] = set()
    waiting = [source for node in nodes for source in node.all_input_nodes]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(node.all_input_nodes)
    return found


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return not isinstance(value, torch.Tensor) or value.dtype == torch.float32


class _WildValues(Interpreter):
    """Runs a graph and keeps the nodes whose values exceed `RANGE_LIMIT` or are not finite."""

    def __init__(self, model: GraphModule) -> None:
        super().__init__(model)
        self.found: set[Node] = set()

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not _tame(value):
            self.found.add(n)
        return value


def _tame(value: torch.Tensor) -> bool:
    return bool((value.abs() <= RANGE_LIMIT).all())  # False for NaN too
