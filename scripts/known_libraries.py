"""Lists what a known Android library contains, for `exporter/runtimes/libraries`.

    python scripts/known_libraries.py executorch libexecutorch.so > executorch.txt
    python scripts/known_libraries.py pytorch-lite libpytorch_jni_lite.so ops.txt > pytorch_lite.txt

`ops.txt` is what `scripts/pytorch_lite_operators.c` prints, for x86-64; the library may be of any
ABI with exported C++ names.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

_NAMESPACES = "aten|dim_order_ops|executorch_prim|llama|quantized_decomposed"
_KERNEL_NAME = re.compile(rf"(?<=\0)(?:{_NAMESPACES})::\w+(?:\.\w+)?(?=\0)".encode())
"""What ExecuTorch registers a kernel as."""

_LIBRARIES = ("aten", "prim", "prepacked", "quantized", "_quantized")
"""Of PyTorch Lite; its others (vulkan, sparse, profiling) are for no file of ours."""

_DECLARED = re.compile(rb"_ZN2at4_ops(\d+)(\w+)")
_COMPUTED = re.compile(
    rb"_ZN2at(?:3cpu|6native|\d+composite(?:explicit|implicit)autograd(?:nonfunctional)?)(\d+)(\w+)"
)
"""Mangled C++ functions, of an ATen operator and of a CPU kernel: length of the name, the name and
more."""


def executorch(library: bytes) -> list[str]:
    """Names of the registered kernels, from the library's strings."""
    return sorted({name.decode() for name in _KERNEL_NAME.findall(library)})


def pytorch_lite(library: bytes, listing: str) -> list[str]:
    """One line an operator: its name, then `OVERLOAD:ARGUMENTS` for each overload.

    ATen operators without a CPU kernel, such as those of CUDA, are left out: they have a schema
    only. A kernel's function has the operator's name, or goes on after it
    (`int_repr_quantized_cpu`).
    """
    declared = _names(_DECLARED, library)
    computed = {part for name in _names(_COMPUTED, library) for part in _beginnings(name)}
    grouped: dict[str, list[str]] = defaultdict(list)
    for line in listing.splitlines():
        full, arguments = line.split()
        name, _, overload = full.partition(".")
        namespace, _, plain = name.partition("::")
        # What is not declared so is TorchScript's own, and has its kernel beside its schema.
        is_aten = namespace == "aten" and f"{plain}_{overload}".rstrip("_") in declared
        if namespace in _LIBRARIES and (not is_aten or plain.rstrip("_") in computed):
            grouped[name].append(f"{overload}:{arguments}")
    return [f"{name} {' '.join(sorted(found))}" for name, found in sorted(grouped.items())]


def _beginnings(name: str) -> set[str]:
    """`a_b_c` -> `a`, `a_b`, `a_b_c`."""
    return {name, *(name[: found.start()] for found in re.finditer("_", name))}


def _names(pattern: re.Pattern[bytes], library: bytes) -> set[str]:
    return {rest[: int(size)].decode().rstrip("_") for size, rest in pattern.findall(library)}


def main(kind: str, library: str, listing: str = "") -> None:
    """Prints the list."""
    content = Path(library).read_bytes()
    if kind == "executorch":
        lines = executorch(content)
    else:
        lines = pytorch_lite(content, Path(listing).read_text())
    print("\n".join(lines))


if __name__ == "__main__":
    main(*sys.argv[1:])
