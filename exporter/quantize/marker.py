"""The name of each captured operator, carried through passes and toolchains in the node's meta.

Every toolchain keeps the module a node came from: torch.export through saving, rewriting and
decomposing, PT2E through converting, litert-torch in tensor names (`m/fx_conv2d_3;`), torch.onnx in
the scopes of a node. So the captured node's own name is written there, in the place of the user's
module path, which the recipe remembers.
"""

from __future__ import annotations

from torch.export import ExportedProgram
from torch.fx import Node

_MODULES = "nn_module_stack"
_KEY = "k"
_SCOPE = "s."
KIND = "fx"
"""Stands for the class of the module; litert-torch puts it before the name in the last scope."""


def mark(program: ExportedProgram) -> None:
    """Writes its own name into the meta of every call; nodes that passes make of it inherit it.

    Args:
        program: captured, after the shared passes; only its nodes' meta is changed.
    """
    for node in program.graph.nodes:
        if node.op == "call_function":
            # Two entries: of a path in one entry, toolchains cut off the last part.
            node.meta[_MODULES] = {"r": ("", "m"), _KEY: (f"{_SCOPE}{node.name}", KIND)}


def key(node: Node) -> str | None:
    """Name of the captured node that this one was made of; None where it bears no mark."""
    # The entry's own name gets a prefix where a program is captured again.
    stack = node.meta.get(_MODULES) or {}
    path, kind = next(reversed(stack.values()), ("", ""))
    return name_in(path) if kind == KIND else None


def name_in(path: str) -> str | None:
    """Name of the captured node whose mark a module's path is; None where it is none."""
    return path.removeprefix(_SCOPE) if path.startswith(_SCOPE) else None


def carry(old: Node, new: Node) -> None:
    """Gives a node that takes the place of a marked one its mark."""
    if _MODULES in old.meta:
        new.meta[_MODULES] = old.meta[_MODULES]
