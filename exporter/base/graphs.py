"""Rewrites that graphs of any stage need; torch is not imported for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch.fx import Node


def copy_for_each_reader(*chain: Node) -> None:
    """Given a node that several others read. Result: one goes on reading it, and each of the others
    reads a copy of its own.

    The output, where it is among them, is the one: a program's output is known by the node's name.
    The caller recompiles the module.

    Args:
        chain: the node, after those that are to be copied with it, such as `quantize` before
            `dequantize`; each reads the one before it.
    """
    *_, node = chain
    for user in sorted(node.users, key=lambda user: user.op != "output")[1:]:
        user.replace_input_with(node, _copied(chain))


def _copied(chain: tuple[Node, ...]) -> Node:
    """The last of the copies, which stand after the chain and read each other."""
    *_, place = chain
    graph = place.graph
    copies: dict[Node, Node] = {}
    for node in chain:
        with graph.inserting_after(place):
            place = graph.node_copy(node, lambda read: copies.get(read, read))
        copies[node] = place
    return place
