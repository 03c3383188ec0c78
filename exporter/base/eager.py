"""Runs a captured program in PyTorch itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exporter.types import RunFn, Sample, Tensors

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def eager(program: ExportedProgram) -> RunFn:
    """Runs a program in eager PyTorch, on and with numpy arrays."""
    import torch

    module = program.module()

    def run(sample: Sample) -> Tensors:
        with torch.no_grad():
            outputs = module(*(torch.from_numpy(x.copy()) for x in sample))
        return tuple(o.numpy() for o in outputs)

    return run
