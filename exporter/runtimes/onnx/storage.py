"""Writes a model as one file, or with its weights beside it where one file cannot hold them."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
from onnx import numpy_helper
from onnx.external_data_helper import load_external_data_for_model

SINGLE_FILE_LIMIT = 2_000_000_000
"""Bytes of weights up to which a model is one file. Protocol buffers end at 2**31 - 1 bytes; what
is left is for the graph itself."""

_SMALLEST_EXTERNAL = 1024
"""Bytes; smaller tensors stay in the model file, as the operators' shapes are read from them."""


def data_file(path: Path) -> Path:
    """Where the weights of `path` lie when they do not fit into it."""
    return path.with_name(f"{path.name}.data")


def weight_bytes(model: onnx.ModelProto) -> int:
    """Bytes of all weights, which may be more than a serialised model can hold."""
    return sum(len(tensor.raw_data) for tensor in model.graph.initializer)


def save(model: onnx.ModelProto, path: Path, limit: int = SINGLE_FILE_LIMIT) -> None:
    """Writes `path`, and `<path>.data` beside it when the weights exceed `limit` bytes."""
    beside = data_file(path)
    beside.unlink(missing_ok=True)  # onnx would append to it
    _make_raw(model)
    if weight_bytes(model) <= limit:
        onnx.save_model(model, path)
        return
    onnx.save_model(
        model,
        path,
        save_as_external_data=True,
        all_tensors_to_one_file=True,
        location=beside.name,
        size_threshold=_SMALLEST_EXTERNAL,
    )
    load_external_data_for_model(model, str(path.parent))  # saving had emptied the weights


def _make_raw(model: onnx.ModelProto) -> None:
    """Stores all weights as plain bytes: quantizers leave some as lists, which stay inside."""
    for tensor in model.graph.initializer:
        if not tensor.HasField("raw_data"):
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor), tensor.name))


def move(source: Path, target: Path) -> None:
    """Moves a saved model to `target`, which has the same file name, with its data file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    data_file(target).unlink(missing_ok=True)
    for file in (data_file(source), source):
        if file.exists():
            shutil.copyfile(file, target.with_name(file.name))  # may be another file system
            file.unlink()
