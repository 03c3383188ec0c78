"""Locks between processes, whose holders may be killed, and what such holders leave behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_POLL_SECONDS = 0.1


@contextmanager
def locked(path: Path, patience: float | None = None) -> Iterator[None]:
    """Holds a file or a folder against other processes. The kernel lets go of it when the process
    ends, however it does, and nothing is left beside it.

    Args:
        path: is there.
        patience: seconds to wait for another holder, 0 to try once; None waits for ever.

    Raises:
        BlockingIOError: another process still holds it.
        OSError: it cannot be opened.
    """
    handle = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        _wait(handle, patience)
        yield
    finally:
        os.close(handle)


def sweep(folders: Iterable[Path], lock: Callable[[Path], Path] = lambda folder: folder) -> None:
    """Removes those of the folders whose lock nobody holds: the process that made it was killed.

    Args:
        folders: scratch folders of any process.
        lock: what the maker of a folder holds.
    """
    for folder in folders:
        # It is held, or just being removed by another process.
        with suppress(OSError), locked(lock(folder), patience=0):
            shutil.rmtree(folder)


def _wait(handle: int, patience: float | None) -> None:
    if patience is None:
        fcntl.flock(handle, fcntl.LOCK_EX)
        return
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(_POLL_SECONDS)
