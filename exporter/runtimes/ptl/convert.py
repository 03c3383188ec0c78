"""Makes a `.ptl` for PyTorch's Lite Interpreter."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

import numpy as np
import torch
from torch.export import ExportedProgram
from torch.fx import GraphModule
from torch.jit import ScriptModule

from exporter.base.eager import eager
from exporter.base.locate import blame
from exporter.errors import FormatError, UserError
from exporter.quantize.half import to_half
from exporter.quantize.pt2e import quantize
from exporter.runtimes.api import CheckFn, Conversion, ConvertJob
from exporter.runtimes.ptl.archive import SIGNATURE_FILE, Stored
from exporter.runtimes.ptl.describe import describe
from exporter.runtimes.ptl.engine import first_line, flatten, use_qnnpack
from exporter.runtimes.ptl.graph import plain_module
from exporter.runtimes.ptl.half import compute_in_float
from exporter.runtimes.ptl.int8 import Lowering, lower_int8
from exporter.runtimes.ptl.mobile_passes import optimize
from exporter.runtimes.ptl.run import Runner
from exporter.types import Precision, Sample, Scheme, Signature, Stage, Tensors

KNOWN_LIBRARIES = frozenset({"aten", "quantized", "prim", "prepacked"})
"""Operator libraries that the Lite Interpreter of a stock app contains."""


def convert(job: ConvertJob, check: CheckFn) -> Conversion:
    """Quantizes or halves, lowers, traces, optimizes and saves a program, and loads the file back.

    Returns:
        Notes that name the passes applied and what stays float in an int8 file.

    Raises:
        FormatError: an operator cannot be traced, saved or loaded, or nothing can be quantized.
    """
    precision = job.variant.precision
    with _quantized_engine():
        module, keep, lowering = _lowered(job, check)
        traced = _trace(module, job)
        if job.dynamic_batch:
            _check_batch(traced, job)
        optimized, applied = optimize(traced, keep, prepack=precision is Precision.FP32)
        stored = Stored(job.signature, job.dynamic_batch, precision, job.variant.scheme)
        _save(optimized, stored, job.target, job.program)
        _load_back(job.target, job.example, job.program)
    notes = (f"passes: {', '.join(applied)}", *_int8_notes(lowering))
    return Conversion(notes, computes=lowering.computes)


def _lowered(job: ConvertJob, check: CheckFn) -> tuple[GraphModule, tuple[str, ...], Lowering]:
    """The graph to trace, names of constants that no compiler may fold, and what became of int8."""
    match job.variant.precision:
        case Precision.FP32:
            return plain_module(job.program), (), Lowering()
        case Precision.FP16:
            program = to_half(job.program)
            check(Stage.QUANTIZED, eager(program))
            module = plain_module(program)
            return module, compute_in_float(module), Lowering()
        case Precision.INT8:
            assert job.recipe is not None
            program = quantize(job.program, job.recipe)
            check(Stage.QUANTIZED, eager(program))
            module = plain_module(program)
            lowering = lower_int8(module, job.recipe)
            return module, tuple(lowering.int8_weights), lowering
        case _:
            assert_never(job.variant.precision)


def convert_script(
    script: ScriptModule,
    signature: Signature,
    example: Sample,
    target: Path,
    *,
    dynamic_batch: bool = False,
) -> Conversion:
    """Saves a TorchScript module that cannot be captured, such as one with loops, in float32.

    Args:
        script: as the user gave it; it is not modified.
        signature: its flat inputs and outputs.
        example: one sample, run once after loading the file back.
        target: the file to write.
        dynamic_batch: whether the first size of every input may vary.

    Returns:
        Notes that name the passes applied.

    Raises:
        FormatError: an operator cannot be saved or loaded, or the batch cannot vary.
    """
    if dynamic_batch:
        _check_script_batch(script, example)
    optimized, applied = optimize(copy.deepcopy(script).eval(), prepack=True)
    stored = Stored(signature, dynamic_batch, Precision.FP32, Scheme.FLOAT)
    _save(optimized, stored, target, None)
    _load_back(target, example, None)
    return Conversion(
        notes=(f"passes: {', '.join(applied)}", "kept as TorchScript, with its loops")
    )


@contextmanager
def _quantized_engine() -> Iterator[None]:
    """QNNPACK while weights are packed, which decides the format they are stored in."""
    before = torch.backends.quantized.engine
    use_qnnpack(FormatError)
    try:
        yield
    finally:
        torch.backends.quantized.engine = before


def _trace(module: GraphModule, job: ConvertJob) -> ScriptModule:
    """Records the module on the example; buffers that it writes to get their first values back."""
    before = {name: value.clone() for name, value in module.named_buffers()}
    try:
        with torch.no_grad():
            traced = torch.jit.trace(module, _tensors(job.example), check_trace=False, strict=False)
    except (RuntimeError, NotImplementedError) as problem:
        raise _blamed("cannot be traced", problem, job.program) from None
    for name, value in traced.named_buffers():
        if not value.is_quantized:
            value.copy_(before[name])
    return traced


def _check_batch(traced: ScriptModule, job: ConvertJob) -> None:
    """Runs the trace on two and three samples at once against the program."""
    reference = job.program.module(check_guards=False)
    for count in (2, 3):
        batch = tuple(np.concatenate([x[:1]] * count) for x in job.example)
        with torch.no_grad():
            expected = tuple(flatten(reference(*_tensors(batch))))
        try:
            shapes = [y.shape for y in _run(traced, batch)]
        except RuntimeError as problem:
            raise _blamed(f"does not take a batch of {count}", problem, job.program) from None
        if shapes != [y.shape for y in expected]:
            raise FormatError(
                f"a batch of {count} gives {shapes} in TorchScript: its size is fixed"
            )


def _check_script_batch(script: ScriptModule, example: Sample) -> None:
    """Runs two and three samples at once; what comes out is right, the script being the model."""
    for count in (2, 3):
        try:
            _run(script, tuple(np.concatenate([x[:1]] * count) for x in example))
        except (RuntimeError, IndexError) as problem:
            raise _blamed(f"does not take a batch of {count}", problem, None) from None


def _save(
    module: ScriptModule, stored: Stored, target: Path, program: ExportedProgram | None
) -> None:
    try:
        module._save_for_lite_interpreter(
            str(target), _extra_files={SIGNATURE_FILE: stored.to_json()}
        )
    except RuntimeError as problem:
        raise _blamed("cannot be saved for the Lite Interpreter", problem, program) from None


def _load_back(target: Path, example: Sample, program: ExportedProgram | None) -> None:
    try:
        operators = describe(target).operators
    except UserError as problem:
        raise FormatError(f"the written file cannot be read: {problem.message}") from problem
    for name in operators:
        if name.split("::")[0] not in KNOWN_LIBRARIES:
            who = (blame(program, name) if program else "") or name
            raise FormatError(f"{who} is an operator that the Lite Interpreter does not have")
    try:
        with Runner(target) as runner:
            runner.run(example)
    except FormatError as problem:
        raise _blamed("cannot run in the Lite Interpreter", problem, program) from None


def _blamed(what: str, problem: Exception, program: ExportedProgram | None) -> FormatError:
    who = blame(program, str(problem)) if program else ""
    return FormatError(f"{who or 'the model'} {what}: {first_line(problem)}")


def _int8_notes(lowering: Lowering) -> tuple[str, ...]:
    notes = []
    if lowering.kernels:
        kernels = ", ".join(f"{count} {name}" for name, count in sorted(lowering.kernels.items()))
        notes.append(f"int8 kernels: {kernels}")
    if lowering.weight_only:
        counts = ", ".join(f"{n} {name}" for name, n in sorted(lowering.weight_only.items()))
        notes.append(f"int8 weights with float compute, for want of a right int8 kernel: {counts}")
    return tuple(notes)


def _run(module: ScriptModule, sample: Sample) -> Tensors:
    with torch.no_grad():
        return tuple(flatten(module(*_tensors(sample))))


def _tensors(sample: Sample) -> tuple[torch.Tensor, ...]:
    return tuple(torch.from_numpy(np.array(x)) for x in sample)
