"""Counts what runs inside delegates and what stays outside."""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch.export import ExportedProgram
from torch.fx import GraphModule, Node

from exporter.types import Delegation

_QUANTIZED = "quantized_decomposed."
_NOT_OPERATORS = ("aten.sym_size", "aten._assert")
"""Sizes and checks: no kernel runs for them."""


def count(program: ExportedProgram) -> Delegation:
    """Counts the operators of a lowered edge program.

    Quantize and dequantize operators inside a delegate say how its operators compute, and are
    not counted; outside they are work of their own, and are.
    """
    outside = Counter(operators(program.graph_module))
    delegates = sum(_is_delegate(n) for n in program.graph.nodes)
    inside = [
        name
        for lowered in program.graph_module.children()
        if isinstance(original := getattr(lowered, "original_module", None), ExportedProgram)
        for name in operators(original.graph_module)
        if not name.startswith(_QUANTIZED)
    ]
    ranked = dict(outside.most_common())
    return Delegation(delegates, len(inside), len(inside) + outside.total(), ranked)


def operators(module: GraphModule) -> list[str]:
    """Names such as `aten.mean.dim` of the operators that a graph calls."""
    names = [operator_name(n.target) for n in module.graph.nodes if n.op == "call_function"]
    return [n for n in names if n and not n.startswith(_NOT_OPERATORS)]


def operator_name(target: Any) -> str:
    """`aten.mean.dim` for an operator of either dialect, "" for what is none (`getitem`)."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return ""
    namespace, _, name = schema.name.partition("::")
    return f"{namespace}.{name}.{schema.overload_name or 'default'}"


def _is_delegate(node: Node) -> bool:
    return getattr(node.target, "__name__", "") == "executorch_call_delegate"
