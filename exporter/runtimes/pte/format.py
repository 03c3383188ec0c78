"""What is fixed about `.pte` files; imports nothing, so that running one loads no toolchain."""

from __future__ import annotations

DTYPES = {
    0: "uint8",
    1: "int8",
    2: "int16",
    3: "int32",
    4: "int64",
    5: "float16",
    6: "float32",
    7: "float64",
    11: "bool",
    15: "bfloat16",
}
"""ExecuTorch's ScalarType -> numpy's name; the numbers are those of c10/core/ScalarType.h."""

_MAGIC, _MARK = slice(4, 6), b"ET"
"""Where a flatbuffer names its schema, and what begins the name in a `.pte`."""


def is_pte(data: bytes) -> bool:
    """Whether a file that begins so says that it is one; ten bytes will do."""
    return data[_MAGIC] == _MARK
