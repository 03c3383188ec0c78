"""Writes aside and moves into place: a run that fails or is stopped leaves nothing half-written."""

from __future__ import annotations

import glob
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.errors import UserError


@contextmanager
def aside(output: Path) -> Iterator[Path]:
    """A scratch folder beside `output` (so that moving is a rename), removed at the end.

    Raises:
        UserError: the folder cannot be made.
    """
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.exists() and not output.is_dir():
            raise UserError(f"{output} is a file, not a folder.", "Name another --output.")
        scratch = Path(tempfile.mkdtemp(prefix=f".{output.name}.partial-", dir=output.parent))
    except OSError as error:
        raise UserError(
            f"Cannot write to {output.parent}: {error.strerror}.", "Name another --output."
        ) from error
    try:
        yield scratch
    except Exception as error:
        check_space(scratch, error)
        raise
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


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


def move_into_place(scratch: Path, output: Path, names: list[str], stale: list[str]) -> None:
    """Moves `names` from `scratch` to `output`, in order, and removes `stale` ones there.

    Other files in `output` are left alone: it may be any folder of the user's.
    """
    output.mkdir(exist_ok=True)
    for name in stale:
        (output / name).unlink(missing_ok=True)
    for name in names:
        (scratch / name).replace(output / name)


def sidecars(path: Path) -> list[Path]:
    """Files that belong to an artifact: ONNX puts weights beyond 2 GB into `<name>.onnx.data`."""
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.data*"))


def sha256(path: Path) -> str:
    """Hex digest of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
