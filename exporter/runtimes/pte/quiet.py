"""Keeps the runtime's chatter off the user's terminal, and keeps it for us."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

from exporter.base.quiet import STDERR, redirected


class NativeLog:
    """What ExecuTorch writes to standard error, which is where it explains its codes.

    Its own log goes through Python's `sys.stderr`, that of XNNPACK and cpuinfo to the process's.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (see `close`)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Sends standard error into this log; costs microseconds."""
        with redirected(self._file.fileno(), STDERR), redirect_stderr(self._file):
            yield

    def take(self) -> str:
        """What was written since the last time."""
        self._file.flush()
        self._file.seek(0)
        text = self._file.read()
        self._file.seek(0)
        self._file.truncate()
        return text

    def close(self) -> None:
        """Forgets it."""
        self._file.close()
