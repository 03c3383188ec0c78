"""Opens a model file in ONNX Runtime, on the CPU."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from exporter.errors import FormatError
from exporter.types import RunFn, Sample, Tensors

_ERRORS_ONLY = 3
"""ONNX Runtime's severity scale: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal."""


def open_session(
    path: Path, *, threads: int = 1, optimise: bool = True, optimised_copy: Path | None = None
) -> onnxruntime.InferenceSession:
    """Loads a model.

    Args:
        path: the model; external data lies beside it.
        threads: threads within an operator; operators run one after another.
        optimise: False runs every node as it is written, without fused or int8 kernels.
        optimised_copy: where to write the graph that really runs.

    Raises:
        FormatError: the runtime does not accept the file.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY + 1
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    if optimised_copy:
        options.optimized_model_filepath = str(optimised_copy)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no other base class
        reason = short(error).replace(str(path), path.name)
        raise FormatError(f"ONNX Runtime cannot load {path.name}: {reason}") from error


def run_fn(session: onnxruntime.InferenceSession) -> RunFn:
    """Runs samples by position: the sample's order is that of the model's inputs."""
    names = [i.name for i in session.get_inputs()]

    def run(sample: Sample) -> Tensors:
        try:
            outputs: Sequence[object] = session.run(None, dict(zip(names, sample, strict=True)))
        except Exception as error:
            raise FormatError(f"ONNX Runtime failed: {short(error)}") from error
        return tuple(outputs)  # type: ignore[arg-type]  # tensors all: torch exports no sequences

    return run


def short(error: Exception) -> str:
    """The first line of a toolchain's message, without its error code and length-limited."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", lines[0])
    return text if len(text) <= 300 else text[:297] + "..."
