"""The Lite Interpreter of torch, on this machine and on devices.

The agent takes this file to devices, where nothing else of this package is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

QNNPACK = "qnnpack"
"""The int8 engine of phones."""

_LONGEST = 300
"""Characters of a quoted line."""


class Engine:
    """A .ptl, int8 by QNNPACK as on phones. See `exporter.device.agent.engine.Engine`.

    Which int8 engine torch takes, and its threads, are settings of the process.
    """

    def __init__(self, model: Path, threads: int, refusal: type[Exception]) -> None:
        self._torch = import_module("torch")
        self._open = import_module("torch.jit.mobile")._load_for_lite_interpreter
        self._model, self._threads, self._refusal = model, threads, refusal
        self.name = f"torch {self._torch.__version__}"
        self.failures: tuple[type[Exception], ...] = (RuntimeError, ValueError)

    def load(self) -> None:
        """Makes the settings and loads the module."""
        use_qnnpack(self._refusal)
        self._torch.set_num_threads(self._threads)
        self._module = self._open(str(self._model))

    def bind(self, inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]]) -> None:
        """The file states no signature to hold against this one."""

    def feed(self, sample: Sequence[Array]) -> list[Any]:
        """Tensors of copies: the module may change its inputs."""
        return [self._torch.from_numpy(np.array(x)) for x in sample]

    def invoke(self, inputs: list[Any]) -> Any:
        """One inference."""
        with self._torch.inference_mode():
            return self._module(*inputs)

    def collect(self, outputs: Any) -> list[Array]:
        """See `flatten`."""
        return list(flatten(outputs))

    def cause(self, error: Exception, log: str = "") -> str:  # noqa: ARG002 (it raises what it says)
        """See `first_line`."""
        return first_line(error)


def use_qnnpack(refusal: type[Exception]) -> None:
    """Selects the int8 engine of phones.

    Raises:
        refusal: this torch was built without it.
    """
    engines = import_module("torch").backends.quantized
    if QNNPACK not in engines.supported_engines:
        raise refusal("this build of torch has no QNNPACK, which int8 in .ptl runs on")
    engines.engine = QNNPACK


def first_line(problem: Exception) -> str:
    """The sentence of a torch error that says what is wrong; the rest is its C++ stack."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    # Errors inside a graph open with a TorchScript traceback and end with their cause.
    cause = [line for line in lines if line.startswith(("RuntimeError: ", "Error: "))]
    line = (cause or lines or [type(problem).__name__])[0]
    return line.partition(". This is an internal miniz error")[0][:_LONGEST]


def flatten(result: Any) -> Iterator[Array]:
    """Copies of the tensors of a result in order, whatever tuples, lists and dicts they are in."""
    if isinstance(result, dict | list | tuple):
        for value in result.values() if isinstance(result, dict) else result:
            yield from flatten(value)
    elif isinstance(result, import_module("torch").Tensor):
        yield result.detach().numpy().copy()
