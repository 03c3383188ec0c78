"""From module to `.pte` and back, as the pipeline does it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from exporter.passes import FOR_FORMAT, SHARED, apply
from exporter.quantize.pt2e import quantize
from exporter.runtimes.api import Conversion
from exporter.runtimes.pte.convert import convert
from exporter.runtimes.pte.run import Runner
from exporter.types import Format, Precision, Sample, Scheme, Tensors
from tests.support import Recorder, captured, eager, job_for, samples_like


def passed(module: torch.nn.Module, *inputs: torch.Tensor) -> ExportedProgram:
    """Captured, after all passes for `.pte`."""
    return apply(captured(module, *inputs), (*SHARED, *FOR_FORMAT[Format.PTE]))[0]


def quantized(program: ExportedProgram, scheme: Scheme, *inputs: torch.Tensor) -> ExportedProgram:
    """The int8 graph, calibrated on random samples."""
    return quantize(program, scheme, samples_like(8, *inputs))


def made(
    path: Path,
    module: torch.nn.Module,
    *inputs: torch.Tensor,
    program: ExportedProgram | None = None,
    scheme: Scheme = Scheme.FLOAT,
) -> Conversion:
    """Converts; `program` is what the passes give where it is None."""
    job = job_for(
        module,
        *inputs,
        target=path,
        program=program or passed(module, *inputs),
        precision=Precision.FP32 if scheme is Scheme.FLOAT else Precision.INT8,
        scheme=scheme,
    )
    return convert(job, Recorder())


def ran(path: Path, sample: Sample) -> Tensors:
    """Outputs of the file in ExecuTorch's runtime."""
    with Runner(path) as runner:
        return runner.run(sample)


def sqnr(reference: Tensors, outputs: Tensors) -> float:
    """Signal to noise ratio of the worst output, in dB."""
    ratios = []
    for a, b in zip(reference, outputs, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        ratios.append(10 * np.log10((a**2).sum() / max(((a - b) ** 2).sum(), 1e-30)))
    return float(min(ratios))


def assert_float_matches(path: Path, module: torch.nn.Module, *inputs: torch.Tensor) -> Conversion:
    """Converts in float32 and compares with eager."""
    conversion = made(path, module, *inputs)
    sample = tuple(x.numpy() for x in inputs)
    expected, found = eager(module)(sample), ran(path, sample)
    assert len(expected) == len(found)
    for a, b in zip(expected, found, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(b, a, atol=1e-4, rtol=1e-4)
    return conversion
