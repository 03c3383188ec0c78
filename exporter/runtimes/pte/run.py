"""A `.pte` in ExecuTorch's own C++ runtime, on this machine."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from exporter.errors import FormatError
from exporter.runtimes.pte.engine import METHOD, as_array
from exporter.runtimes.pte.format import DTYPES, is_pte
from exporter.runtimes.pte.kernels import runtime
from exporter.runtimes.pte.quiet import NativeLog
from exporter.types import Sample, Tensors, TensorSpec

_CODES = {
    0x01: "internal error",
    0x02: "the runtime is in the wrong state",
    0x10: "an operator or delegate does not support what it was given",
    0x11: "something is not implemented",
    0x12: "an operator was given an argument that is wrong",
    0x13: "a value has the wrong type",
    0x14: "an operator has no kernel in this runtime",
    0x20: "something the file refers to was not found",
    0x21: "not enough memory",
    0x22: "the file cannot be read",
    0x23: "the file is damaged or is not a .pte",
    0x24: "the file's external data is damaged",
    0x25: "not enough resources",
    0x30: "the delegate was made for another version",
    0x31: "the delegate ran out of memory",
    0x32: "the delegate is not in this runtime",
}
"""ExecuTorch's codes in words, after runtime/core/error.h of ExecuTorch 1.4."""

_CODE = re.compile(r"0x:?([0-9a-fA-F]+)")
_LOG_LINE = re.compile(r"^\[\w+\.cpp:\d+\] (.*)$", re.MULTILINE)


class Runner:
    """See `RunnerApi`. The file is loaded on entering.

    Args:
        path: the file.
        threads: size of XNNPACK's pool; a process has one pool for all its runners.
    """

    def __init__(self, path: Path, threads: int = 1) -> None:
        self.inputs: tuple[TensorSpec, ...] = ()
        self._path = path
        self._threads = threads
        self._log = NativeLog()

    def __enter__(self) -> Self:
        with self._path.open("rb") as file:
            if not is_pte(file.read(16)):
                raise FormatError(f"{self._path.name} is not a .pte file")
        library = runtime()
        with self._log.capturing():
            library._unsafe_reset_threadpool(self._threads)
            self._log.take()
            try:
                self._program = library._load_program(
                    str(self._path), program_verification=library.Verification.InternalConsistency
                )
                self._method = self._program.load_method(METHOD)
            except RuntimeError as error:
                raise FormatError(f"ExecuTorch cannot load the file: {self._why(error)}") from error
        self._log.take()
        self.inputs = _inputs(self._method.method_meta())
        return self

    def __exit__(self, *exc: object) -> None:
        # The method points into the program, so it goes first.
        del self._method
        del self._program
        self._log.close()

    def run(self, sample: Sample) -> Tensors:
        """One inference; sizes may be smaller than `inputs` says where the batch may vary."""
        self._validate(sample)
        tensors = [torch.from_numpy(np.array(x, order="C")) for x in sample]
        with self._log.capturing():
            try:
                outputs = self._method.call(tensors)
            except RuntimeError as error:
                raise FormatError(f"ExecuTorch fails to run: {self._why(error)}") from error
        return tuple(
            o.numpy().copy() if isinstance(o, torch.Tensor) else as_array(o) for o in outputs
        )

    def _validate(self, sample: Sample) -> None:
        if len(sample) != len(self.inputs):
            raise FormatError(f"the model takes {len(self.inputs)} inputs, not {len(sample)}")
        for spec, array in zip(self.inputs, sample, strict=True):
            if array.dtype.name != spec.dtype:
                raise FormatError(f"{spec.name} must be {spec.dtype}, not {array.dtype.name}")
            too_large = any(a > b for a, b in zip(array.shape, spec.shape, strict=False))
            if array.ndim != len(spec.shape) or too_large:
                raise FormatError(f"{spec.name} must be {spec.shape}, not {array.shape}")

    def _why(self, error: RuntimeError) -> str:
        """The code in words, with what the runtime logged first about this failure."""
        code = _CODE.search(str(error))
        meaning = _CODES.get(int(code.group(1), 16), str(error)) if code else str(error)
        lines = _LOG_LINE.findall(self._log.take())
        return f"{meaning} ({lines[0]})" if lines else meaning


def _inputs(meta: Any) -> tuple[TensorSpec, ...]:
    tensors = [meta.input_tensor_meta(i) for i in range(meta.num_inputs())]
    return tuple(
        TensorSpec(f"input_{i}", tuple(t.sizes()), DTYPES[t.dtype()]) for i, t in enumerate(tensors)
    )
