"""The runtimes, one folder each. Adding one is adding a folder and a line in `RUNTIMES`.

Each folder has three modules, imported only when they are needed:

- `convert.py`: `convert(job: ConvertJob, check: CheckFn) -> Conversion` writes `job.target`.
- `run.py`: `Runner(path: Path, threads: int)`, a `RunnerApi`.
- `describe.py`: `describe(path: Path) -> Description`, which reads the file and runs nothing.

`libraries/` is no runtime: it knows what the libraries that Android apps ship can run.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from exporter.errors import FormatError
from exporter.types import Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from exporter.runtimes.api import Conversion, ConvertFn, DescribeFn, RunnerApi

RUNTIMES = {
    Format.PTL: "PyTorch Lite Interpreter",
    Format.PTE: "ExecuTorch",
    Format.ONNX: "ONNX Runtime",
    Format.TFLITE: "LiteRT",
}
"""Format -> the runtime's name as users know it."""

TAKES_QUANTIZED_GRAPH = frozenset({Format.PTL, Format.PTE})
"""Formats lowered from the shared PT2E graph (and half graph); the others quantize the artifact
with their own toolchain, which knows what their kernels fuse."""


def load_convert(format: Format) -> ConvertFn:
    """`convert` of a runtime; imports its toolchain."""
    return _module(format, "convert").convert


def load_convert_script() -> Callable[..., Conversion]:
    """`convert_script` of the Lite Interpreter, the one runtime that keeps control flow."""
    return _module(Format.PTL, "convert").convert_script


def load_runner(format: Format) -> type[RunnerApi]:
    """`Runner` of a runtime; imports the runtime itself.

    Raises:
        FormatError: the runtime is not installed.
    """
    return _module(format, "run").Runner


def load_describe(format: Format) -> DescribeFn:
    """`describe` of a runtime."""
    return _module(format, "describe").describe


def _module(format: Format, part: str) -> Any:
    try:
        return import_module(f"exporter.runtimes.{format.value}.{part}")
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("exporter"):
            raise
        raise FormatError(
            f"{RUNTIMES[format]} cannot be used: the package {error.name} is not installed "
            "(`export-mobile doctor` says how to mend it)"
        ) from error
