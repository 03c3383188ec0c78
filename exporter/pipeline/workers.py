"""Worker processes: toolchains and runtimes are native code that may abort, and print a lot.

A worker runs one function, sends messages through a pipe, and has its stdout and stderr in a log
file. If it dies, the others go on and its last words become the reason.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from exporter.errors import FormatError, UserError

T = TypeVar("T")
Target = Callable[..., None]
"""Called in the worker as `target(connection, *args)`."""

_CONTEXT = multiprocessing.get_context("spawn")  # fork would copy torch's thread pools half-alive
_LAST_WORDS = 300


@dataclass(frozen=True)
class Raised:
    """What a worker sends when its target raised; `raise_in_parent` turns it back."""

    kind: str
    message: str
    hint: str = ""

    def raise_in_parent(self) -> None:
        """Raises the same error on this side; a bug keeps the worker's traceback as its text."""
        if self.kind == "user":
            raise UserError(self.message, self.hint)
        if self.kind == "format":
            raise FormatError(self.message)
        raise WorkerBugError(self.message)


class WorkerBugError(RuntimeError):
    """An unexpected exception in a worker; the text is its traceback."""


@dataclass
class Worker(Generic[T]):
    """A running worker process.

    Attributes:
        tag: what the caller knows it by.
        process: the process.
        connection: the parent's end of the pipe.
        log: file with everything it printed.
    """

    tag: T
    process: BaseProcess
    connection: Connection
    log: Path

    @classmethod
    def start(
        cls, tag: T, target: Target, args: tuple[Any, ...], log: Path, threads: int
    ) -> Worker[T]:
        """Starts `target(connection, *args)` in a fresh interpreter with `threads` threads."""
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(
            target=_main, args=(theirs, log, threads, target, args), daemon=True
        )
        process.start()
        theirs.close()
        return cls(tag, process, ours, log)

    def receive(self) -> Any:
        """The next message.

        Raises:
            FormatError: the worker died; names the signal and its last words.
        """
        try:
            message = self.connection.recv()
        except (EOFError, ConnectionResetError):
            raise FormatError(self._obituary()) from None
        if isinstance(message, Raised):
            message.raise_in_parent()
        return message

    def ask(self, *question: Any) -> Any:
        """Sends a question and waits for the answer."""
        try:
            self.connection.send(question)
        except (BrokenPipeError, ConnectionResetError):
            raise FormatError(self._obituary()) from None
        return self.receive()

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self.connection.close()
        if self.process.is_alive():
            self.process.kill()
        self.process.join()

    def _obituary(self) -> str:
        self.process.join(timeout=10)
        code = self.process.exitcode
        if code is not None and code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:
                how += " (out of memory?)"
        else:
            how = f"ended with exit code {code}"
        words = _last_words(self.log)
        return f"the native code {how}" + (f"; it said: {words}" if words else "")


def ready(workers: list[Worker[T]]) -> list[Worker[T]]:
    """Blocks until at least one worker has a message or has died, and returns those."""
    by_connection: dict[Any, Worker[T]] = {w.connection: w for w in workers}
    return [by_connection[c] for c in wait(list(by_connection))]


def _last_words(log: Path) -> str:
    if not log.exists():
        return ""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-_LAST_WORDS:]


def _main(
    connection: Connection, log: Path, threads: int, target: Target, args: tuple[Any, ...]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it stops us
    sink = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(sink, sys.stdout.fileno())
    os.dup2(sink, sys.stderr.fileno())
    os.environ["OMP_NUM_THREADS"] = str(threads)
    try:
        target(connection, *args)
    except UserError as error:
        connection.send(Raised("user", error.message, error.hint))
    except FormatError as error:
        connection.send(Raised("format", error.reason))
    except (EOFError, BrokenPipeError):
        pass  # the parent has gone
    except Exception:
        connection.send(Raised("bug", traceback.format_exc()))
    finally:
        connection.close()
