"""Keeps what others print off the user's terminal: Python's warnings and logs, and native code's
writing to the process's own file descriptors."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

STDOUT, STDERR = 1, 2
"""File descriptors, as native code knows them."""


@contextmanager
def redirected(target: int, *streams: int) -> Iterator[None]:
    """What is written to these file descriptors inside goes to another; costs microseconds.

    Args:
        target: the file descriptor that takes it.
        streams: `STDOUT`, `STDERR` or both.
    """
    _flush()
    kept = [os.dup(stream) for stream in streams]
    try:
        for stream in streams:
            os.dup2(target, stream)
        yield
    finally:
        _flush()
        for stream, handle in zip(streams, kept, strict=True):
            os.dup2(handle, stream)
            os.close(handle)


@contextmanager
def silenced(*streams: int) -> Iterator[None]:
    """What is written to these file descriptors inside is dropped.

    Args:
        streams: `STDOUT`, `STDERR` or both.
    """
    with Path(os.devnull).open("wb") as nowhere, redirected(nowhere.fileno(), *streams):
        yield


@contextmanager
def hushed(level: int = logging.ERROR) -> Iterator[None]:
    """Warnings and log records of this process's Python code are dropped inside.

    Args:
        level: the highest level of records that are dropped.
    """
    before = logging.root.manager.disable
    logging.disable(level)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _flush() -> None:
    """What Python still holds back was printed before the change."""
    for stream in (sys.stdout, sys.stderr):
        if stream:  # None in a process without a terminal
            stream.flush()
