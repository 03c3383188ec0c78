"""Given operators that write into their input (`relu_`, `x[:, 0] = 0`).
Result: the same program in operators that only return."""

from __future__ import annotations

import torch
from torch.export import ExportedProgram
from torch.fx import Node

from exporter.types import PassOutcome


class Functionalize:
    """Lets later passes reason about one node at a time: no node changes behind their back."""

    name = "functionalize"

    def __call__(self, program: ExportedProgram) -> tuple[ExportedProgram, PassOutcome]:
        count = sum(_writes(node) for node in program.graph.nodes)
        if not count:
            return program, PassOutcome(self.name, 0)
        # An empty table decomposes nothing: what is left of it is the functionalization.
        return program.run_decompositions({}), PassOutcome(self.name, count)


def _writes(node: Node) -> bool:
    return isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
