"""Converts a captured program to a .tflite file."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Mapping
from typing import assert_never

import litert_torch
import torch

from exporter.errors import FormatError
from exporter.runtimes.api import CheckFn, Conversion, ConvertJob
from exporter.runtimes.tflite.complaint import missing_kernel, refusal
from exporter.runtimes.tflite.describe import computing, int8_operators
from exporter.runtimes.tflite.flatbuffer import graphs, parse
from exporter.runtimes.tflite.pointwise import as_convolutions
from exporter.runtimes.tflite.quantize import halve, quantize
from exporter.runtimes.tflite.rewrite import Rewritten
from exporter.runtimes.tflite.run import Kernels, Runner, load
from exporter.runtimes.tflite.signature import sign
from exporter.types import FP32, Compute, Precision, Stage


def convert(job: ConvertJob, check: CheckFn) -> Conversion:
    """Writes `job.target`; see `exporter.runtimes.api.ConvertFn`.

    The file keeps the model's own layout (NCHW) at its inputs and outputs, with the transposes to
    LiteRT's NHWC inside, and float inputs and outputs.

    Raises:
        FormatError: dynamic batch, or the toolchain refuses; names operator and source line.
    """
    if job.dynamic_batch:
        raise FormatError(
            "LiteRT's converter fixes the batch size; leave the dynamic batch out, or this format"
        )
    content, notes, computes = _to_variant(float_file(job), job)
    job.target.write_bytes(sign(content, job.signature))
    if job.variant != FP32:
        check(Stage.QUANTIZED, Runner(job.target, kernels=Kernels.PLAIN).run)
    return Conversion(notes=(*_signature_notes(job), *notes), computes=computes)


def _to_variant(
    content: bytes, job: ConvertJob
) -> tuple[bytes, tuple[str, ...], Mapping[str, Compute]]:
    """The file in the variant that was asked for, notes, and how captured operators compute."""
    match job.variant.precision:
        case Precision.FP32:
            return content, (), {}
        case Precision.FP16:
            return halve(content), (), {}
        case Precision.INT8:
            if job.recipe is None:
                raise ValueError("int8 needs a recipe")
            content, computes = quantize(content, job, job.recipe)
            notes = _int8_notes(content)
            content, count = as_convolutions(content)
            return content, (*notes, *_rewritten(count)), computes
        case unknown:
            assert_never(unknown)


def float_file(job: ConvertJob) -> bytes:
    """The program as a float .tflite that LiteRT loads, with the converter's own signature names.

    Raises:
        FormatError: the converter refuses, or LiteRT has no kernel for what it made.
    """
    example = tuple(torch.from_numpy(x.copy()) for x in job.example)
    try:
        # What the toolchain reports as progress belongs with its other chatter, not on stdout.
        with contextlib.redirect_stdout(sys.stderr), torch.no_grad():
            converted = litert_torch.convert(Rewritten(job.program), example)
            content = bytes(converted.model_content())
    except Exception as error:  # it raises whatever torch, jax and MLIR raise underneath
        raise refusal(job.program, error) from error
    try:
        load(content, 1, Kernels.PLAIN, job.target.name)
    except FormatError as error:
        raise missing_kernel(job.program, error) from error
    return content


def _signature_notes(job: ConvertJob) -> tuple[str, ...]:
    notes = []
    if any(len(s.shape) == 4 for s in job.signature.inputs):
        notes.append("inputs and outputs keep the model's own layout (NCHW)")
    wide = {s.dtype for s in (*job.signature.inputs, *job.signature.outputs)} & {"int64", "float64"}
    if wide:
        notes.append(f"{' and '.join(sorted(wide))} inputs and outputs are 32-bit in the file")
    return tuple(notes)


def _int8_notes(content: bytes) -> list[str]:
    graph = graphs(parse(content))[0]
    names = computing(graph)
    quantized = int8_operators(graph)
    notes = [f"{quantized.total()} of {names.total()} operators are int8 ({_counted(quantized)})"]
    if as_float := names - quantized:
        notes.append(f"stayed float: {_counted(as_float)}")
    return notes


def _rewritten(count: int) -> tuple[str, ...]:
    if not count:
        return ()
    return (
        f"{count} FULLY_CONNECTED are stored as 1x1 CONV_2D: the same bits, "
        "and the form that XNNPACK of TensorFlow Lite 2.16 knows",
    )


def _counted(names: Counter[str]) -> str:
    return ", ".join(f"{name} x{count}" for name, count in names.most_common())
