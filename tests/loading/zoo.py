"""Small real models, each with one difficulty."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


class Tiny(nn.Module):
    """Conv, batch norm, dropout, linear: float32 (batch, 3, 8, 8) -> (batch, classes)."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.head = nn.Linear(4, classes)

    def forward(self, image: Tensor) -> Tensor:
        features = torch.relu(self.norm(self.conv(image))).mean((2, 3))
        return self.head(self.drop(features))


class Branching(nn.Module):
    """Control flow that depends on values."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:  # the line that reasons must name
            return x * 2
        return x - 1


class Looping(nn.Module):
    """Control flow that depends on shapes and constants only, lists and dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Conv2d(3, 3, 3, padding=1) for _ in range(3)])
        self.act = nn.Hardswish()
        self.register_buffer("mean", torch.tensor([0.1, 0.2, 0.3]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        batch, channels, height, width = x.shape
        kept: list[Tensor] = []
        x = (x - self.mean) / 2
        for i, layer in enumerate(self.layers):
            x = self.act(layer(x))
            if i % 2 == 0:
                kept.append(x)
        joined = functional.interpolate(torch.cat(kept, 1), scale_factor=2.0, mode="nearest")
        joined = functional.pad(joined, [0, (8 - width % 8) % 8, 0, 0])
        out = {
            "joined": joined,
            "tokens": kept[-1].flatten(2).reshape(batch, height * width, channels),
        }
        if height > 4:
            out["best"] = torch.softmax(joined * (channels**-0.5), 1).argmax(1)
        return out


class Stateful(nn.Module):
    """Writes into its input, through views, and into two buffers, one of them by assignment."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.act = nn.ReLU(inplace=True)
        self.register_buffer("calls", torch.zeros(1))
        self.register_buffer("total", torch.zeros(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x[:, 0] *= 2
        y = self.act(self.conv(x))
        y[:, 0] = 0
        self.calls += 1
        self.total = self.total + y.mean()
        flat = y.view(y.shape[0], -1)
        flat.clamp_(max=0.5)
        self.total[1:].add_(1)
        return y, self.calls * 1, self.total.clone()


class Lstm(nn.Module):
    """Two outputs of a recurrent model."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3, 2, batch_first=True, bidirectional=True)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y, (hidden, _) = self.lstm(x)
        return y[:, -1], hidden


class Text(nn.Module):
    """Integer inputs, an optional one, tied weights."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.out = nn.Linear(4, 10, bias=False)
        self.out.weight = self.embed.weight

    def forward(
        self, ids: Tensor, mask: Tensor | None = None, labels: Tensor | None = None
    ) -> Tensor:
        x = self.embed(ids)
        if mask is not None:
            x = x * mask.unsqueeze(-1)
        return self.out(x)


@dataclass
class Boxes:
    """An output that is a dataclass."""

    scores: Tensor
    corners: tuple[Tensor, Tensor]
    note: str = "none"


class Nested(nn.Module):
    """Dict inputs with a constant; dataclass, dict, list and None in the output."""

    def forward(self, batch: dict[str, Tensor], scale: float = 1.0) -> dict[str, object]:
        total = (batch["left"] + batch["right"]) * scale
        boxes = Boxes(total.sum(-1), (total, -total))
        return {"boxes": boxes, "again": [total * 2], "nothing": None, "count": 3}


class Random(nn.Module):
    """Not deterministic."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.rand_like(x)


class FixedBatch(nn.Module):
    """A batch of one is written into the model."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 12) * 2


class NoTensor(nn.Module):
    """Gives something without tensors."""

    def forward(self, x: Tensor) -> float:
        return 0.5


class Odd(nn.Module):
    """Gives an object that nothing is known of."""

    def forward(self, x: Tensor) -> object:
        return [x, object()]


class Half(nn.Module):
    """Stored in half precision."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2).half()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.to(self.fc.weight.dtype))


def not_a_module() -> int:
    """A factory that gives no module."""
    return 3


def failing(depth: int) -> nn.Module:
    """A factory that raises."""
    raise ValueError(f"depth {depth} is too deep")


class Builder:
    """A factory inside a class."""

    @classmethod
    def build(cls, classes: int) -> nn.Module:
        return Tiny(classes)
