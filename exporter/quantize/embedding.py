"""Embedding tables in int8: the rows are looked up as int8 and only they become float."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.fx import GraphModule, Node

from exporter.quantize.marker import carry
from exporter.quantize.weights import to_int8

aten = torch.ops.aten


def quantize_embeddings(model: GraphModule, wanted: Callable[[Node], bool]) -> int:
    """Replaces float embedding lookups in place.

    Given:
        y = embedding(table[n, d] float32, indices)
    Result:
        y = embedding(rows[n, d] int8, indices) as float32 * embedding(scales[n, 1], indices)

    The result uses plain ATen operators, so that every runtime has them; for text encoders the
    table is most of the file.

    Args:
        model: a graph after `convert_pt2e`, so that the multiplication itself stays float.
        wanted: says of a lookup whether it is to be replaced.

    Returns:
        How many lookups were replaced.
    """
    tables: dict[str, tuple[str, str]] = {}
    lookups = [n for n in model.graph.nodes if n.target is aten.embedding.default]
    replaced = 0
    for node in filter(wanted, lookups):
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


def _store(model: GraphModule, weight: torch.Tensor, index: int) -> tuple[str, str]:
    rows, scales = (torch.from_numpy(x) for x in to_int8(weight.detach().numpy(), (0,)))
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
        carry(node, new)
    node.replace_all_uses_with(result)
    graph.erase_node(node)


def _attribute(model: GraphModule, name: str) -> torch.Tensor:
    path, _, leaf = name.rpartition(".")
    value = getattr(model.get_submodule(path), leaf)
    assert isinstance(value, torch.Tensor)
    return value
