"""ExecuTorch's XNNPACK quantizer, with what it leaves out or takes too far."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import ClassVar

import torch
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
    XNNPACKQuantizer,
    get_symmetric_quantization_config,
)
from executorch.backends.xnnpack.quantizer.xnnpack_quantizer_utils import QuantizationConfig
from torch.fx import GraphModule, Interpreter, Node
from torchao.quantization.pt2e import HistogramObserver, ObserverBase, PerChannelMinMaxObserver
from torchao.quantization.pt2e.quantizer import (
    QuantizationAnnotation,
    QuantizationSpec,
    SharedQuantizationSpec,
)
from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY

from exporter.quantize.prepared import own_constants, pieces_as_slices
from exporter.types import Scheme

aten = torch.ops.aten

RANGE_LIMIT = 1e4
"""Magnitude from which a tensor is a mask or a sentinel, which no int8 scale can hold: -10000 is
the smallest that attention masks are made of."""

SMALLEST_SCALE = 2.0**-20
"""The base's 2^-12 takes the bits from any tensor, or channel of a weight, whose values stay below
0.03, such as probabilities of many classes. Much smaller, and XNNPACK refuses a layer whose output
is all zeros: it takes input scale x weight scale / output scale below 256 only."""

_CONVS = {aten.conv1d.default, aten.conv2d.default}
_GEMMS = {*_CONVS, aten.linear.default}
_CLAMPS = {aten.hardtanh.default, aten.hardtanh_.default}
_PRODUCTS = {aten.mul.Tensor, aten.mul_.Tensor, aten.mul.Scalar, aten.div.Tensor}
_RELU6 = {aten.relu6.default, aten.relu6_.default}
_MOVES = {
    aten.slice.Tensor,
    aten.select.int,
    aten.unsqueeze.default,
    aten.squeeze.default,
    aten.squeeze.dim,
    aten.permute.default,
    aten.transpose.int,
    aten.reshape.default,
    aten.view.default,
    aten.flatten.using_ints,
}
"""The base knows some of them, but not after one that it does not know."""

_WITH_NUMBER = {aten.add.Tensor: aten.add.Scalar, aten.mul.Tensor: aten.mul.Scalar}


class MobileQuantizer(XNNPACKQuantizer):  # type: ignore[misc]
    """Per-channel symmetric int8 weights, per-tensor activations, static or dynamic.

    Differs from its base in several points, each for both runtimes that lower the result:
    - ReLU6 is a clamp, and a clamp after a convolution or linear layer belongs to it, so that its
      input is never quantized over a range that is thrown away;
    - a convolution before ReLU is quantized with dynamic activations too (the base skips it);
    - operators that touch integers are left alone (the base quantizes any `cat`);
    - an integer plus or times a number stays one (the base makes the number a float tensor);
    - layers of a constant stay float: its int8 form would be kept without its run-time scale;
    - operators that touch values no int8 scale can hold, such as attention masks, stay float;
    - a sum that is normalized by layer stays float: the stream of a transformer has a few values
      so large that int8 leaves little of the others (a trained MiniLM has an SQNR of 6 dB with it
      in int8, 11 dB without);
    - layers that share a bias or a weight are all quantized (the base takes the first);
    - tensors of small values keep them, see `SMALLEST_SCALE`;
    - a slice has the range of what it is cut from (with its own, a `.pte` does not load).

    Args:
        scheme: static or dynamic activations.
        sample: one calibration sample (static only), to see which values are beyond int8.
    """

    # Patterns of training-time quantization are in vain here, and building them takes seconds.
    SUPPORTED_PATTERNS: ClassVar = [p for p in XNNPACKQuantizer.SUPPORTED_PATTERNS if not p.is_qat]

    def __init__(self, scheme: Scheme, sample: tuple[torch.Tensor, ...] = ()) -> None:
        super().__init__()
        self._config = _config(scheme)
        self._sample = sample
        self.set_global(self._config)

    def transform_for_annotation(self, model: GraphModule) -> GraphModule:
        """Writes ReLU6 as the clamp that it is, then what the base does to float operators."""
        for node in model.graph.nodes:
            if node.target in _WITH_NUMBER and not (_is_float(node) or _all_nodes(node)):
                node.target = _WITH_NUMBER[node.target]
            if node.op == "call_function" and node.target in _RELU6:
                node.target = aten.hardtanh.default
                node.args = (node.args[0], 0.0, 6.0)
        own_constants(model)
        pieces_as_slices(model)
        return super().transform_for_annotation(model)

    def annotate(self, model: GraphModule) -> GraphModule:
        """Marks what to quantize; what is marked first, the base leaves as it is."""
        exact = _beyond_int8(model, self._sample)
        for node in (*exact, *_constant_products(model), *_residual_streams(model)):
            node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(_annotated=True)
        if self._config.input_activation.is_dynamic:
            self._annotate_dynamic_convs(model)
        else:
            self._annotate_clamped(model)
        super().annotate(model)
        _annotate_moves(model)
        return model

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


def _config(scheme: Scheme) -> QuantizationConfig:
    base = get_symmetric_quantization_config(
        is_per_channel=True, is_dynamic=scheme is Scheme.DYNAMIC
    )
    weight = _observed(base.weight, PerChannelMinMaxObserver)
    if scheme is Scheme.DYNAMIC:
        return replace(base, weight=weight)
    activation = _observed(base.input_activation, HistogramObserver)
    return replace(base, weight=weight, input_activation=activation, output_activation=activation)


def _observed(spec: QuantizationSpec, observer: type[ObserverBase]) -> QuantizationSpec:
    return replace(spec, observer_or_fake_quant_ctr=observer.with_args(eps=SMALLEST_SCALE))


def _annotate_moves(model: GraphModule) -> None:
    """What only picks or reorders elements of a quantized tensor shares its range."""
    for move in _free(model, _MOVES):
        source = move.args[0]
        annotation = source.meta.get(Q_ANNOTATION_KEY) if isinstance(source, Node) else None
        if annotation and annotation.output_qspec:
            shared = SharedQuantizationSpec(source)
            move.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(
                input_qspec_map={source: shared}, output_qspec=shared, _annotated=True
            )


def _free(model: GraphModule, targets: set[torch._ops.OpOverload]) -> Iterator[Node]:
    """The calls of `targets` that nothing has marked yet."""
    for node in model.graph.nodes:
        called = node.op == "call_function" and node.target in targets
        if called and Q_ANNOTATION_KEY not in node.meta:
            yield node


def _is_depthwise(conv: Node) -> bool:
    """One input channel per group; no runtime has a dynamic int8 kernel for it.

    XNNPACK takes the first layer over a grayscale image, one group of one channel, for the same.
    """
    weight = conv.args[1]
    assert isinstance(weight, Node)
    return bool(weight.meta["val"].shape[1] == 1)


def _constant_products(model: GraphModule) -> list[Node]:
    """Linear layers and convolutions of what no input has a part in, such as first states."""
    constants: set[Node] = set()
    for node in model.graph.nodes:
        inner = node.op in ("get_attr", "call_function")
        if inner and constants.issuperset(node.all_input_nodes):
            constants.add(node)
    return [node for node in model.graph.nodes if node in constants and node.target in _GEMMS]


def _residual_streams(model: GraphModule) -> list[Node]:
    """Sums that go into a layer norm, whatever else reads them."""
    sums = {aten.add.Tensor, aten.add_.Tensor}
    return [
        node
        for node in model.graph.nodes
        if node.target in sums and any(u.target is aten.layer_norm.default for u in node.users)
    ]


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


def _all_nodes(node: Node) -> bool:
    return all(isinstance(argument, Node) for argument in node.args)


def _is_float(node: Node) -> bool:
    value = node.meta.get("val")
    return not isinstance(value, torch.Tensor) or value.dtype == torch.float32


class _WildValues(Interpreter):
    """Runs a graph and keeps the nodes whose values reach `RANGE_LIMIT` or are not finite."""

    def __init__(self, model: GraphModule) -> None:
        super().__init__(model)
        self.found: set[Node] = set()

    def run_node(self, n: Node) -> object:
        value = super().run_node(n)
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not _tame(value):
            self.found.add(n)
        return value


def _tame(value: torch.Tensor) -> bool:
    return bool((value.abs() < RANGE_LIMIT).all())  # False for NaN too
