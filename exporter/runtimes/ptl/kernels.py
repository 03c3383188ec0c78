"""Which patterns around float operators are one QNNPACK kernel, and how each is called."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch.fx import GraphModule, Node

from exporter.runtimes.ptl.graph import constant
from exporter.types import Compute

aten = torch.ops.aten
quantized = torch.ops.quantized
pt2e = torch.ops.quantized_decomposed

QUANTIZE = aten.quantize_per_tensor.default
DEQUANTIZE = aten.dequantize.self

_SAME_SCALE = {
    aten.relu.default,
    aten.hardtanh.default,
    aten.max_pool2d.default,
    aten.adaptive_avg_pool2d.default,
    aten.mean.dim,
    aten.reshape.default,
    aten.flatten.using_ints,
    aten.permute.default,
    aten.transpose.int,
    aten.squeeze.dim,
}
"""Operators that run on int8 tensors directly, with the scale of their input."""

_GEMMS: dict[Any, tuple[Any, Any, Any]] = {
    aten.linear.default: (quantized.linear_prepack, quantized.linear, quantized.linear_relu),
    aten.conv1d.default: (quantized.conv1d_prepack, quantized.conv1d, quantized.conv1d_relu),
    aten.conv2d.default: (
        quantized.conv2d_prepack,
        quantized.conv2d.new,
        quantized.conv2d_relu.new,
    ),
    aten.conv_transpose1d.default: (
        quantized.conv_transpose1d_prepack,
        quantized.conv_transpose1d,
        None,
    ),
    aten.conv_transpose2d.input: (
        quantized.conv_transpose2d_prepack,
        quantized.conv_transpose2d,
        None,
    ),
}
"""Float operator -> how its weights are packed, its int8 kernel, and the one with ReLU fused."""

_BINARY: dict[Any, tuple[Any, Any]] = {
    aten.add.Tensor: (quantized.add, quantized.add_relu),
    aten.mul.Tensor: (quantized.mul, quantized.mul_relu),
}


class Quantum(NamedTuple):
    """Scale and zero point of a uint8 tensor."""

    scale: float
    zero_point: int


class _Call(NamedTuple):
    """An int8 kernel in place of a quantize node, and a clamp on its result if it needs one."""

    kernel: Callable[..., Any]
    args: tuple[Any, ...]
    clamp: tuple[float, float] | None = None


class Fused(NamedTuple):
    """One int8 kernel in the graph.

    Attributes:
        name: such as `quantized::conv2d`.
        compute: static or dynamic.
        operators: float ones whose place it takes.
    """

    name: str
    compute: Compute
    operators: tuple[Node, ...]


def fuse_static(module: GraphModule) -> list[Fused]:
    """Replaces each `dequantize -> operator -> quantize` that QNNPACK has a kernel for.

    Args:
        module: a graph whose quantized tensors are uint8 with `QUANTIZE` and `DEQUANTIZE`.
    """
    fused = []
    packer = _Packer(module)
    for node in [n for n in module.graph.nodes if n.target is QUANTIZE]:
        node.meta["quantum"] = Quantum(*node.args[1:3])
        with module.graph.inserting_before(node):
            call = _gemm(packer, node) or _binary(node) or _cat(node) or _same_scale(node)
            if call is None:
                continue
            replaced = tuple(n for n in _activated(node.args[0]) if n is not None)
            fused.append(Fused(kernel_name(call.kernel), Compute.STATIC, replaced))
            result = module.graph.call_function(call.kernel, call.args)
            if call.clamp:
                result = module.graph.call_function(aten.hardtanh.default, (result, *call.clamp))
        result.meta.update(node.meta)
        node.replace_all_uses_with(result)
        module.graph.erase_node(node)
    return fused


def fuse_dynamic(module: GraphModule) -> list[Fused]:
    """Linear layers with activations quantized at run time -> `quantized::linear_dynamic`.

    Convolutions are left out: `quantized::conv2d_dynamic` gives wrong results on QNNPACK (it
    saturates the output to the range of the input), and int8 weights with a float product are
    2 to 6 times as fast as im2col with `linear_dynamic` (measured on x86, 1x1 and 3x3 layers).
    """
    fused = []
    packer = _Packer(module)
    for node in [n for n in module.graph.nodes if n.target is aten.linear.default]:
        dequantized = node.args[0]
        if dequantized.target is not pt2e.dequantize_per_tensor.tensor or _rank(node) < 2:
            continue
        packed = packer.pack(node, None)
        if packed is None:
            continue
        fused.append(Fused(kernel_name(quantized.linear_dynamic), Compute.DYNAMIC, (node,)))
        with module.graph.inserting_before(node):
            args = (dequantized.args[0].args[0], module.graph.get_attr(packed))
            result = module.graph.call_function(quantized.linear_dynamic, args)
        result.meta.update(node.meta)
        node.replace_all_uses_with(result)
        module.graph.erase_node(node)
    return fused


def kernel_name(kernel: Any) -> str:
    """`quantized::conv2d` for an operator or one of its overloads."""
    packet = getattr(kernel, "overloadpacket", kernel)
    return str(packet._qualified_op_name)


def _gemm(packer: _Packer, node: Node) -> _Call | None:
    """dequantize -> convolution or linear [-> relu or clamp] -> quantize."""
    activation, gemm = _activated(node.args[0])
    kernels = _GEMMS.get(gemm.target)
    x = _source(gemm.args[0]) if kernels else None
    if kernels is None or x is None or _rank(gemm) < 2:
        return None
    packed = packer.pack(gemm, x.meta["quantum"])
    if packed is None:
        return None
    quantum = node.meta["quantum"]
    args = (x, packer.module.graph.get_attr(packed), *quantum)
    low, high = _bounds(activation)
    if low == 0 and high is None and kernels[2] is not None:
        return _Call(kernels[2], args)
    return _Call(kernels[1], args, _needed_clamp(quantum, low, high))


def _binary(node: Node) -> _Call | None:
    """dequantize, dequantize -> add or mul [-> relu] -> quantize."""
    activation, binary = _activated(node.args[0])
    kernels = _BINARY.get(binary.target)
    if kernels is None or binary.kwargs.get("alpha", 1) != 1:
        return None
    a, b = (_source(arg) for arg in binary.args)
    if a is None or b is None:
        return None
    if _shape(binary.args[0]) != _shape(binary):
        a, b = b, a  # the kernel gives its result the shape of the first
        if _shape(binary.args[1]) != _shape(binary):
            return None
    quantum = node.meta["quantum"]
    low, high = _bounds(activation)
    if low == 0 and high is None:
        return _Call(kernels[1], (a, b, *quantum))
    return _Call(kernels[0], (a, b, *quantum), _needed_clamp(quantum, low, high))


def _cat(node: Node) -> _Call | None:
    """dequantize each -> cat -> quantize."""
    cat = node.args[0]
    assert isinstance(cat, Node)
    if cat.target is not aten.cat.default:
        return None
    parts = cat.args[0]
    assert isinstance(parts, list | tuple)
    sources = [_source(part) for part in parts]
    if None in sources:
        return None
    axis = cat.args[1] if len(cat.args) > 1 else 0
    return _Call(quantized.cat, (sources, axis, *node.meta["quantum"]))


def _same_scale(node: Node) -> _Call | None:
    """dequantize -> operator that keeps the scale -> quantize with that scale."""
    op = node.args[0]
    assert isinstance(op, Node)
    if op.target not in _SAME_SCALE or op.kwargs:
        return None
    x = _source(op.args[0])
    if x is None or x.meta["quantum"] != node.meta["quantum"]:
        return None
    assert callable(op.target)
    return _Call(op.target, (x, *op.args[1:]))


class _Packer:
    """Packs weights for QNNPACK, once for each use that can share them."""

    def __init__(self, module: GraphModule) -> None:
        self.module = module
        self._known: dict[object, str] = {}

    def pack(self, gemm: Node, x: Quantum | None) -> str | None:
        """Name of the packed weights of a convolution or linear layer, None if they are float.

        Args:
            gemm: with an int8 weight, dequantized.
            x: of the input; None for run-time ranges. QNNPACK stores it with the weights and may
                drop what it would need to repack them, so other inputs get their own.
        """
        stored = _stored(gemm.args[1])
        weight = constant(self.module, stored)
        bias_node = gemm.args[2] if len(gemm.args) > 2 else None
        bias = constant(self.module, bias_node)
        if weight is None or (bias_node is not None and bias is None):
            return None
        sizes = _conv_sizes(gemm, weight.dim() - 2)
        key = (gemm.target, stored.target, str(bias_node), str(sizes), x)  # type: ignore[union-attr]
        if key not in self._known:
            name = f"_packed_{'dynamic' if x is None else 'static'}_{len(self._known)}"
            setattr(self.module, name, _GEMMS[gemm.target][0](weight, bias, *sizes))
            self._known[key] = name
        return self._known[key]


def _conv_sizes(gemm: Node, rank: int) -> tuple[Any, ...]:
    """Stride, padding, (output padding,) dilation, groups: what the prepack operator takes."""
    if gemm.target is aten.linear.default:
        return ()
    transposed = gemm.target in (aten.conv_transpose1d.default, aten.conv_transpose2d.input)
    defaults = (1, 0, 0, 1, 1) if transposed else (1, 0, 1, 1)
    given = gemm.args[3:]
    values = [*given, *defaults[len(given) :]]
    if transposed:  # ATen has groups before dilation
        values[3], values[4] = values[4], values[3]
    groups = values.pop()
    return (*(_per_axis(v, rank) for v in values), groups)


def _per_axis(value: Any, rank: int) -> list[int]:
    sizes = list(value) if isinstance(value, list | tuple) else [value]
    return sizes * rank if len(sizes) == 1 else sizes


def _activated(node: Any) -> tuple[Node | None, Node]:
    """(relu or clamp, what it is applied to), or (None, node) if there is none of its own."""
    if node.target in (aten.relu.default, aten.hardtanh.default) and len(node.args[0].users) == 1:
        return node, node.args[0]
    return None, node


def _bounds(activation: Node | None) -> tuple[float | None, float | None]:
    if activation is None:
        return None, None
    if activation.target is aten.relu.default:
        return 0.0, None
    bounds = (*activation.args[1:], *(-1.0, 1.0)[len(activation.args) - 1 :])
    return float(bounds[0]), float(bounds[1])  # type: ignore[arg-type]


def _needed_clamp(
    quantum: Quantum, low: float | None, high: float | None
) -> tuple[float, float] | None:
    """The clamp, unless uint8 saturates where it would: then the kernel does it for free."""
    bottom = -quantum.zero_point * quantum.scale
    top = (255 - quantum.zero_point) * quantum.scale
    slack = quantum.scale / 2
    low = bottom if low is None else low
    high = top if high is None else high
    return None if bottom >= low - slack and top <= high + slack else (low, high)


def _source(node: Any) -> Node | None:
    """The quantized activation or constant behind a dequantize, with its quantum noted."""
    if not isinstance(node, Node) or node.target is not DEQUANTIZE:
        return None
    source = node.args[0]
    assert isinstance(source, Node)
    if source.op == "get_attr" and "quantum" not in source.meta:
        tensor = constant(source.graph.owning_module, source)  # type: ignore[arg-type]
        if tensor is None or tensor.qscheme() != torch.per_tensor_affine:
            return None
        source.meta["quantum"] = Quantum(tensor.q_scale(), tensor.q_zero_point())
    return source if "quantum" in source.meta else None


def _stored(node: Any) -> Node | None:
    """The stored int8 weight behind a dequantize."""
    if not isinstance(node, Node) or node.target is not DEQUANTIZE:
        return None
    stored = node.args[0]
    return stored if isinstance(stored, Node) and stored.op == "get_attr" else None


def _shape(node: Any) -> tuple[Any, ...]:
    return tuple(node.meta["val"].shape)


def _rank(gemm: Node) -> int:
    return len(_shape(gemm))
