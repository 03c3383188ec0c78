"""Worker targets that misbehave, importable from a spawned process."""

from __future__ import annotations

import errno
import os
import signal
import sys
from multiprocessing.connection import Connection

from exporter.errors import FormatError, UserError


def answers(connection: Connection, value: int) -> None:
    connection.send(value + 1)


def dies(connection: Connection, number: int) -> None:
    print("llvm: cannot lower this", file=sys.stderr, flush=True)
    os.kill(os.getpid(), number)


def exits(connection: Connection) -> None:
    os._exit(7)


def raises(connection: Connection, kind: str) -> None:
    if kind == "user":
        raise UserError("wrong shape", "use another")
    if kind == "format":
        raise FormatError("no kernel for aten.foo")
    if kind == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model.onnx")
    if kind == "memory":
        raise MemoryError
    raise KeyError("a bug of ours")


def stubborn(connection: Connection) -> None:
    signal.pause()


def stubborn_once_told(connection: Connection) -> None:
    connection.send("here")
    signal.pause()
