"""Worker processes: toolchains and runtimes are native code that may abort, and print a lot.

A worker runs one function, sends messages through a pipe, and has its stdout and stderr in a log
file. If it dies, the others go on and its last words become the reason.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from exporter.errors import FormatError, UserError, refusal

T = TypeVar("T")
Target = Callable[..., None]
"""Called in the worker as `target(connection, *args)`."""

_PR_SET_PDEATHSIG = 1
"""Of <linux/prctl.h>."""
_LAST_WORDS = 300
_GRACE_SECONDS = 5.0


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
    process: subprocess.Popen[bytes]
    connection: Connection
    log: Path

    @classmethod
    def start(
        cls,
        tag: T,
        target: Target,
        args: tuple[Any, ...],
        log: Path,
        threads: int,
        temporary: Path | None = None,
    ) -> Worker[T]:
        """Starts `target(connection, *args)` in a fresh interpreter with `threads` threads.

        Args:
            tag: what the caller knows it by.
            target: a function that can be imported.
            args: for it.
            log: for what it prints.
            threads: of the native code in it.
            temporary: folder for its temporary files; None for the usual one.
        """
        ours, theirs = Pipe()
        place = {"TMPDIR": str(temporary.absolute())} if temporary else {}
        with log.open("ab") as sink:
            process = subprocess.Popen(
                # -P: a random.py in the user's folder must not shadow the standard library's.
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "OMP_NUM_THREADS": str(threads), **place},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
            )
        theirs.close()
        worker = cls(tag, process, ours, log)
        worker.send(sys.path)  # the target may live where only this process looks
        worker.send((target, args))
        return worker

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

    def send(self, message: Any) -> None:
        """Sends a message.

        Raises:
            FormatError: the worker died; names the signal and its last words.
        """
        try:
            self.connection.send(message)
        except (BrokenPipeError, ConnectionResetError):
            raise FormatError(self._obituary()) from None

    def ask(self, *question: Any) -> Any:
        """Sends a question and waits for the answer."""
        self.send(question)
        return self.receive()

    def stop(self) -> None:
        """Ends the process, whatever it is doing."""
        self.connection.close()
        self.process.kill()
        self.process.wait()

    def finish(self) -> None:
        """Lets a worker that has nothing left to do end by itself."""
        self.connection.close()
        try:
            self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            self.stop()

    def _obituary(self) -> str:
        try:
            code = self.process.wait(_GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            return "the worker process closed its pipe without a word"
        if code < 0:
            how = f"was killed by {signal.Signals(-code).name}"
            if -code == signal.SIGKILL:  # from outside: what it said last has no bearing
                return f"the native code {how} (out of memory?)"
        else:
            how = f"ended with exit code {code}"
        words = _last_words(self.log)
        return f"the native code {how}" + (f"; it said: {words}" if words else "")


def wait_for_any(workers: list[Worker[T]], timeout: float | None = None) -> list[Worker[T]]:
    """Blocks until at least one worker has a message or has died, and returns those.

    Args:
        workers: whom to wait for.
        timeout: seconds after which it returns none; None waits for ever.
    """
    by_connection: dict[Any, Worker[T]] = {w.connection: w for w in workers}
    return [by_connection[c] for c in wait(list(by_connection), timeout)]


def _last_words(log: Path) -> str:
    if not log.exists():
        return ""
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    return " / ".join(lines[-3:])[-_LAST_WORDS:]


def _end_with(parent: int) -> None:
    """On Linux the kernel ends this process with its parent, even one that was killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it went before we asked
            os._exit(1)


def _main(connection: Connection, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it stops us
    _end_with(parent)
    try:
        sys.path[:] = connection.recv()
        target, args = connection.recv()
        target(connection, *args)
    except UserError as error:
        connection.send(Raised("user", error.message, error.hint))
    except FormatError as error:
        connection.send(Raised("format", error.reason))
    except (EOFError, BrokenPipeError):
        pass  # the parent has gone, or wants no more
    except MemoryError:
        connection.send(Raised("format", "there is not enough memory for it"))
    except Exception as error:
        known = refusal(error) if isinstance(error, OSError) else None
        bug = Raised("bug", traceback.format_exc())
        connection.send(Raised("user", known.message, known.hint) if known else bug)


if __name__ == "__main__":
    # Pickled by its importable name: `Raised` of `__main__` would be another class over there.
    from exporter.pipeline import workers

    workers._main(Connection(int(sys.argv[1])), int(sys.argv[2]))
    # Everything is sent and on disk: to tear down the toolchains' modules takes seconds,
    # in which the parent would wait.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
