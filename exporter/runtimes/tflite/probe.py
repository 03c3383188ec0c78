"""Runs a .tflite file with all its tensors kept, those inside included."""

from __future__ import annotations

from typing import Any

from ai_edge_litert.interpreter import Interpreter, OpResolverType

from exporter.base.quiet import STDERR, silenced
from exporter.types import Array, Sample


class Probe:
    """A file as the converter wrote it, on the interpreter's own kernels.

    Args:
        content: of a float .tflite.
        inputs: numbers of the tensors that take a sample.
    """

    def __init__(self, content: bytes, inputs: tuple[int, ...]) -> None:
        self._inputs = inputs
        with silenced(STDERR):
            self._interpreter = Interpreter(
                model_content=content,
                num_threads=1,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )
            self._interpreter.allocate_tensors()
        details: list[dict[str, Any]] = self._interpreter.get_tensor_details()
        self._dtypes = {d["index"]: d["dtype"] for d in details}

    def run(self, sample: Sample) -> None:
        """One inference; 64-bit inputs are narrowed to what the file takes."""
        for number, value in zip(self._inputs, sample, strict=True):
            self._interpreter.set_tensor(number, value.astype(self._dtypes[number]))
        self._interpreter.invoke()

    def value(self, number: int) -> Array:
        """A copy of a tensor after the last run."""
        return self._interpreter.get_tensor(number)
