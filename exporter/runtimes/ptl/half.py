"""Keeps float16 weights, and computes with them in float32."""

from __future__ import annotations

import torch
from torch.fx import GraphModule
from torch.fx.node import Argument, map_aggregate

from exporter.runtimes.ptl.graph import constant


def compute_in_float(module: GraphModule) -> tuple[str, ...]:
    """Turns a float16 graph into one that reads float16 constants and computes in float32.

    The interpreter on phones (2.1 is the last release for Android) has no float16 convolution or
    matrix product on the CPU, and the newest one lacks some, such as add and ReLU in one.

    Args:
        module: a graph from `plain_module` whose float dtypes are all float16; edited in place.

    Returns:
        Names of the float16 constants; a compiler must not fold their conversion.
    """
    names: dict[str, str] = {}
    for node in list(module.graph.nodes):
        if node.op == "call_function":
            node.args = tuple(map_aggregate(arg, _widened) for arg in node.args)
            node.kwargs = {k: map_aggregate(arg, _widened) for k, arg in node.kwargs.items()}
        value = constant(module, node)
        if value is None or value.dtype != torch.float16:
            continue
        name = names.setdefault(str(node.target), f"_half_{len(names)}")
        module.register_buffer(name, value)
        node.target = name
        with module.graph.inserting_after(node):
            wide = module.graph.call_function(torch.ops.aten.to.dtype, (node, torch.float32))
        node.replace_all_uses_with(wide, delete_user_cb=lambda user, wide=wide: user is not wide)
    module.recompile()
    return tuple(names.values())


def _widened(value: Argument) -> Argument:
    return torch.float32 if value is torch.float16 else value
