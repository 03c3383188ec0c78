"""Rewrites a float graph, with the same numbers, so that the quantizer sees each layer for itself
and each piece of a tensor as what it is."""

from __future__ import annotations

import operator

import torch
from torch.fx import GraphModule, Node

from exporter.base.graphs import copy_for_each_reader

aten = torch.ops.aten

_SPLITS = {aten.chunk.default, aten.split.Tensor, aten.split_with_sizes.default}


def own_constants(model: GraphModule) -> None:
    """Given a bias or weight that several operators read. Result: each has a node of its own.

    The quantizer marks a layer's constants as done, and would leave the next layer that reads one
    of them in float: tied weights, or folded batch norms with equal biases.
    """
    for node in [n for n in model.graph.nodes if n.op == "get_attr"]:
        copy_for_each_reader(node)


def pieces_as_slices(model: GraphModule) -> None:
    """Given `chunk(x)[i]` or `split(x)[i]`. Result: a slice of `x`, which can share its range."""
    for piece in [n for n in model.graph.nodes if n.target is operator.getitem]:
        split, index = piece.args
        if not isinstance(split, Node) or split.target not in _SPLITS:
            continue
        dim = split.args[2] if len(split.args) > 2 else split.kwargs.get("dim", 0)
        sizes = [part.shape[dim] for part in split.meta["val"]]
        if all(isinstance(size, int) for size in sizes):
            start = sum(sizes[:index])
            piece.target = aten.slice.Tensor
            piece.args = (split.args[0], dim, start, start + sizes[index])
    model.graph.eliminate_dead_code()
    model.recompile()
