"""Lowers a PT2E graph (quantize and dequantize around float operators) to QNNPACK's int8.

PT2E describes activations as int8 with a zero point; QNNPACK computes in uint8. Adding 128 to
stored values and zero points alike maps one to the other exactly.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import torch
from torch.fx import GraphModule, Node

from exporter.quantize.recipe import Recipe
from exporter.quantize.weights import to_int8
from exporter.runtimes.ptl.graph import constant
from exporter.runtimes.ptl.kernels import DEQUANTIZE, QUANTIZE, fuse_dynamic, fuse_static
from exporter.runtimes.ptl.recipe import channels_of, computes
from exporter.types import Compute

aten = torch.ops.aten
pt2e = torch.ops.quantized_decomposed

_OFFSET = 128
"""uint8 value of int8 zero."""


@dataclass
class Lowering:
    """What became of the quantized graph.

    Attributes:
        kernels: int8 kernel -> how often it is called.
        int8_weights: names of stored int8 tensors that the graph reads; a compiler must not fold
            their dequantization into float constants.
        weight_only: operator -> how often it computes in float with such weights.
        computes: captured operator -> how it computes.
    """

    kernels: dict[str, int] = field(default_factory=dict)
    int8_weights: list[str] = field(default_factory=list)
    weight_only: dict[str, int] = field(default_factory=dict)
    computes: dict[str, Compute] = field(default_factory=dict)


def lower_int8(module: GraphModule, recipe: Recipe) -> Lowering:
    """Replaces all `quantized_decomposed` operators of a graph in place.

    Given:
        dequantize -> conv, linear, add, mul, cat, pooling, reshape [-> clamp] -> quantize
    Result:
        one int8 kernel each; whatever has no kernel stays a float operator between a real
        quantize and a real dequantize, so that the result is the same.

    Args:
        module: a graph from `plain_module`; the quantized engine must be `qnnpack`.
        recipe: says which layers that are float in the graph get int8 weights all the same.
    """
    lowering = Lowering()
    _store_weights(module, lowering)
    _retype_activations(module, lowering)
    _store_float_weights(module, lowering, recipe)
    fused = (*fuse_static(module), *fuse_dynamic(module))
    lowering.kernels = Counter(kernel.name for kernel in fused)
    _drop_run_time_ranges(module)
    module.graph.eliminate_dead_code()
    module.recompile()
    read = {n.target for n in module.graph.nodes if n.op == "get_attr"}
    lowering.int8_weights = [name for name in lowering.int8_weights if name in read]
    _count_weight_only(module, lowering)
    lowering.computes = computes(module, recipe, fused)
    return lowering


def _store_weights(module: GraphModule, lowering: Lowering) -> None:
    """`dequantize_per_channel(int8, scales, ...)` -> `dequantize(per-channel qint8)`."""
    known: dict[str, str] = {}
    for node in _calls(module, pt2e.dequantize_per_channel.default):
        values, scales, zeros = (constant(module, arg) for arg in node.args[:3])
        axis = node.args[3]
        assert values is not None
        assert scales is not None
        assert zeros is not None
        assert isinstance(axis, int)
        key = str(node.args[0])
        if key not in known:
            weight = torch._make_per_channel_quantized_tensor(
                values.contiguous(), scales.double(), zeros.long(), axis
            )
            known[key] = _add(module, weight, lowering)
        _replace_by_stored(module, node, known[key])


def _retype_activations(module: GraphModule, lowering: Lowering) -> None:
    """PT2E's int8 activations and constants -> uint8 quantized tensors."""
    for node in _calls(module, pt2e.quantize_per_tensor.default):
        x, scale, zero = node.args[:3]
        assert isinstance(zero, int)
        node.target = QUANTIZE
        node.args = (x, scale, zero + _OFFSET, torch.quint8)
    for node in _calls(module, pt2e.dequantize_per_tensor.default):
        values = constant(module, node.args[0])
        if values is None:
            node.target = DEQUANTIZE
            node.args = node.args[:1]
            continue
        shifted = (values.to(torch.int16) + _OFFSET).to(torch.uint8)
        scale, zero = node.args[1:3]
        assert isinstance(scale, float)
        assert isinstance(zero, int)
        stored = torch._make_per_tensor_quantized_tensor(shifted, scale, zero + _OFFSET)
        _replace_by_stored(module, node, _add(module, stored, lowering))


def _store_float_weights(module: GraphModule, lowering: Lowering, recipe: Recipe) -> None:
    """Float weights of layers that are to have int8 ones -> int8, dequantized when used."""
    known: dict[str, str] = {}
    for node in list(module.graph.nodes):
        axis = channels_of(node, recipe)
        if axis is None:
            continue
        for source in node.all_input_nodes:
            weight = constant(module, source)
            if weight is None or weight.dim() < 2 or weight.dtype != torch.float32:
                continue
            name = str(source.target)
            if name not in known:
                known[name] = _add(module, per_channel(weight, axis), lowering)
            with module.graph.inserting_before(node):
                stored = module.graph.get_attr(known[name])
                as_float = module.graph.call_function(DEQUANTIZE, (stored,))
            node.replace_input_with(source, as_float)


def per_channel(weight: torch.Tensor, axis: int) -> torch.Tensor:
    """Symmetric int8 (-127..127), one scale per index of `axis`.

    Args:
        weight: float32, two dimensions or more.
        axis: the output channels.

    Returns:
        A qint8 tensor of the same shape.
    """
    values, scales = (torch.from_numpy(x) for x in to_int8(weight.numpy(), (axis,)))
    zeros = torch.zeros(weight.shape[axis], dtype=torch.long)
    return torch._make_per_channel_quantized_tensor(values, scales.flatten().double(), zeros, axis)


def _drop_run_time_ranges(module: GraphModule) -> None:
    """Dynamic activations that no int8 kernel takes stay float: that is exact, and no slower."""
    for node in _calls(module, pt2e.dequantize_per_tensor.tensor):
        quantized = node.args[0]
        assert isinstance(quantized, Node)
        source = quantized.args[0]
        assert isinstance(source, Node)
        node.replace_all_uses_with(source)
        module.graph.erase_node(node)


def _count_weight_only(module: GraphModule, lowering: Lowering) -> None:
    stored = set(lowering.int8_weights)
    users: set[Node] = set()
    for node in _calls(module, DEQUANTIZE):
        weight = node.args[0]
        assert isinstance(weight, Node)
        if weight.op == "get_attr" and weight.target in stored:
            users.update(node.users)
    lowering.weight_only = Counter(str(user.target).removesuffix(".default") for user in users)


def _calls(module: GraphModule, target: object) -> list[Node]:
    return [n for n in module.graph.nodes if n.op == "call_function" and n.target is target]


def _add(module: GraphModule, tensor: torch.Tensor, lowering: Lowering) -> str:
    name = f"_int8_{len(lowering.int8_weights)}"
    module.register_buffer(name, tensor)
    lowering.int8_weights.append(name)
    return name


def _replace_by_stored(module: GraphModule, node: Node, name: str) -> None:
    with module.graph.inserting_before(node):
        stored = module.graph.get_attr(name)
    node.target = DEQUANTIZE
    node.args = (stored,)
