from __future__ import annotations

import operator

import torch
from torch import nn
from torch.fx import Graph, GraphModule, Node

from exporter.base.graphs import copy_for_each_reader


def of(graph: Graph, target: object) -> list[Node]:
    return [node for node in graph.nodes if node.target is target]


def shared(depth: int) -> tuple[GraphModule, list[Node]]:
    """`depth` operators in a row, whose last is read by two others and given out."""
    graph = Graph()
    node = graph.placeholder("x")
    chain = []
    for _ in range(depth):
        node = graph.call_function(torch.neg, (node,))
        chain.append(node)
    one = graph.call_function(torch.abs, (node,))
    both = graph.call_function(operator.add, (one, node))
    graph.output((both, node))
    return GraphModule(nn.Module(), graph), chain


def test_each_reader_has_a_node_of_its_own() -> None:
    module, chain = shared(depth=1)
    before = module(torch.arange(3.0))
    copy_for_each_reader(*chain)
    module.graph.lint()
    module.recompile()
    nodes = of(module.graph, torch.neg)
    assert [len(node.users) for node in nodes] == [1, 1, 1]
    (reader,) = chain[0].users
    assert reader.op == "output", "a program's output is known by its node's name"
    torch.testing.assert_close(module(torch.arange(3.0)), before, rtol=0, atol=0)


def test_what_leads_to_it_is_copied_along() -> None:
    module, chain = shared(depth=3)
    before = module(torch.arange(3.0))
    copy_for_each_reader(*chain[1:])
    module.graph.lint()
    module.recompile()
    assert [len(node.users) for node in of(module.graph, torch.neg)] == [3, *[1] * 6]
    torch.testing.assert_close(module(torch.arange(3.0)), before, rtol=0, atol=0)


def test_one_reader_reads_on() -> None:
    graph = Graph()
    graph.output(graph.call_function(torch.neg, (graph.placeholder("x"),)))
    copy_for_each_reader(*of(graph, torch.neg))
    assert len(of(graph, torch.neg)) == 1
