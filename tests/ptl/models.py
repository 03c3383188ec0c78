"""Small models, each with what some mobile network is made of, and how they are compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor, nn

from exporter.passes import Pass
from exporter.runtimes.api import Conversion
from exporter.runtimes.ptl.convert import convert
from exporter.runtimes.ptl.run import Runner
from exporter.types import Compute, Sample, Stage, Tensors, Variant
from tests.support import Recorder, eager, job_for, recomputed, samples_like


class Residual(nn.Module):
    """ReLU6, depthwise, grouped and strided convolutions, a residual, cat, pooling, a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.depthwise = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.project = nn.Conv2d(16, 16, 1)
        self.grouped = nn.Conv2d(32, 16, 3, stride=2, groups=4)
        self.head = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.stem(x))
        y = F.relu(y + self.project(F.relu6(self.depthwise(y))))
        y = F.max_pool2d(y, 2)
        y = F.relu(self.grouped(torch.cat([y, y * 0.5], 1)))
        return self.head(F.adaptive_avg_pool2d(y, 1).flatten(1))


class Attention(nn.Module):
    """A transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.qkv = nn.Linear(16, 48)
        self.out = nn.Linear(16, 16)
        self.mlp = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16))

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, width = x.shape
        qkv = self.qkv(self.norm(x)).reshape(batch, tokens, 3, 4, 4).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
        x = x + self.out(y.reshape(batch, tokens, width))
        return x + self.mlp(x)


class Recurrent(nn.Module):
    """Integer inputs, an embedding, an LSTM, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(50, 16)
        self.lstm = nn.LSTM(16, 24, batch_first=True)
        self.head = nn.Linear(24, 5)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        y, (hidden, _) = self.lstm(self.table(ids))
        return self.head(y[:, -1]), hidden


class Signal(nn.Module):
    """One-dimensional and transposed convolutions, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 8, 3, padding=1)
        self.up1 = nn.ConvTranspose1d(8, 4, 2, 2)
        self.up2 = nn.ConvTranspose2d(8, 4, 3, 2, padding=1, output_padding=1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        y = F.relu(self.conv(x))
        return self.up1(y), self.up2(y.unsqueeze(-1))


@dataclass(frozen=True)
class Case:
    """A model with samples to calibrate and compare with."""

    model: nn.Module
    samples: tuple[Sample, ...]


def case(name: str) -> Case:
    """A fresh, seeded model by name."""
    torch.manual_seed(0)
    if name == "recurrent":
        rng = np.random.default_rng(0)
        ids = tuple((rng.integers(0, 50, (1, 6)),) for _ in range(4))
        return Case(Recurrent().eval(), ids)
    models = {
        "residual": (Residual, (1, 3, 16, 16)),
        "attention": (Attention, (1, 7, 16)),
        "signal": (Signal, (1, 4, 10)),
    }
    build, shape = models[name]
    return Case(build().eval(), samples_like(4, torch.zeros(shape)))


@dataclass(frozen=True)
class Made:
    """An artifact with the outputs of the original, of the lowered graph, and its own."""

    conversion: Conversion
    original: tuple[Tensors, ...]
    graph: tuple[Tensors, ...]
    artifact: tuple[Tensors, ...]


def make(
    one: Case,
    variant: Variant,
    target: Path,
    passes: tuple[Pass, ...] = (),
    edit: Mapping[str, Compute] | None = None,
) -> Made:
    """Decides, applies the format's passes, converts and runs a case.

    Args:
        edit: captured operator -> what a person made of its decision.
    """
    example = tuple(torch.from_numpy(x) for x in one.samples[0])
    job = job_for(
        one.model, *example, target=target, variant=variant, calibration=one.samples, passes=passes
    )
    if edit and job.recipe:
        job = replace(job, recipe=recomputed(job.recipe, edit))
    recorder = Recorder()
    conversion = convert(job, recorder)
    run_graph = recorder.runs.get(Stage.QUANTIZED, eager(job.program.module()))
    run_original = eager(one.model)
    with Runner(target) as runner:
        return Made(
            conversion=conversion,
            original=tuple(run_original(s) for s in one.samples),
            graph=tuple(run_graph(s) for s in one.samples),
            artifact=tuple(runner.run(s) for s in one.samples),
        )


def worst_sqnr(expected: Iterable[Tensors], got: Iterable[Tensors]) -> float:
    """Signal to noise of the worst output over all samples, in dB."""
    outputs = zip(zip(*expected, strict=True), zip(*got, strict=True), strict=True)
    ratios = []
    for a, b in ((np.stack(a), np.stack(b)) for a, b in outputs):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        ratios.append(10 * np.log10((a**2).sum() / max(((a - b) ** 2).sum(), 1e-20)))
    return float(min(ratios))
