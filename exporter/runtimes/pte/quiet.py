"""Keeps the toolchain's and the runtime's chatter off the user's terminal, and keeps it for us."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr


@contextmanager
def hushed() -> Iterator[None]:
    """Warnings and log records below CRITICAL of this process's Python code are dropped inside."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


class NativeLog:
    """What ExecuTorch writes to standard error, which is where it explains its codes.

    Its own log goes through Python's `sys.stderr`, that of XNNPACK and cpuinfo to the process's.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115 (see `close`)

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Sends standard error into this log; costs microseconds."""
        sys.stderr.flush()
        terminal = os.dup(2)
        os.dup2(self._file.fileno(), 2)
        try:
            with redirect_stderr(self._file):
                yield
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)

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
