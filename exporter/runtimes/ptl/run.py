"""Runs a `.ptl` in the Lite Interpreter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch.jit.mobile import LiteScriptModule, _load_for_lite_interpreter

from exporter.errors import FormatError
from exporter.runtimes.ptl.archive import read_stored
from exporter.types import Array, Sample, Tensors, TensorSpec

ENGINE = "qnnpack"
"""The int8 engine of phones."""


class Runner:
    """A `.ptl` loaded in the Lite Interpreter; see `exporter.runtimes.api.RunnerApi`.

    Args:
        path: the file.
        threads: of one inference.

    Raises:
        FormatError: the file does not load, or this torch has no QNNPACK.
    """

    inputs: tuple[TensorSpec, ...]

    def __init__(self, path: Path, threads: int = 1) -> None:
        stored = read_stored(path)
        self.inputs = stored.signature.inputs if stored else ()
        self._dynamic_batch = stored is not None and stored.dynamic_batch
        self._path = path
        self._threads = threads
        self._before = (torch.backends.quantized.engine, torch.get_num_threads())
        self._module: LiteScriptModule | None = None

    def __enter__(self) -> Self:
        use_qnnpack()
        torch.set_num_threads(self._threads)
        try:
            self._module = _load_for_lite_interpreter(str(self._path))
        except RuntimeError as problem:
            self.__exit__()
            raise FormatError(f"`{self._path.name}` does not load: {first_line(problem)}") from None
        return self

    def __exit__(self, *exc: object) -> None:
        self._module = None
        torch.backends.quantized.engine, threads = self._before
        torch.set_num_threads(threads)

    def run(self, sample: Sample) -> Tensors:
        """One inference; the arrays given back are the caller's own.

        Raises:
            FormatError: the sample does not fit, or the interpreter fails.
        """
        if self._module is None:
            raise ValueError("a Runner runs only inside its `with` block")
        self._validate(sample)
        tensors = [torch.from_numpy(np.array(x)) for x in sample]
        try:
            with torch.no_grad():
                result = self._module(*tensors)
        except RuntimeError as problem:
            raise FormatError(f"the Lite Interpreter fails: {first_line(problem)}") from None
        return tuple(flatten(result))

    def _validate(self, sample: Sample) -> None:
        if not self.inputs:
            return  # made by another tool: the file states no signature
        if len(sample) != len(self.inputs):
            raise FormatError(f"{len(sample)} inputs given, the model takes {len(self.inputs)}")
        for array, spec in zip(sample, self.inputs, strict=True):
            free = int(self._dynamic_batch)
            fits = array.ndim == len(spec.shape) and array.shape[free:] == spec.shape[free:]
            if not fits or array.dtype.name != spec.dtype:
                raise FormatError(
                    f"input `{spec.name}` is {array.dtype.name}{list(array.shape)}, "
                    f"the model takes {spec.dtype}{list(spec.shape)}"
                )


def use_qnnpack() -> None:
    """Selects the int8 engine of phones.

    Raises:
        FormatError: this torch was built without it.
    """
    if ENGINE not in torch.backends.quantized.supported_engines:
        raise FormatError("this build of torch has no QNNPACK, which int8 in .ptl runs on")
    torch.backends.quantized.engine = ENGINE


def first_line(problem: Exception) -> str:
    """The sentence of a torch error that says what is wrong; the rest is its C++ stack."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    # Errors inside a graph open with a TorchScript traceback and end with their cause.
    cause = [line for line in lines if line.startswith(("RuntimeError: ", "Error: "))]
    return (cause or lines or [type(problem).__name__])[0][:300]


def flatten(result: Any) -> Iterator[Array]:
    """The tensors of a result in order, whatever tuples, lists and dicts they are in."""
    if isinstance(result, torch.Tensor):
        yield result.detach().numpy().copy()
    elif isinstance(result, dict):
        for value in result.values():
            yield from flatten(value)
    elif isinstance(result, list | tuple):
        for value in result:
            yield from flatten(value)
