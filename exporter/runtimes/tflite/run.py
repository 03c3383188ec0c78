"""Runs a .tflite file in LiteRT's interpreter."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from enum import Enum
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Self

import numpy as np

from exporter.errors import FormatError
from exporter.runtimes.tflite.signature import read
from exporter.types import Array, Sample, Signature, Tensors, TensorSpec

INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""Packages with the same `Interpreter`, the maintained one first."""

_NARROWED = {("int32", "int64"), ("float32", "float64")}
"""(in the file, in the model): the converter stores 64-bit tensors in 32 bits."""


class Kernels(Enum):
    """Which kernels execute the graph."""

    DELEGATED = "AUTO"
    """XNNPACK where it can, as in an app."""

    PLAIN = "BUILTIN_WITHOUT_DEFAULT_DELEGATES"
    """The interpreter's own, one operator at a time. `BUILTIN_REF` would be plainer still, and
    takes eight times as long."""


class Runner:
    """A .tflite file loaded in LiteRT.

    Takes and gives the model's own signature: integer inputs and outputs of a fully quantized
    file are quantized and dequantized here, and 64-bit tensors narrowed and widened.

    Args:
        path: the file.
        threads: of the interpreter.
        kernels: which kernels execute the graph.

    Raises:
        FormatError: the file does not load, or neither interpreter is installed.
    """

    def __init__(self, path: Path, threads: int = 1, kernels: Kernels = Kernels.DELEGATED) -> None:
        self._name = path.name
        try:
            content = path.read_bytes()
            stored = read(content)
        except (OSError, ValueError) as error:
            raise FormatError(f"{path.name} does not load: {error}") from error
        self._interpreter = load(content, threads, kernels, path.name)
        inputs, outputs = _endpoints(self._interpreter)
        signature = stored or Signature(_specs_of(inputs), _specs_of(outputs))
        self._inputs = _in_order(inputs, signature.inputs, path.name)
        self._outputs = _in_order(outputs, signature.outputs, path.name)
        self.inputs = signature.inputs
        self.outputs = signature.outputs

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        del self._interpreter  # frees the arena; the object is of no use afterwards

    def run(self, sample: Sample) -> Tensors:
        """Outputs for one sample, as copies.

        Raises:
            FormatError: the sample does not fit the signature, or the interpreter fails.
        """
        if len(sample) != len(self.inputs):
            raise FormatError(f"{self._name} takes {len(self.inputs)} inputs, not {len(sample)}")
        for spec, detail, value in zip(self.inputs, self._inputs, sample, strict=True):
            _validate(spec, value)
            self._interpreter.set_tensor(detail["index"], _to_file(value, detail))
        try:
            self._interpreter.invoke()
            outputs = [self._interpreter.get_tensor(d["index"]) for d in self._outputs]
        except (RuntimeError, ValueError) as error:
            raise FormatError(f"LiteRT cannot run {self._name}: {_one_line(error)}") from error
        return tuple(
            _to_model(value, detail, spec.dtype)
            for value, detail, spec in zip(outputs, self._outputs, self.outputs, strict=True)
        )


def load(content: bytes, threads: int, kernels: Kernels, name: str) -> Any:
    """An interpreter with its tensors allocated.

    Args:
        content: of a .tflite file.
        threads: of the interpreter.
        kernels: which kernels execute the graph.
        name: what to call the file in an error.

    Raises:
        FormatError: the content is damaged, or an operator has no kernel.
    """
    module = _interpreter_module()
    try:
        with _hushed():
            interpreter = module.Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_op_resolver_type=module.OpResolverType[kernels.value],
            )
            interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise FormatError(f"{name} does not load in LiteRT: {_one_line(error)}") from error
    return interpreter


def _interpreter_module() -> ModuleType:
    for name in INTERPRETERS:
        with contextlib.suppress(ModuleNotFoundError):
            return import_module(name)
    raise FormatError(
        "a .tflite file needs a runtime: `pip install ai-edge-litert` (or tflite-runtime)"
    )


@contextlib.contextmanager
def _hushed() -> Iterator[None]:
    """Drops what C++ prints to stderr: LiteRT announces its delegate there at each load."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


_Details = dict[str, dict[str, Any]]
"""Name in the file's signature -> the interpreter's account of the tensor."""


def _endpoints(interpreter: Any) -> tuple[_Details, _Details]:
    """Inputs and outputs by name, in the order of the graph; tensor names without a signature."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if not interpreter.get_signature_list():
        return {d["name"]: d for d in inputs}, {d["name"]: d for d in outputs}
    runner = interpreter.get_signature_runner()
    return (
        _ordered(runner.get_input_details(), inputs),
        _ordered(runner.get_output_details(), outputs),
    )


def _ordered(named: _Details, tensors: list[dict[str, Any]]) -> _Details:
    """A signature lists its names by the alphabet, the graph has them in call order."""
    order = [d["index"] for d in tensors]
    return dict(sorted(named.items(), key=lambda item: order.index(item[1]["index"])))


def _in_order(details: _Details, specs: tuple[TensorSpec, ...], name: str) -> list[dict[str, Any]]:
    if details.keys() != {s.name for s in specs}:
        raise FormatError(f"{name} does not load: its signature and its metadata differ")
    return [details[spec.name] for spec in specs]


def _specs_of(details: _Details) -> tuple[TensorSpec, ...]:
    """What a file without our metadata takes or gives; quantized tensors count as float."""
    return tuple(
        TensorSpec(
            name,
            tuple(int(n) for n in d["shape"]),
            "float32" if _quantized(d) else np.dtype(d["dtype"]).name,
        )
        for name, d in details.items()
    )


def _quantized(detail: dict[str, Any]) -> bool:
    return len(detail["quantization_parameters"]["scales"]) > 0


def _validate(spec: TensorSpec, value: Array) -> None:
    if value.shape != spec.shape or value.dtype.name != spec.dtype:
        raise FormatError(
            f"input {spec.name} is {value.dtype.name} {list(value.shape)}, "
            f"the model takes {spec.dtype} {list(spec.shape)}"
        )


def _to_file(value: Array, detail: dict[str, Any]) -> Array:
    """A value of the model's type as the file's: q = round(x / scale) + zero_point, or narrowed."""
    dtype = np.dtype(detail["dtype"])
    if value.dtype == dtype:
        return np.asarray(value, order="C")  # ascontiguousarray would give a scalar a dimension
    if value.dtype == np.float32 and _quantized(detail):
        scale, zero = _scale_and_zero(detail)
        limits = np.iinfo(dtype)
        steps = np.round(value / scale) + zero
        return np.clip(steps, limits.min, limits.max).astype(dtype)
    if (dtype.name, value.dtype.name) not in _NARROWED:
        raise FormatError(f"input {detail['name']} is {dtype.name} in the file")
    narrow = value.astype(dtype)
    if dtype == np.int32 and not np.array_equal(narrow, value):
        raise FormatError(f"input {detail['name']} holds a value beyond 32 bits")
    return narrow


def _to_model(value: Array, detail: dict[str, Any], dtype: str) -> Array:
    """The way back: x = scale * (q - zero_point), or widened."""
    if value.dtype.name == dtype:
        return value
    if dtype == "float32" and _quantized(detail):
        scale, zero = _scale_and_zero(detail)
        return (scale * (value.astype(np.float32) - zero)).astype(np.float32)
    # Any other difference is left for the comparison with the model to find.
    return value.astype(dtype) if (value.dtype.name, dtype) in _NARROWED else value


def _scale_and_zero(detail: dict[str, Any]) -> tuple[float, int]:
    parameters = detail["quantization_parameters"]
    return float(parameters["scales"][0]), int(parameters["zero_points"][0])


def _one_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].split(". An older version")[0]
