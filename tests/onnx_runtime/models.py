"""Tiny models for the ONNX suites, one for each thing that can go wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def seeded(module: nn.Module) -> nn.Module:
    """Random weights that are the same in every run, in eval mode."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator) * 0.3)
    return module.eval()


class ConvNet(nn.Module):
    """Convolution, batch norm, grouped convolution, residual addition, pooling, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.grouped = nn.Conv2d(16, 16, 1, groups=2)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu6(self.norm(self.stem(x)))
        x = x + self.grouped(functional.relu(self.depthwise(x)))
        return self.head(functional.max_pool2d(x, 2).mean((2, 3)))


class Block(nn.Module):
    """A transformer block with attention, layer norm and GELU over (batch, tokens, 32)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(32)
        self.qkv = nn.Linear(32, 96)
        self.up = nn.Linear(32, 64)
        self.down = nn.Linear(64, 32, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        x = x + functional.scaled_dot_product_attention(q, k, v)
        return x + self.down(functional.gelu(self.up(x)))


class TextModel(nn.Module):
    """Integer inputs: embedding, LSTM, a linear layer that is used twice, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(200, 32)
        self.lstm = nn.LSTM(32, 32, batch_first=True, bidirectional=True)
        self.shared = nn.Linear(64, 64)

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        x, _ = self.lstm(self.embedding(tokens))
        x = self.shared(functional.gelu(self.shared(x))) * mask[..., None]
        return x.sum(1), tokens


class Odd(nn.Module):
    """GRU, one-dimensional and transposed convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, padding=1)
        self.up = nn.ConvTranspose1d(8, 8, 2, stride=2, groups=8)
        self.mix = nn.ConvTranspose1d(8, 4, 1)
        self.gru = nn.GRU(4, 6, num_layers=2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.mix(self.up(functional.relu(self.conv(x))))
        return self.gru(x.transpose(1, 2))[0]


class PassThrough(nn.Module):
    """Outputs that are an input, a constant, and twice the same."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        y = x + 1
        return x, torch.ones(2, 3), y, y


class Unconvertible(nn.Module):
    """An operator that ONNX has no form of."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.svd(x * 2)[1]


class Projected(nn.Module):
    """An LSTM that ONNX's own cannot express."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 8, proj_size=4, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]
