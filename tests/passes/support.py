"""Counts operators and compares numbers, before and after a pass."""

from __future__ import annotations

import io
from collections import Counter

import numpy as np
import torch
from torch.export import ExportedProgram

from exporter.passes import Pass, apply
from exporter.types import PassOutcome
from tests.support import captured


def operators(program: ExportedProgram) -> Counter[str]:
    """Operator name (`conv2d`) -> how often."""
    calls = (n for n in program.graph.nodes if n.op == "call_function")
    return Counter(getattr(n.target, "_opname", str(n.target)) for n in calls)


def saved_and_loaded(program: ExportedProgram) -> ExportedProgram:
    """What another process gets of it."""
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return torch.export.load(file)


def assert_same(
    module: torch.nn.Module, program: ExportedProgram, *inputs: torch.Tensor, atol: float
) -> None:
    """The program, saved and loaded, computes what the eager module computes."""
    with torch.no_grad():
        expected = module(*inputs)
        expected = expected if isinstance(expected, tuple) else (expected,)
        found = saved_and_loaded(program).module()(*inputs)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=atol, rtol=1e-4)


def run_passes(
    module: torch.nn.Module, *inputs: torch.Tensor, passes: tuple[Pass, ...], atol: float = 1e-5
) -> tuple[Counter[str], Counter[str], tuple[PassOutcome, ...]]:
    """Captures, applies, compares with eager; operators before and after, and what was done."""
    before = captured(module, *inputs)
    after, outcomes = apply(before, passes)
    assert_same(module, after, *inputs, atol=atol)
    return operators(before), operators(after), outcomes
