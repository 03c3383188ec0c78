"""Embedding tables in int8: the rows are looked up as int8 and only they become float."""

from __future__ import annotations

import torch
from torch.fx import GraphModule, Node

aten = torch.ops.aten

_TINY = 2.0**-24
"""Scale of a row of zeros; any would do but zero."""


def quantize_embeddings(model: GraphModule) -> int:
    """Replaces each float embedding lookup in place.

    Given:
        y = embedding(table[n, d] float32, indices)
    Result:
        y = embedding(rows[n, d] int8, indices) as float32 * embedding(scales[n, 1], indices)

    The result uses plain ATen operators, so that every runtime has them; for text encoders the
    table is most of the file.

    Args:
        model: a graph after `convert_pt2e`, so that the multiplication itself stays float.

    Returns:
        How many lookups were replaced.
    """
    tables: dict[str, tuple[str, str]] = {}
    lookups = [n for n in model.graph.nodes if n.target is aten.embedding.default]
    replaced = 0
    for node in lookups:
        table = node.args[0]
        if not isinstance(table, Node) or table.op != "get_attr":
            continue
        name = str(table.target)
        weight = _attribute(model, name)
        if weight.dtype != torch.float32:
            continue
        if name not in tables:
            tables[name] = _store(model, weight, len(tables))
        _replace(model, node, *tables[name])
        replaced += 1
    model.graph.eliminate_dead_code()
    model.recompile()
    return replaced


def rows_to_int8(table: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Symmetric int8 rows (-127..127) and their scales.

    Args:
        table: float32, shape (rows, width).

    Returns:
        int8 of the same shape, and float32 scales of shape (rows, 1).
    """
    scales = (table.abs().amax(dim=1, keepdim=True) / 127).clamp(min=_TINY)
    return (table / scales).round().clamp(-127, 127).to(torch.int8), scales


def _store(model: GraphModule, weight: torch.Tensor, index: int) -> tuple[str, str]:
    rows, scales = rows_to_int8(weight.detach())
    names = (f"_embedding_rows_{index}", f"_embedding_scales_{index}")
    model.register_buffer(names[0], rows)
    model.register_buffer(names[1], scales)
    return names


def _replace(model: GraphModule, node: Node, rows_name: str, scales_name: str) -> None:
    indices = node.args[1]
    graph = model.graph
    with graph.inserting_before(node):
        rows = graph.call_function(aten.embedding.default, (graph.get_attr(rows_name), indices))
        scales = graph.call_function(aten.embedding.default, (graph.get_attr(scales_name), indices))
        as_float = graph.call_function(aten.to.dtype, (rows, torch.float32))
        result = graph.call_function(aten.mul.Tensor, (as_float, scales))
    for new in (rows, scales, as_float, result):
        new.meta["stack_trace"] = node.meta.get("stack_trace")
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _attribute(model: GraphModule, name: str) -> torch.Tensor:
    path, _, leaf = name.rpartition(".")
    value = getattr(model.get_submodule(path), leaf)
    assert isinstance(value, torch.Tensor)
    return value
