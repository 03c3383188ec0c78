"""From module to `.pte` and back, as the pipeline does it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from exporter.passes import SHARED, apply, for_format
from exporter.runtimes.api import CheckFn, Conversion
from exporter.runtimes.pte.convert import convert
from exporter.runtimes.pte.run import Runner
from exporter.types import FP32, Compute, Format, Sample, Scheme, Tensors, Variant
from tests.support import Recorder, captured, eager, job_for, recomputed, samples_like


def made(
    path: Path,
    module: torch.nn.Module,
    *inputs: torch.Tensor,
    program: ExportedProgram | None = None,
    variant: Variant = FP32,
    samples: tuple[Sample, ...] = (),
    edit: Mapping[str, Compute] | None = None,
    check: CheckFn | None = None,
) -> Conversion:
    """Decides, applies the format's passes and converts.

    Args:
        program: after the passes, all of which run on the captured module where it is None.
        samples: for ranges; random ones by default.
        edit: captured operator -> what a person made of its decision.
    """
    given = program or apply(captured(module, *inputs), SHARED)[0]
    static = variant.scheme is Scheme.STATIC
    job = job_for(
        module,
        *inputs,
        target=path,
        program=given,
        variant=variant,
        calibration=(samples or samples_like(8, *inputs)) if static else (),
        passes=() if program else for_format(Format.PTE),
    )
    if edit and job.recipe:
        job = replace(job, recipe=recomputed(job.recipe, edit))
    return convert(job, check or Recorder())


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
