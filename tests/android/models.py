"""Small models with what engines may get wrong, and how they become artifacts."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from exporter.runtimes.load import load_convert
from exporter.types import Format, Signature
from tests.support import Recorder, job_for, signature_of


class Mixed(nn.Module):
    """Float, int64 and scalar inputs; float, int64 and scalar outputs of different ranks."""

    def forward(self, x: Tensor, tokens: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        return x * scale + tokens, tokens + tokens, x.sum()


MIXED = (
    torch.arange(6.0).reshape(2, 3),
    torch.tensor([[1, 2, 3], [4, -5, 6]]),
    torch.tensor(0.5),
)


class Mask(nn.Module):
    """bool in and out."""

    def forward(self, keep: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        return torch.logical_and(keep, x > 0), x * keep


MASK = (torch.tensor([[True, False, True]]), torch.tensor([[1.0, 2.0, -3.0]]))


class Image(nn.Module):
    """A picture out."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class ChannelsLast(Image):
    """The same, with its channels last in memory."""

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x).contiguous(memory_format=torch.channels_last)


def exported(
    fmt: str, module: nn.Module, inputs: tuple[Tensor, ...], folder: Path
) -> tuple[Path, Signature]:
    """A float artifact, made by the runtime's own converter."""
    target = folder / f"{type(module).__name__.lower()}.{fmt}"
    load_convert(Format(fmt))(job_for(module, *inputs, target=target), Recorder())
    return target, signature_of(module, *inputs)
