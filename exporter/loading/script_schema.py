"""Reading a TorchScript module's signature and graph."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch


def forward_arguments(script: torch.jit.ScriptModule) -> list[Any]:
    """The schema's arguments of `forward`, without `self`; each has name, type and default."""
    forward: Any = script.forward
    return list(forward.schema.arguments[1:])


def all_nodes(block: Any) -> Iterator[Any]:
    """The nodes of a graph and of its nested blocks."""
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from all_nodes(inner)
