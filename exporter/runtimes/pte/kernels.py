"""ExecuTorch's runtime in this process, with the quantized kernels registered."""

from __future__ import annotations

from functools import cache
from types import ModuleType

from exporter.base.quiet import hushed


@cache
def runtime() -> ModuleType:
    """`portable_lib`; importing it warns, and loads the kernels into the process."""
    with hushed():
        import executorch.kernels.quantized  # noqa: F401 (registers quantize and dequantize)
        from executorch.extension.pybindings import portable_lib
    return portable_lib


def available() -> frozenset[str]:
    """Kernels by name, such as `aten::add.out`."""
    return frozenset(runtime()._get_operator_names())
