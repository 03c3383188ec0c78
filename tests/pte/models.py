"""Tiny models that each need something of the conversion."""

from __future__ import annotations

import torch
from torch import nn


class Attention(nn.Module):
    """A transformer's attention: one projection for queries, keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        q, k, v = self.qkv(x).reshape(batch, length, 3, 2, 8).permute(2, 0, 3, 1, 4)
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(batch, length, 16))


class Words(nn.Module):
    """Integer inputs, two inputs, two outputs of different types."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.out = nn.Embedding(50, 16), nn.Linear(16, 4)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.out((self.words(ids) * mask[..., None]).sum(1)), ids + 1


class Recurrent(nn.Module):
    """An LSTM and a layer on its last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.out = nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        steps, _ = self.lstm(x)
        return self.out(steps[:, -1])


class Branches(nn.Module):
    """Two convolutions that read the same tensor, as in SqueezeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(24, 8, 1), nn.Conv2d(24, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(x)
        return torch.cat([self.narrow(y), self.wide(y)], 1)


class Tokens(nn.Module):
    """A convolution on what was a sequence, as in hybrids of the two."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.conv = nn.Linear(16, 24), nn.Conv2d(24, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.linear(x)).permute(0, 2, 1).reshape(1, 24, 4, 6)
        return self.conv(y)


class Svd(nn.Module):
    """Something no mobile runtime has a kernel for."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.linalg.svd(x)[1]


def symmetric_pad() -> nn.Module:
    """The known trap."""
    return nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(16, 32, 3))


def same_pad() -> nn.Module:
    """TensorFlow's SAME padding with stride 2: one side only, so it cannot be folded."""
    return nn.Sequential(
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(16, 32, 3, stride=2),
        nn.ReLU6(),
        nn.ZeroPad2d((0, 1, 0, 1)),
        nn.Conv2d(32, 8, 2),
    )


class Pieces(nn.Module):
    """Halves of a tensor, cut by `chunk` and by slices, with ranges that differ."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        left, right = y.chunk(2, 1)
        return torch.cat([left * torch.sigmoid(right), y[:, :2] * 0.1 + 3, y[:, 6:]], 1)


class TwoReaders(nn.Module):
    """A mask that is given out and shown smaller."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3, padding="same", dilation=2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mask = self.conv(x)
        return mask, nn.functional.interpolate(mask, scale_factor=0.5, mode="bilinear")
