"""Captured program -> `.pte`, with as much of it as possible delegated to XNNPACK."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import assert_never

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import (
    EdgeCompileConfig,
    EdgeProgramManager,
    ExecutorchProgramManager,
    to_edge_transform_and_lower,
)
from torch.export import ExportedProgram

from exporter.base.eager import eager
from exporter.base.locate import blame, source_line
from exporter.base.quiet import hushed
from exporter.base.text import first_line
from exporter.errors import FormatError
from exporter.quantize.half import to_half
from exporter.runtimes.api import CheckFn, Conversion, ConvertJob
from exporter.runtimes.pte import delegation
from exporter.runtimes.pte.batch import LARGEST, bound_sizes
from exporter.runtimes.pte.dynamic import sound_layout
from exporter.runtimes.pte.edge import plain_views
from exporter.runtimes.pte.kernels import available
from exporter.runtimes.pte.recipe import computes, quantized
from exporter.types import Compute, Delegation, Precision, Stage

_CONVS = {torch.ops.aten.conv2d.default, torch.ops.aten.conv2d.padding}

_OPERATOR = re.compile(r"\b(?:aten|quantized_decomposed|torchvision)(?:\.|::)\w+(?:\.\w+)?")


def convert(job: ConvertJob, check: CheckFn) -> Conversion:
    """Quantizes or halves a program, lowers it, and writes `job.target`.

    Raises:
        FormatError: an operator cannot be lowered, or has no kernel in the runtime.
    """
    known = available()  # first: with the kernels come the operators that lowering looks up
    with hushed(), sound_layout():
        program, found = _prepared(job, check)
        edge = _lowered(job, program)
        counts = delegation.count(edge.exported_program())
        final = _finished(edge, program)
    _require_kernels(final, edge.exported_program(), known)
    job.target.write_bytes(final.buffer)
    return Conversion(tuple(_notes(job, counts)), counts, found)


def _prepared(job: ConvertJob, check: CheckFn) -> tuple[ExportedProgram, dict[str, Compute]]:
    """The program in its precision, and how its operators compute in int8."""
    match job.variant.precision:
        case Precision.FP32:
            return job.program, {}
        case Precision.FP16:
            program = to_half(job.program)
            check(Stage.QUANTIZED, eager(program))
            return program, {}
        case Precision.INT8:
            assert job.recipe is not None
            program = quantized(job.program, job.recipe)
            check(Stage.QUANTIZED, eager(program))
            return program, computes(program, job.recipe)
        case _:
            assert_never(job.variant.precision)


def _lowered(job: ConvertJob, program: ExportedProgram) -> EdgeProgramManager:
    if job.dynamic_batch:
        bound_sizes(program)
    with _complaints_named(program):
        return to_edge_transform_and_lower(
            program,
            transform_passes=[plain_views],
            partitioner=[XnnpackPartitioner()],
            # The verifier knows the core operators only; the runtime has kernels for more, and
            # `_require_kernels` asks the runtime itself.
            compile_config=EdgeCompileConfig(_check_ir_validity=False),
        )


def _finished(edge: EdgeProgramManager, program: ExportedProgram) -> ExecutorchProgramManager:
    with _complaints_named(edge.exported_program(), program):
        return edge.to_executorch()


@contextmanager
def _complaints_named(*programs: ExportedProgram) -> Iterator[None]:
    """Turns the toolchain's exceptions into a sentence about an operator of one of `programs`."""
    try:
        yield
    except Exception as error:
        complaint = str(error)
        named = [found for p in programs if (found := _guilty(p, complaint))]
        detail = first_line(error)
        if named:
            raise FormatError(f"ExecuTorch cannot convert {named[0]}: {detail}") from error
        raise FormatError(f"ExecuTorch cannot convert the model: {detail}") from error


def _guilty(program: ExportedProgram, complaint: str) -> str:
    """The operator that a complaint is about, with its source line."""
    if found := blame(program, complaint):
        return found
    mentioned = {m.group().replace("::", ".") for m in _OPERATOR.finditer(complaint)}
    return _located(program, mentioned)


def _located(program: ExportedProgram, names: Iterable[str]) -> str:
    """`aten.foo.default (model.py:3, in forward: ...)` for the first operator in `names`."""
    wanted = {n for name in names for n in (name, f"{name}.default")}
    for node in program.graph.nodes:
        if node.op == "call_function" and (name := delegation.operator_name(node.target)) in wanted:
            where = source_line(node)
            return f"{name} ({where})" if where else name
    return ""


def _require_kernels(
    final: ExecutorchProgramManager, edge: ExportedProgram, known: frozenset[str]
) -> None:
    """Fails now, by name and line, rather than on the phone with an error code."""
    plan = final.executorch_program.execution_plan[0]
    for operator in plan.operators:
        name = f"{operator.name}.{operator.overload}" if operator.overload else operator.name
        if name in known:
            continue
        stem = operator.name.replace("::", ".")
        names = [delegation.operator_name(n.target) for n in edge.graph.nodes]
        alike = [n for n in names if n.startswith(f"{stem}.")]
        where = _located(edge, alike) or name
        raise FormatError(f"ExecuTorch's runtime has no kernel for {where}")


def _notes(job: ConvertJob, counts: Delegation) -> Iterator[str]:
    if counts.outside:
        listed = ", ".join(f"{name} x{n}" if n > 1 else name for name, n in counts.outside.items())
        yield f"runs on portable kernels, outside XNNPACK: {listed}"
    has_convs = any(n.target in _CONVS for n in job.program.graph.nodes)
    if job.variant.precision is Precision.FP16 and has_convs:
        yield "XNNPACK takes weights of convolutions as float32 only, so they are no smaller"
    if not counts.delegates:
        yield "nothing is delegated to XNNPACK: expect it to be slow"
    if any(name.startswith("quantized_decomposed.") for name in counts.outside):
        yield (
            "quantize and dequantize operators stayed outside XNNPACK: the app's runtime must "
            "link ExecuTorch's quantized kernels"
        )
    if job.dynamic_batch:
        yield f"takes batches of up to {LARGEST}, for which its memory is planned"
