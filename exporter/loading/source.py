"""The model as the user has it: what everything made of it is compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from exporter.loading.flat import FlatModule, to_tensors
from exporter.types import Sample, Signature, Tensors


@dataclass(frozen=True)
class SourceModel:
    """A loaded model with one call that works.

    Attributes:
        module: positional tensors in, tuple of tensors out; in eval mode, on the CPU.
        example: the flat inputs of one call.
        signature: names, shapes and types of the flat inputs and outputs.
        kind: what it was loaded from, in words.
        name: default base name of artifacts.
        path: the file; None for a factory.
        sha256: of the file; None for a factory.
        script: whether the model is TorchScript.
        notes: what the user should know.
        state: first values of the buffers that a call changes; every run starts from them.
    """

    module: FlatModule
    example: Sample
    signature: Signature
    kind: str
    name: str
    path: Path | None = None
    sha256: str | None = None
    script: bool = False
    notes: tuple[str, ...] = ()
    state: dict[str, Tensor] = field(default_factory=dict)

    def run(self, sample: Sample) -> Tensors:
        """The reference: runs the original model; equal samples give equal outputs.

        A model that keeps state starts from its first state, and is left with it.

        Args:
            sample: flat inputs as in `signature.inputs`.

        Returns:
            Flat outputs as in `signature.outputs`, the caller's own.
        """
        try:
            return call(self.module, sample)
        finally:
            restore(self.module, self.state)


def call(module: FlatModule, sample: Sample) -> Tensors:
    """Runs a flat module on numpy arrays, without gradients."""
    with torch.no_grad():
        return tuple(np.array(output.detach().numpy()) for output in module(*to_tensors(sample)))


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """Copies of all buffers."""
    return {name: tensor.detach().clone() for name, tensor in module.named_buffers()}


def changed(module: nn.Module, before: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those of the buffers in `before` that no longer hold the values they had."""
    now = dict(module.named_buffers())
    return {
        name: old
        for name, old in before.items()
        if name in now and not (now[name].shape == old.shape and _same(now[name], old))
    }


def restore(module: nn.Module, state: dict[str, Tensor]) -> None:
    """Gives buffers back their values."""
    with torch.no_grad():
        for name, value in state.items():
            owner, _, leaf = name.rpartition(".")
            target = module.get_submodule(owner)
            now = getattr(target, leaf)
            if now.shape == value.shape and now.dtype == value.dtype:
                now.copy_(value)
            else:
                setattr(target, leaf, value.clone())


def _same(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and bool(torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)))
