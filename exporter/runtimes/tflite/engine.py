"""LiteRT's interpreter, on this machine and on devices, in the types of the model.

Integer inputs and outputs of a fully quantized file are quantized and dequantized here, and 64-bit
tensors narrowed and widened. The agent takes this file to devices, where nothing else of this
package is.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Details = dict[str, dict[str, Any]]
"""Name in the file's signature -> the interpreter's account of the tensor."""

INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")
"""Packages with the same `Interpreter`, the maintained one first."""

_NARROWED = frozenset({("int32", "int64"), ("float32", "float64")})
"""(in the file, in the model): the converter stores 64-bit tensors in 32 bits."""


class Engine:
    """A .tflite. See `exporter.device.agent.engine.Engine`.

    Args:
        model: the file, or its content.
        threads: of the interpreter.
        refusal: see there.
        kernels: a name of the interpreter's `OpResolverType`; the default is XNNPACK where it can.

    Attributes:
        interpreter: LiteRT's own, once it is loaded.
        inputs: of the file, in the order of its graph.
        outputs: likewise.

    Raises:
        ModuleNotFoundError: neither interpreter is installed.
    """

    def __init__(
        self, model: Path | bytes, threads: int, refusal: type[Exception], kernels: str = "AUTO"
    ) -> None:
        self._package = _interpreter_module()
        self._model, self._threads, self._refusal = model, threads, refusal
        self._kernels = self._package.OpResolverType[kernels]
        package = self._package.__name__.partition(".")[0]
        self.name = f"{package.replace('_', '-')} {import_module(package).__version__}"
        self.failures: tuple[type[Exception], ...] = (RuntimeError, ValueError)

    def load(self) -> None:
        """Makes an interpreter and allocates its tensors."""
        held = isinstance(self._model, bytes)
        self.interpreter = self._package.Interpreter(
            **({"model_content": self._model} if held else {"model_path": str(self._model)}),
            num_threads=self._threads,
            experimental_op_resolver_type=self._kernels,
        )
        self.interpreter.allocate_tensors()
        self.inputs, self.outputs = _endpoints(self.interpreter)

    def bind(self, inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]]) -> None:
        """Finds the tensors by name."""
        self._takes = self._in_order(self.inputs, inputs)
        self._gives = self._in_order(self.outputs, outputs)
        self._dtypes = [dtype for _, dtype in outputs]

    def _in_order(self, details: Details, named: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
        if details.keys() != {name for name, _ in named}:
            raise self._refusal(f"the artifact's signature has other names: {', '.join(details)}")
        return [details[name] for name, _ in named]

    def feed(self, sample: Sequence[Array]) -> None:
        """Puts the inputs into the interpreter."""
        for detail, value in zip(self._takes, sample, strict=True):
            self.interpreter.set_tensor(detail["index"], self._to_file(value, detail))

    def invoke(self, inputs: None) -> None:  # noqa: ARG002 (they are in the interpreter)
        """One inference."""
        self.interpreter.invoke()

    def collect(self, outputs: None) -> list[Array]:  # noqa: ARG002 (likewise)
        """Copies of the interpreter's outputs."""
        return [
            _to_model(self.interpreter.get_tensor(detail["index"]), detail, dtype)
            for detail, dtype in zip(self._gives, self._dtypes, strict=True)
        ]

    def cause(self, error: Exception, log: str = "") -> str:  # noqa: ARG002 (it raises what it says)
        """The first line, without advice on old runtimes."""
        return str(error).strip().split("\n")[0].split(". An older version")[0]

    def _to_file(self, value: Array, detail: dict[str, Any]) -> Array:
        """As the file's type: q = round(x / scale) + zero_point, or narrowed."""
        dtype = np.dtype(detail["dtype"])
        if value.dtype == dtype:
            return np.asarray(value, order="C")  # ascontiguousarray would give a scalar a dimension
        if value.dtype == np.float32 and is_quantized(detail):
            scale, zero = _scale_and_zero(detail)
            limits = np.iinfo(dtype)
            return np.clip(np.round(value / scale) + zero, limits.min, limits.max).astype(dtype)
        if (dtype.name, value.dtype.name) not in _NARROWED:
            name = detail["name"]
            raise self._refusal(f"input {name} is {dtype} in the file, not {value.dtype}")
        narrow = value.astype(dtype)
        if dtype == np.int32 and not np.array_equal(narrow, value):
            raise self._refusal(f"input {detail['name']} holds a value beyond 32 bits")
        return narrow


def is_quantized(detail: dict[str, Any]) -> bool:
    """Whether a tensor of the file holds steps of a scale."""
    return len(detail["quantization_parameters"]["scales"]) > 0


def _interpreter_module() -> ModuleType:
    *others, last = INTERPRETERS
    for name in others:
        with suppress(ModuleNotFoundError):
            return import_module(name)
    return import_module(last)


def _endpoints(interpreter: Any) -> tuple[Details, Details]:
    """Inputs and outputs by name, in the order of the graph; tensor names without a signature."""
    inputs, outputs = interpreter.get_input_details(), interpreter.get_output_details()
    if not interpreter.get_signature_list():
        return {d["name"]: d for d in inputs}, {d["name"]: d for d in outputs}
    runner = interpreter.get_signature_runner()
    return (
        _ordered(runner.get_input_details(), inputs),
        _ordered(runner.get_output_details(), outputs),
    )


def _ordered(named: Details, tensors: list[dict[str, Any]]) -> Details:
    """A signature lists its names by the alphabet, the graph has them in call order."""
    order = [d["index"] for d in tensors]
    return dict(sorted(named.items(), key=lambda item: order.index(item[1]["index"])))


def _to_model(value: Array, detail: dict[str, Any], dtype: str) -> Array:
    """As the model's type: x = scale * (q - zero_point), or widened."""
    if value.dtype.name == dtype:
        return value
    if dtype == "float32" and is_quantized(detail):
        scale, zero = _scale_and_zero(detail)
        return (scale * (value.astype(np.float32) - zero)).astype(np.float32)
    # Any other difference is left for the comparison with the model to find.
    return value.astype(dtype) if (value.dtype.name, dtype) in _NARROWED else value


def _scale_and_zero(detail: dict[str, Any]) -> tuple[float, int]:
    parameters = detail["quantization_parameters"]
    return float(parameters["scales"][0]), int(parameters["zero_points"][0])
