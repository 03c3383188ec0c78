"""Artifacts of all formats, jobs for the agent to run them, and what the host makes of them."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from exporter.data.golden import write_golden
from exporter.device.job import JOB_FILE, Job, to_json
from exporter.device.pack import write_agent
from exporter.passes import SHARED, apply, for_format
from exporter.runtimes.load import load_convert, load_runner
from exporter.types import FP32, INT8_STATIC, Format, Sample, Signature, Tensors, Variant
from tests.support import Recorder, captured, job_for, samples_like

_PLACE = tempfile.TemporaryDirectory(prefix="agent-")
AGENT = write_agent(Path(_PLACE.name))


class Mixed(nn.Module):
    """Integers, booleans and a scalar go in and come out; the scalar is the scale of the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.out = nn.Embedding(50, 16), nn.Linear(16, 4)

    def forward(self, tokens: Tensor, mask: Tensor, scale: Tensor) -> tuple[Tensor, ...]:
        x = torch.where(mask[..., None], self.table(tokens), 0.0) * scale
        return self.out(x.sum(1)), tokens + 1, torch.logical_not(mask), x.mean()


class Net(nn.Module):
    """Two convolutions and a linear layer, for int8."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.wide = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.relu(self.wide(torch.relu(self.stem(x)))).mean((2, 3)))


@dataclass(frozen=True)
class Artifact:
    """A file with what belongs to it."""

    format: Format
    path: Path
    signature: Signature
    samples: tuple[Sample, ...]

    def job(self, folder: Path, runs: int = 0, warmup: int = 0, threads: int = 1) -> Job:
        """A job, with all its files in `folder`."""
        folder.mkdir(exist_ok=True)
        for file in (self.path, *self.path.parent.glob(f"{self.path.name}.data")):
            shutil.copy(file, folder)
        write_golden(
            folder / "golden.npz",
            self.samples,
            [()] * len(self.samples),
            None,
            Signature(self.signature.inputs, ()),
        )
        inputs, outputs = self.signature.inputs, self.signature.outputs
        job = Job(
            *(self.format, self.path.name, "golden.npz", inputs, outputs),
            runs=runs,
            warmup=warmup,
            threads=threads,
        )
        return written(job, folder)

    def on_host(self) -> list[Tensors]:
        """Outputs for each sample in the exporter's own runner."""
        with load_runner(self.format)(self.path) as runner:
            return [runner.run(sample) for sample in self.samples]


def written(job: Job, folder: Path) -> Job:
    """Puts a job where the agent finds it."""
    (folder / JOB_FILE).write_text(to_json(job), encoding="utf-8")
    return job


def mixed(format: Format, folder: Path) -> Artifact:
    """`Mixed` as a float artifact, with three samples."""
    rng = np.random.default_rng(0)
    samples = tuple(
        (rng.integers(0, 50, (1, 6)), rng.random((1, 6)) < 0.5, np.asarray(scale, np.float32))
        for scale in (0.5, 1.0, -3.0)
    )
    return made(format, folder, Mixed(), samples)


def int8(format: Format, folder: Path) -> Artifact:
    """`Net` in static int8, with four samples."""
    samples = samples_like(4, torch.zeros(1, 3, 12, 12))
    return made(format, folder, Net(), samples, INT8_STATIC)


def made(
    format: Format,
    folder: Path,
    module: nn.Module,
    samples: tuple[Sample, ...],
    variant: Variant = FP32,
) -> Artifact:
    """Converts as the pipeline does."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    inputs = tuple(torch.from_numpy(x) for x in samples[0])
    job = job_for(
        module,
        *inputs,
        target=folder / f"m.{format}",
        program=apply(captured(module, *inputs), SHARED)[0],
        variant=variant,
        calibration=samples,
        passes=for_format(format),
    )
    load_convert(format)(job, Recorder())
    return Artifact(format, job.target, job.signature, samples)


def ran(folder: Path, command: Sequence[object] = (sys.executable, AGENT)) -> int:
    """Lets the agent do the job in `folder`; its exit code."""
    done = subprocess.run(
        [*map(str, command), str(folder)], capture_output=True, text=True, timeout=120, check=False
    )
    print(done.stdout, done.stderr)
    return done.returncode


def assert_same(found: list[Tensors], expected: list[Tensors], tolerance: float = 0.0) -> None:
    """The same outputs for each sample: number, shapes, dtypes and values."""
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert [(x.shape, x.dtype) for x in ours] == [(x.shape, x.dtype) for x in theirs]
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=tolerance, rtol=0)


def changed(artifact: Artifact, content: bytes, folder: Path) -> Artifact:
    """The artifact with other content, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    (folder / artifact.path.name).write_bytes(content)
    return replace(artifact, path=folder / artifact.path.name)
