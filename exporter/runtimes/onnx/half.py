"""Makes a float16 model of a float32 one; its inputs and outputs stay float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnxruntime.transformers.float16 import convert_float_to_float16

from exporter.runtimes.onnx.engine import short
from exporter.runtimes.onnx.graph import float_weights, prepare, replace_nodes, replace_weights
from exporter.runtimes.onnx.quiet import quiet
from exporter.runtimes.onnx.session import open_session, run_fn
from exporter.runtimes.onnx.storage import save
from exporter.types import Array, Sample, Tensors

_LARGEST = float(np.finfo(np.float16).max)

_MASKED = -1e30
"""What lies below stands for minus infinity in an attention mask. The converter makes -65504 of it,
which hides a score just as well."""


def to_half(model: ModelProto, example: Sample, folder: Path) -> tuple[ModelProto, tuple[str, ...]]:
    """Converts weights and compute to float16.

    Where that does not run, or runs out of float16's range (65504), only the weights become
    float16, and the runtime computes in float32.

    Args:
        model: float model, simplified; may be changed in place.
        example: one sample, to see whether the result runs.
        folder: for temporary files.

    Returns:
        The model, and notes for the user.
    """
    prepare(model)
    problem = _overflow(model, example, folder)
    if not problem:
        try:
            with quiet():
                converted = _sorted(convert_float_to_float16(_copy(model), keep_io_types=True))
            prepare(converted)
            _outputs(converted, example, folder)
        except Exception as error:  # plain Python behind it: any built-in exception
            problem = short(error)
        else:
            return converted, ()
    _half_weights(model)
    return model, (f"float16 weights, float32 compute: {problem}",)


def _sorted(model: ModelProto) -> ModelProto:
    """Nodes in execution order: the converter appends its casts at the end."""
    sorted_model = ir.from_proto(model)
    sorted_model.graph.sort()
    return ir.to_proto(sorted_model)


def _copy(model: ModelProto) -> ModelProto:
    copy = ModelProto()
    copy.CopyFrom(model)
    return copy


def _overflow(model: ModelProto, example: Sample, folder: Path) -> str:
    """Says which value of the float model float16 cannot hold, or "".

    Looked for here and not in the result: on a host without float16 kernels ONNX Runtime computes
    chains of operators in float32, and only a phone would overflow.
    """
    for name, tensor in float_weights(model.graph).items():
        if _largest(numpy_helper.to_array(tensor)) > _LARGEST:
            return f"the constant {name} is more than float16 holds"
    probe = onnx.shape_inference.infer_shapes(_copy(model))
    public = {value.name for value in probe.graph.output}
    inner = [v for v in probe.graph.value_info if v.type.tensor_type.elem_type == TensorProto.FLOAT]
    probe.graph.output.extend(v for v in inner if v.name not in public)
    names = [value.name for value in probe.graph.output]
    for name, value in zip(names, _outputs(probe, example, folder), strict=True):
        if value.dtype == np.float32 and _largest(value) > _LARGEST:
            return f"{name} reaches {_largest(value):.3g}, more than float16 holds"
    return ""


def _largest(array: Array) -> float:
    return float(np.abs(array[array > _MASKED]).max(initial=0.0))


def _outputs(model: ModelProto, example: Sample, folder: Path) -> Tensors:
    path = folder / "half.onnx"
    save(model, path)
    return run_fn(open_session(path, optimise=False))(example)


def _half_weights(model: ModelProto) -> None:
    """Stores weights as float16 where it can hold them; ONNX Runtime folds the cast to float32
    when it loads the model."""
    tensors = float_weights(model.graph)
    weights = {n: t for n, t in tensors.items() if _largest(numpy_helper.to_array(t)) <= _LARGEST}
    stored, casts = [], []
    for name, tensor in weights.items():
        half = numpy_helper.to_array(tensor).astype(np.float16)
        stored.append(numpy_helper.from_array(half, f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    replace_nodes(model.graph, (*casts, *model.graph.node))
    replace_weights(model.graph, set(weights), stored)
