"""Compiles the modules below a folder to bytecode. Runs in the Python that will load it.

    python3.13 compiler.py FOLDER replace|beside

`replace`: each `.py` becomes a `.pyc` in its place; `beside`: in `__pycache__`, where Python looks.
"""

from __future__ import annotations

import importlib.util
import marshal
import sys
from pathlib import Path

UNCHECKED_HASH = 0b01
"""Flags of a `.pyc` (PEP 552): the source is not looked at, nor need it be there."""

MARSHAL_VERSION = 2
"""The last that does not write objects by how often they are referred to, which differs from one
run to the next."""


def compiled(source: bytes, name: str) -> bytes:
    """The content of a `.pyc`; `name` is what tracebacks say."""
    code = compile(source, name, "exec", dont_inherit=True)
    head = importlib.util.MAGIC_NUMBER + UNCHECKED_HASH.to_bytes(4, "little")
    return head + importlib.util.source_hash(source) + marshal.dumps(code, MARSHAL_VERSION)


def main(folder: Path, replace: bool) -> None:
    """Compiles everything below `folder`."""
    for path in sorted(folder.rglob("*.py")):
        source = path.read_bytes()
        target = path.with_suffix(".pyc")
        if not replace:
            target = Path(importlib.util.cache_from_source(str(path), optimization=""))
            target.parent.mkdir(exist_ok=True)
        target.write_bytes(compiled(source, path.relative_to(folder).as_posix()))
        if replace:
            path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] == "replace")
