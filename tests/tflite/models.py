"""Tiny real models, each with what makes a conversion to LiteRT go wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from exporter.passes import SHARED, apply
from exporter.runtimes.api import Conversion, ConvertJob
from exporter.runtimes.tflite.convert import convert
from exporter.runtimes.tflite.run import Runner
from exporter.types import FP32, Sample, Scheme, Tensors, Variant
from tests.support import Recorder, captured, job_for, samples_like

Make = Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]


class Cnn(nn.Module):
    """Convolution, batch norm, ReLU6, depthwise, residual, asymmetric padding, pooling, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU6())
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.point = nn.Conv2d(16, 16, 1)
        self.head = nn.Linear(16, 10)
        self.stem[1].running_mean.uniform_(-0.5, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(functional.pad(x, (0, 1, 0, 1)))
        x = x + self.point(functional.relu6(self.depthwise(x)))
        return self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))


class Attention(nn.Module):
    """A pre-norm transformer block with scaled_dot_product_attention."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.norm2 = nn.LayerNorm(32), nn.LayerNorm(32)
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)
        self.mlp = nn.Sequential(nn.Linear(32, 64), nn.GELU(), nn.Linear(64, 32))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, tokens, 3, 4, dim // 4).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*qkv.unbind(0))
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, tokens, dim))
        return x + self.mlp(self.norm2(x))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 8, batch_first=True)
        self.gru = nn.GRU(8, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.gru(self.lstm(x)[0])[0][:, -1]


class Text(nn.Module):
    """int64 token numbers in, scores and the best token (int64) out; the table is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(64, 16)
        self.out = nn.Linear(16, 64, bias=False)
        self.out.weight = self.table.weight

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        scores = self.out(torch.tanh(self.table(tokens)))
        return scores, scores.argmax(-1)


class Crossed(nn.Module):
    """Inputs and outputs of one shape, more than ten, so that any other order would show."""

    def forward(self, a: Tensor, b: Tensor, c: Tensor) -> tuple[Tensor, ...]:
        return (c - a, b * 2, a + b, *(a * float(i) - c for i in range(9)))


class Changing(nn.Module):
    """In-place operators and a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.register_buffer("shift", torch.randn(8))

    def forward(self, x: Tensor) -> Tensor:
        y = self.linear(x)
        y += self.shift
        y.relu_()
        y[:, :4] *= 2
        return y


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make().eval()


def cnn() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return seeded(Cnn), (torch.randn(1, 3, 16, 16),)


def attention() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return seeded(Attention), (torch.randn(1, 10, 32),)


def recurrent() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return seeded(Recurrent), (torch.randn(1, 4, 8),)


def text() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return seeded(Text), (torch.arange(0, 64, 8)[None],)


def crossed() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return seeded(Crossed), tuple(torch.randn(2, 8) for _ in range(3))


def changing() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return seeded(Changing), (torch.randn(2, 8),)


def one_dimensional() -> tuple[nn.Module, tuple[Tensor, ...]]:
    return seeded(_one_dimensional), (torch.randn(1, 8, 20),)


def _one_dimensional() -> nn.Module:
    return nn.Sequential(nn.Conv1d(8, 16, 5, padding=2), nn.ReLU(), nn.Conv1d(16, 16, 3, groups=16))


def export(
    make: Make, target: Path, variant: Variant = FP32
) -> tuple[Runner, Conversion, Recorder]:
    """Converts to `target`; the loaded file, what is known of it, the stages that were checked."""
    recorder = Recorder()
    conversion = convert(job_of(make, target, variant), recorder)
    return Runner(target), conversion, recorder


def job_of(make: Make, target: Path, variant: Variant = FP32) -> ConvertJob:
    """A job as the pipeline makes it, with calibration samples where the variant wants them."""
    module, inputs = make()
    calibration: tuple[Sample, ...] = ()
    if variant.scheme is Scheme.STATIC:
        floating = all(x.is_floating_point() for x in inputs)
        same = (tuple(x.numpy() for x in inputs),)
        calibration = samples_like(8, *inputs) if floating else same
    program, _ = apply(captured(module, *inputs), SHARED)
    return job_for(
        module, *inputs, target=target, program=program, variant=variant, calibration=calibration
    )


def sqnr(want: Tensors, got: Tensors) -> float:
    """Signal to quantization noise of the worst output, in dB."""
    return min(
        10 * np.log10((w.astype(float) ** 2).sum() / ((w.astype(float) - g) ** 2).sum().clip(1e-20))
        for w, g in zip(want, got, strict=True)
    )
