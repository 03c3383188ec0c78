"""Writes .onnx: float32, float16, or int8 as ONNX Runtime's kernels take it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import assert_never

import onnx
import onnxruntime
import torch
from onnx import ModelProto

from exporter import __version__
from exporter.errors import FormatError
from exporter.quantize.guard import Captured
from exporter.runtimes.api import CheckFn, Conversion, ConvertJob
from exporter.runtimes.onnx.audit import int8_share
from exporter.runtimes.onnx.dynamic import quantize_products
from exporter.runtimes.onnx.engine import short
from exporter.runtimes.onnx.graph import prepare
from exporter.runtimes.onnx.half import to_half
from exporter.runtimes.onnx.program import OPSET, Marks, to_onnx
from exporter.runtimes.onnx.recipe import choose, computes
from exporter.runtimes.onnx.session import open_session, run_fn
from exporter.runtimes.onnx.simplify import simplify
from exporter.runtimes.onnx.static import quantize_activations
from exporter.runtimes.onnx.storage import SINGLE_FILE_LIMIT, data_file, move, save
from exporter.runtimes.onnx.weights import int8_weights, own_weights
from exporter.types import FP32, Compute, Precision, Scheme, Stage

IR_VERSION = 9
"""The file format that came with opset 20. Newer ones only add what this file does not use, but
runtimes older than them would refuse it: with 9, ONNX Runtime 1.17 (2024) and later load it."""


@dataclass(frozen=True)
class _Made:
    """A model in the variant that was asked for."""

    model: ModelProto
    notes: tuple[str, ...] = ()
    computes: Mapping[str, Compute] = field(default_factory=dict)


def convert(
    job: ConvertJob, check: CheckFn, *, single_file_limit: int = SINGLE_FILE_LIMIT
) -> Conversion:
    """Converts one program; see `exporter.runtimes.api.ConvertFn`.

    Args:
        job: what to convert; the program is float32 whatever the precision.
        check: called with the float16 or int8 graph as it is written, run node by node.
        single_file_limit: bytes of weights beyond which they go to `<target>.data`.

    Returns:
        What the user should know.

    Raises:
        FormatError: an operator has no ONNX form, or a tool fails on this model.
    """
    with TemporaryDirectory(prefix="export-mobile-") as name:
        folder = Path(name)
        model, marks = to_onnx(job.program, job.signature)
        model, notes = simplify(model, job.example, folder)
        made = _to_variant(model, marks, job, folder)
        _stamp(made.model, job)
        draft = folder / job.target.name
        save(made.model, draft, single_file_limit)
        _check_file(draft)
        if job.variant != FP32:
            check(Stage.QUANTIZED, run_fn(open_session(draft, optimise=False)))
        share = int8_share(draft, folder) if job.recipe else ()
        move(draft, job.target)
    return Conversion(
        (f"opset {OPSET}", *share, *made.notes, *notes, *_storage_notes(job.target)),
        computes=made.computes,
    )


def _to_variant(model: ModelProto, marks: Marks, job: ConvertJob, folder: Path) -> _Made:
    match job.variant.precision:
        case Precision.FP32:
            return _Made(model)
        case Precision.FP16:
            return _Made(*to_half(model, job.example, folder))
        case Precision.INT8:
            return _to_int8(model, marks, job, folder)
        case unknown:
            assert_never(unknown)


def _to_int8(model: ModelProto, marks: Marks, job: ConvertJob, folder: Path) -> _Made:
    if job.recipe is None:
        raise ValueError("int8 needs a recipe")
    prepare(model)
    captured = Captured(job.program, job.example)
    chosen = choose(model, marks, job.recipe, captured, job.example, folder)
    own_weights(model.graph, chosen.named(Compute.FLOAT))
    if static := chosen.named(Compute.STATIC):
        model = quantize_activations(model, static, chosen.ranges, folder)
    made = computes(chosen, model.graph)
    quantize_products(model, chosen.named(Compute.DYNAMIC))
    int8_weights(model, chosen.named(Compute.WEIGHT_ONLY))
    return _Made(model, computes=made)


def _stamp(model: ModelProto, job: ConvertJob) -> None:
    """Says in the file what it is and what made it."""
    model.ir_version = IR_VERSION
    model.producer_name = "export-mobile"
    model.producer_version = __version__
    model.doc_string = ""
    model.graph.name = job.target.name.split(".")[0]
    del model.graph.value_info[:]
    precision, scheme = job.variant.precision, job.variant.scheme
    stated = {} if scheme is Scheme.FLOAT else {"scheme": str(scheme)}
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    onnx.helper.set_model_props(
        model, {"precision": str(precision), **stated, "converted_with": versions}
    )


def _check_file(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FormatError(f"onnx.checker refuses the model: {short(error)}") from error


def _storage_notes(target: Path) -> tuple[str, ...]:
    beside = data_file(target)
    return (f"weights are in {beside.name}, to be kept beside it",) if beside.exists() else ()
