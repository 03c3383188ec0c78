"""Worker targets that misbehave, importable from a spawned process."""

from __future__ import annotations

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
    raise KeyError("a bug of ours")


def stubborn(connection: Connection) -> None:
    signal.pause()
