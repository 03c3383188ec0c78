"""Loads the modules of a runtime folder: the toolchain, or the runtime itself."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from exporter.errors import FormatError
from exporter.runtimes import runtime
from exporter.types import Format

if TYPE_CHECKING:
    from exporter.runtimes.api import ConvertFn, ConvertScriptFn, DescribeFn, RunnerApi


def load_convert(format: Format) -> ConvertFn:
    """`convert` of a runtime; imports its toolchain."""
    return _module(format, "convert").convert


def load_convert_script(format: Format) -> ConvertScriptFn:
    """`convert_script` of a runtime that keeps control flow."""
    return _module(format, "convert").convert_script


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
            f"{runtime(format).name} cannot be used: the package {error.name} is not installed "
            "(`export-mobile doctor` says how to mend it)"
        ) from error
