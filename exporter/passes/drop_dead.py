"""Given calls and constants that no output depends on. Result: none."""

from __future__ import annotations

from torch.export import ExportedProgram

from exporter.passes.graph import Graph
from exporter.types import PassOutcome


class DropDead:
    """Removes dead code and the weights that only it used."""

    name = "drop dead code"

    def __call__(self, program: ExportedProgram) -> tuple[ExportedProgram, PassOutcome]:
        graph = Graph(program)
        count = graph.sweep()
        return (graph.finish() if count else program), PassOutcome(self.name, count)
