"""Opens a model file in ONNX Runtime on this machine."""

from __future__ import annotations

from pathlib import Path

import onnxruntime

from exporter.errors import FormatError
from exporter.runtimes.onnx.engine import Engine
from exporter.types import RunFn, Sample, Tensors


def open_session(
    path: Path, *, threads: int = 1, optimise: bool = True, optimised_copy: Path | None = None
) -> Engine:
    """Loads a model.

    Args:
        path: the model; external data lies beside it.
        threads: threads within an operator; operators run one after another.
        optimise: False runs every node as it is written, without fused or int8 kernels.
        optimised_copy: where to write the graph that really runs.

    Raises:
        FormatError: the runtime does not accept the file.
    """
    engine = Engine(path, threads, FormatError)
    level = onnxruntime.GraphOptimizationLevel
    if not optimise:
        engine.options.graph_optimization_level = level.ORT_DISABLE_ALL
    if optimised_copy:
        engine.options.optimized_model_filepath = str(optimised_copy)
    try:
        engine.load()
    except engine.failures as error:
        reason = engine.cause(error).replace(str(path), path.name)
        raise FormatError(f"ONNX Runtime cannot load {path.name}: {reason}") from error
    return engine


def run_fn(engine: Engine) -> RunFn:
    """Runs samples by position: the sample's order is that of the model's inputs."""

    def run(sample: Sample) -> Tensors:
        try:
            return tuple(engine.collect(engine.invoke(engine.feed(sample))))
        except engine.failures as error:
            raise FormatError(f"ONNX Runtime failed: {engine.cause(error)}") from error

    return run
