"""Small things that many tests need: a captured program, a convert job, a check that records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch.export import ExportedProgram

from exporter.passes import Pass, apply
from exporter.passes.graph import Graph
from exporter.quantize import decide
from exporter.quantize.marker import mark
from exporter.quantize.ranges import observe
from exporter.quantize.recipe import Recipe
from exporter.runtimes.api import ConvertJob
from exporter.types import (
    FP32,
    Compute,
    Precision,
    RunFn,
    Sample,
    Scheme,
    Signature,
    Stage,
    Tensors,
    TensorSpec,
    Variant,
)


class Flat(torch.nn.Module):
    """Gives a single-output module the tuple output that the pipeline works with."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        out = self.module(*inputs)
        return out if isinstance(out, tuple) else (out,)


def captured(module: torch.nn.Module, *inputs: torch.Tensor) -> ExportedProgram:
    """The program that `exporter.loading` would capture."""
    with torch.no_grad():
        return torch.export.export(Flat(module.eval()), inputs, strict=False)


def eager(module: torch.nn.Module) -> RunFn:
    """Runs a module on numpy samples."""

    def run(sample: Sample) -> Tensors:
        with torch.no_grad():
            out = module(*(torch.from_numpy(x) for x in sample))
        return tuple(o.numpy() for o in (out if isinstance(out, tuple) else (out,)))

    return run


def samples_like(count: int, *inputs: torch.Tensor, seed: int = 0) -> tuple[Sample, ...]:
    """`count` random samples with the inputs' shapes (float inputs only)."""
    rng = np.random.default_rng(seed)
    return tuple(
        tuple(rng.standard_normal(x.shape, dtype=np.float32) for x in inputs) for _ in range(count)
    )


def signature_of(module: torch.nn.Module, *inputs: torch.Tensor) -> Signature:
    """The flat signature of a module with tensor inputs."""
    sample = tuple(x.numpy() for x in inputs)
    outputs = eager(module.eval())(sample)
    return Signature(
        tuple(TensorSpec(f"input_{i}", x.shape, x.dtype.name) for i, x in enumerate(sample)),
        tuple(TensorSpec(f"output_{i}", x.shape, x.dtype.name) for i, x in enumerate(outputs)),
    )


def decided(
    program: ExportedProgram, variant: Variant, calibration: tuple[Sample, ...] = ()
) -> tuple[ExportedProgram, Recipe | None]:
    """A marked copy of a captured program, and what the pipeline would decide for it."""
    copy = Graph(program).finish()
    recipe = None
    if variant.precision is Precision.INT8:
        observed = observe(copy, calibration) if variant.scheme is Scheme.STATIC else None
        recipe = decide.recipe(copy, variant.scheme, observed)
    mark(copy)
    return copy, recipe


def recomputed(recipe: Recipe, nodes: Mapping[str, Compute]) -> Recipe:
    """The recipe, edited: some operators compute otherwise."""
    steps = (replace(s, compute=nodes.get(s.node, s.compute)) for s in recipe.steps)
    return replace(recipe, steps=tuple(steps))


def job_for(
    module: torch.nn.Module,
    *inputs: torch.Tensor,
    target: Path,
    program: ExportedProgram | None = None,
    variant: Variant = FP32,
    calibration: tuple[Sample, ...] = (),
    recipe: Recipe | None = None,
    passes: tuple[Pass, ...] = (),
) -> ConvertJob:
    """A convert job for a small module.

    Args:
        program: captured and unmarked; by default the captured module without any passes.
        recipe: in place of what would be decided.
        passes: of the format, applied to the marked program.
    """
    marked, made = decided(program or captured(module, *inputs), variant, calibration)
    return ConvertJob(
        program=apply(marked, passes)[0],
        signature=signature_of(module, *inputs),
        variant=variant,
        recipe=recipe or made,
        calibration=calibration[:32] if variant.scheme is Scheme.STATIC else (),
        example=tuple(x.numpy() for x in inputs),
        dynamic_batch=False,
        target=target,
    )


class Recorder:
    """A `CheckFn` that keeps what it was given."""

    def __init__(self) -> None:
        self.runs: dict[Stage, RunFn] = {}

    def __call__(self, stage: Stage, run: RunFn) -> None:
        self.runs[stage] = run
