"""A largest size for dimensions that vary, for which ExecuTorch plans its memory ahead."""

from __future__ import annotations

from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils._sympy.numbers import int_oo
from torch.utils._sympy.value_ranges import ValueRanges

LARGEST = 8
"""Without a bound ExecuTorch takes the size of the example, and refuses every larger batch. Memory
for activations grows with it, so it is no larger than what a phone is given at once."""


def bound_sizes(program: ExportedProgram) -> None:
    """Bounds every size without one to `LARGEST`.

    Args:
        program: its ranges are changed in place.
    """
    values = (node.meta.get("val") for node in program.graph.nodes)
    sizes: list[Any] = [s for v in values if isinstance(v, torch.Tensor) for s in v.shape]
    ranges = [s.node.shape_env.var_to_range for s in sizes if isinstance(s, torch.SymInt)]
    for symbol, known in list(program.range_constraints.items()):
        if known.upper is not int_oo:
            continue
        bounded = ValueRanges(known.lower, LARGEST)
        for table in (program.range_constraints, *ranges):
            table[symbol] = bounded
