"""Writes .onnx: float32, float16, or int8 as ONNX Runtime's kernels take it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime
import torch
from onnx import ModelProto

from exporter import __version__
from exporter.errors import FormatError
from exporter.runtimes.api import CheckFn, Conversion, ConvertJob
from exporter.runtimes.onnx.audit import int8_share
from exporter.runtimes.onnx.dynamic import quantize_products
from exporter.runtimes.onnx.half import to_half
from exporter.runtimes.onnx.program import OPSET, to_onnx
from exporter.runtimes.onnx.session import open_session, run_fn, short
from exporter.runtimes.onnx.simplify import simplify
from exporter.runtimes.onnx.static import quantize_activations
from exporter.runtimes.onnx.storage import SINGLE_FILE_LIMIT, data_file, move, save
from exporter.runtimes.onnx.weights import int8_weights
from exporter.types import Precision, Scheme, Stage

IR_VERSION = 9
"""The file format that came with opset 20. Newer ones only add what this file does not use, but
runtimes older than them would refuse it: with 9, ONNX Runtime 1.17 (2024) and later load it."""

_WORDS = {
    "Conv": "convolution",
    "ConvTranspose": "transposed convolution",
    "Gemm": "matrix product",
    "MatMul": "matrix product",
    "Gather": "embedding",
}


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
        model = to_onnx(job.program, job.signature)
        model, notes = simplify(model, job.example, folder)
        model, more = _to_precision(model, job, folder)
        _stamp(model, job)
        draft = folder / job.target.name
        save(model, draft, single_file_limit)
        _check_file(draft)
        if job.precision is not Precision.FP32:
            check(Stage.QUANTIZED, run_fn(open_session(draft, optimise=False)))
        if job.precision is Precision.INT8:
            more = (*int8_share(draft, folder), *more)
        move(draft, job.target)
    return Conversion((f"opset {OPSET}", *more, *notes, *_storage_notes(job.target)))


def _to_precision(
    model: ModelProto, job: ConvertJob, folder: Path
) -> tuple[ModelProto, tuple[str, ...]]:
    """The model in the precision that was asked for, and notes."""
    if job.precision is Precision.FP16:
        return to_half(model, job.example, folder)
    if job.precision is Precision.FP32:
        return model, ()
    if job.scheme is Scheme.STATIC:
        model = quantize_activations(model, job.calibration, folder)
    else:
        quantize_products(model)
    stored = int8_weights(model)
    words = [f"{n} {_WORDS.get(op, op)}{'s' if n > 1 else ''}" for op, n in sorted(stored.items())]
    if not words:
        return model, ()
    return model, (f"int8 weights, float32 compute: {', '.join(words)}",)


def _stamp(model: ModelProto, job: ConvertJob) -> None:
    """Says in the file what it is and what made it."""
    model.ir_version = IR_VERSION
    model.producer_name = "export-mobile"
    model.producer_version = __version__
    model.doc_string = ""
    model.graph.name = job.target.name.split(".")[0]
    del model.graph.value_info[:]
    scheme = {} if job.scheme is Scheme.FLOAT else {"scheme": str(job.scheme)}
    versions = f"torch {torch.__version__}, onnxruntime {onnxruntime.__version__}"
    onnx.helper.set_model_props(
        model, {"precision": str(job.precision), **scheme, "converted_with": versions}
    )


def _check_file(path: Path) -> None:
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise FormatError(f"onnx.checker refuses the model: {short(error)}") from error


def _storage_notes(target: Path) -> tuple[str, ...]:
    beside = data_file(target)
    return (f"weights are in {beside.name}, to be kept beside it",) if beside.exists() else ()
