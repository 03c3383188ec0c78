"""ONNX Runtime on the CPU, on this machine and on devices.

The agent takes this file to devices, where nothing else of this package is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_FATAL = 4
"""ONNX Runtime's severity scale: 0 verbose, 1 info, 2 warning, 3 error, 4 fatal."""

_LONGEST = 300
"""Characters of a quoted line."""


class Engine:
    """An .onnx; external data lies beside it. See `exporter.device.agent.engine.Engine`.

    Attributes:
        options: ONNX Runtime's, until it is loaded.
        session: ONNX Runtime's own, once it is loaded.
    """

    def __init__(self, model: Path, threads: int, refusal: type[Exception]) -> None:
        self._package = import_module("onnxruntime")
        self._model, self._refusal = model, refusal
        self.name = f"onnxruntime {self._package.__version__}"
        state = vars(import_module("onnxruntime.capi.onnxruntime_pybind11_state")).values()
        own = (e for e in state if isinstance(e, type) and issubclass(e, Exception))
        # They share no base class.
        self.failures: tuple[type[Exception], ...] = (*own, RuntimeError, ValueError, MemoryError)
        self.options = self._package.SessionOptions()
        self.options.intra_op_num_threads = threads
        self.options.inter_op_num_threads = 1
        self.options.log_severity_level = _FATAL  # the others are raised as well

    def load(self) -> None:
        """Opens a session."""
        self.session = self._package.InferenceSession(
            str(self._model), self.options, providers=["CPUExecutionProvider"]
        )
        self._names = [i.name for i in self.session.get_inputs()]

    def bind(self, inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]]) -> None:  # noqa: ARG002
        """Inputs go by position."""
        if len(self._names) != len(inputs):
            raise self._refusal(f"the artifact takes {len(self._names)} inputs, not {len(inputs)}")

    def feed(self, sample: Sequence[Array]) -> dict[str, Array]:
        """Arrays by name, contiguous as the runtime wants them."""
        # `ascontiguousarray` would give a scalar a dimension.
        return {n: np.asarray(x, order="C") for n, x in zip(self._names, sample, strict=True)}

    def invoke(self, inputs: dict[str, Array]) -> list[Array]:
        """One inference."""
        return self.session.run(None, inputs)

    def collect(self, outputs: list[Array]) -> list[Array]:
        """The runtime's arrays, which are the caller's already."""
        return [np.asarray(value) for value in outputs]

    def cause(self, error: Exception, log: str = "") -> str:  # noqa: ARG002 (it raises what it says)
        """See `short`."""
        return short(error)


def short(error: Exception) -> str:
    """The first line of a toolchain's message, without its error code and length-limited."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [repr(error)]
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : [A-Z_]+ : ", "", lines[0])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "..."
