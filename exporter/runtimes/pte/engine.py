"""ExecuTorch on devices, and what its two packages have in common.

A device has `executorch_numpy_runtime`, which needs no torch. This machine's runner has the runtime
of `executorch` itself, which needs torch: it is the version that made the file, it tells the sizes
of inputs ahead, and it runs on Python 3.11, for which the other package is not made.

The agent takes this file to devices, where nothing else of this package is.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

METHOD = "forward"

_LOGGED = re.compile(r"^E \S+ executorch:\S+\] (?!Input \d+ has not been set)(.*)$", re.MULTILINE)


class Engine:
    """A .pte: XNNPACK with the portable, optimized and quantized kernels.

    See `exporter.device.agent.engine.Engine`.
    """

    def __init__(self, model: Path, threads: int, refusal: type[Exception]) -> None:
        self._package = import_module("executorch_numpy_runtime")
        self._model, self._threads, self._refusal = model, threads, refusal
        self.name = f"executorch {self._package.__et_version__}"
        self.failures: tuple[type[Exception], ...] = (self._package.ExecuTorchError,)

    def load(self) -> None:
        """Loads program and method."""
        self._set_threads()
        # `Method` would turn a scalar into a vector, so the object below it is used.
        self._program = self._package.Runtime.get().load_program(str(self._model))._rt
        # A method is loaded by its first call. This one goes no further, for want of inputs; if
        # it is the loading that fails, the first real call says so.
        with suppress(*self.failures):
            self._program.run_method(METHOD, [])

    def bind(self, inputs: Sequence[tuple[str, str]], outputs: Sequence[tuple[str, str]]) -> None:  # noqa: ARG002
        """Inputs go by position."""
        takes = self._program.method_meta(METHOD)["num_inputs"]
        if takes != len(inputs):
            raise self._refusal(f"the artifact takes {takes} inputs, not {len(inputs)}")

    def feed(self, sample: Sequence[Array]) -> list[Array]:
        """The arrays themselves."""
        return list(sample)

    def invoke(self, inputs: list[Array]) -> list[Any]:
        """One inference."""
        return self._program.run_method(METHOD, inputs)

    def collect(self, outputs: list[Any]) -> list[Array]:
        """Arrays of tensors and of numbers."""
        return [as_array(value) for value in outputs]

    def cause(self, error: Exception, log: str = "") -> str:
        """ExecuTorch explains itself in its log alone."""
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        return next(iter((*_LOGGED.findall(log), *lines)), "")

    def _set_threads(self) -> None:
        """The package has no setting, but it exports ExecuTorch's own; all programs share a pool.

        The names are those that GCC gives to `get_threadpool()` and to members of `ThreadPool`.
        """
        library = ctypes.CDLL(import_module("executorch_numpy_runtime._core").__file__)
        prefix = "_ZN10executorch9extension10threadpool"
        get = library[f"{prefix}14get_threadpoolEv"]
        get.restype = ctypes.c_void_p
        reset = library[f"{prefix}10ThreadPool24_unsafe_reset_threadpoolEj"]
        reset.argtypes, reset.restype = (ctypes.c_void_p, ctypes.c_uint32), ctypes.c_bool
        if not reset(get(), self._threads):
            raise self._refusal(f"ExecuTorch refuses {self._threads} threads")


def as_array(value: Any) -> Array:
    """An output; numbers that are no tensors become what PyTorch makes of them."""
    dtypes = {bool: np.bool_, int: np.int64, float: np.float32}
    return np.asarray(value, dtypes.get(type(value)))
