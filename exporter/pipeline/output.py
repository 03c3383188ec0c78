"""Writes aside and moves into place: a run that fails or is stopped leaves nothing half-written."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from exporter.base.locks import locked, sweep
from exporter.errors import UserError

_PREFIX = ".export-mobile-"
_SETTLED_SECONDS = 60.0
"""A scratch folder this young may not have been locked yet by the run that made it."""


def check_output(output: Path) -> None:
    """Refuses an output that cannot become a folder.

    Raises:
        UserError: it is a file, or a link to nothing.
    """
    if os.path.lexists(output) and not output.is_dir():
        raise UserError(f"{output} is a file, not a folder.", "Name another --output.")


@contextmanager
def aside(output: Path) -> Iterator[Path]:
    """A scratch folder in or beside `output` (so that moving is a rename), removed at the end.

    Parents of `output` are made, and removed again where nothing came to lie in them. What a run
    that was killed has left there is removed, too.

    Raises:
        UserError: the folder cannot be made.
    """
    check_output(output)
    home = output if output.is_dir() else output.parent
    made = [folder for folder in (home, *home.parents) if not folder.exists()]
    try:
        home.mkdir(parents=True, exist_ok=True)
        sweep(filter(_settled, home.glob(f"{_PREFIX}*")))
        # Absolute, as workers and what they run may be in another folder.
        scratch = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home)).absolute()
    except OSError as error:
        _remove_empty(made)
        raise _cannot_write(home, error) from error
    try:
        with locked(scratch):
            yield scratch
    except Exception as error:
        check_space(scratch, error)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
        _remove_empty(made)


def _settled(scratch: Path) -> bool:
    with suppress(OSError):  # it is just being removed
        return time.time() - scratch.stat().st_mtime > _SETTLED_SECONDS
    return False


def _remove_empty(folders: list[Path]) -> None:
    """Removes folders, innermost first, unless something lies in them."""
    with suppress(OSError):
        for folder in folders:
            folder.rmdir()


def _cannot_write(folder: Path, error: OSError) -> UserError:
    return UserError(f"Cannot write to {folder}: {error.strerror}.", "Name another --output.")


def check_space(folder: Path, cause: Exception | None = None) -> None:
    """Tells a full disk from other trouble: native writers only say that writing failed.

    Raises:
        UserError: the disk of `folder` is full.
    """
    if shutil.disk_usage(folder).free < _FULL_BYTES:
        raise UserError(
            f"No space left on the disk of {folder.parent}.", "Free some, or name another --output."
        ) from cause


_FULL_BYTES = 256 << 10
"""Less than the smallest artifact with its report needs."""


def move_into_place(
    scratch: Path, output: Path, names: list[str], prepare: Callable[[], set[str]]
) -> None:
    """Moves `names` from `scratch` to `output`, in order, and removes stale ones there.

    Other files in `output` are left alone: it may be any folder of the user's. Two runs that end
    at the same time take turns, so that all files are of one of them.

    Args:
        scratch: where the files lie, on the same disk.
        output: where they shall lie.
        names: which ones.
        prepare: called once no other run can change `output`: may yet write to `scratch`, and tells
            which files of the last run are stale.

    Raises:
        UserError: `output` cannot be written, or a folder is in the way.
    """
    try:
        output.mkdir(exist_ok=True)
        with locked(output):
            for name in names:
                if (output / name).is_dir():
                    raise UserError(f"{output / name} is a folder.", "Name another --output.")
            for name in prepare() - set(names):
                (output / name).unlink(missing_ok=True)
            for name in names:
                (scratch / name).replace(output / name)
    except OSError as error:
        raise _cannot_write(output, error) from error
