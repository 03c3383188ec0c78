"""Samples from .npz and .npy files."""

from __future__ import annotations

import struct
import tokenize
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from exporter.data.rows import Rows
from exporter.errors import UserError
from exporter.types import Array, TensorSpec

_SHOWN = 6

LABEL_KEYS = ("labels", "label", "y")
INPUT_KEYS = ("x", "images", "inputs", "data")
"""Names of the samples of a single-input model where a file holds further arrays."""

_NPY, _ZIPS, _LFS_POINTER = b"\x93NUMPY", (b"PK\3\4", b"PK\5\6"), b"version https://git-lfs"
_WRITE = "Write it with numpy.savez or numpy.save, without Python objects."

_DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, SyntaxError, RuntimeError, MemoryError),
    *(zipfile.BadZipFile, zlib.error, struct.error, tokenize.TokenError),
)
"""What numpy and zipfile raise on files with changed bytes (found by changing each byte); a changed
length can ask for more memory than there is."""


def read_arrays(path: Path) -> Array | dict[str, Array]:
    """The array of a .npy file, or the arrays of a .npz file by name, in the file's order.

    Never unpickles.

    Raises:
        UserError: the file is missing, damaged, neither of the two, or holds Python objects.
    """
    _check_head(path)
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(found, np.lib.npyio.NpzFile):
            array: Array = found
            return array
        with found:
            return {key: found[key] for key in found.files}
    except _DAMAGE as error:
        raise UserError(
            f"{path} is not a readable .npz or .npy file: {error}",
            _WRITE,
        ) from error


def _check_head(path: Path) -> None:
    """numpy takes any other file for a pickle, and says so."""
    try:
        with path.open("rb") as file:
            head = file.read(len(_LFS_POINTER))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    if head == _LFS_POINTER:
        raise UserError(f"{path} is a Git LFS pointer, not the data.", "Run git lfs pull.")
    if not head.startswith((_NPY, *_ZIPS)):
        raise UserError(f"{path} is not a readable .npz or .npy file.", _WRITE)


def array_rows(path: Path, inputs: Sequence[TensorSpec]) -> Rows:
    """Samples stacked on the first axis: (N, *shape), where a batch axis of 1 may be left out.

    A .npz file holds one array for each input under its name, or for a single-input model one array
    of any name (`x`, `images`, `inputs` or `data` if there are several); `labels`, `label` or
    `y` are class indices.

    Raises:
        UserError: the file is unreadable or its arrays do not fit the model.
    """
    found = read_arrays(path)
    named = found if isinstance(found, dict) else {"x": found}
    columns = _columns(path, named, inputs)
    if any(column.ndim == 0 for column in columns):
        raise UserError(f"{path}: an array of samples needs a first axis that counts them.")
    counts = {len(column) for column in columns}
    if len(counts) > 1:
        raise UserError(f"{path}: its arrays hold different numbers of samples: {sorted(counts)}.")
    count = counts.pop()
    names = {spec.name for spec in inputs}
    labels = next((named[k] for k in LABEL_KEYS if k in named and k not in names), None)
    return Rows(
        count=count,
        read=lambda i: tuple(column[i] for column in columns),
        where=lambda i: f"{path}, sample {i}",
        labels=None if labels is None else _labels(path, labels, count),
    )


def _columns(path: Path, named: dict[str, Array], inputs: Sequence[TensorSpec]) -> list[Array]:
    """The array of each input."""
    if all(spec.name in named for spec in inputs):
        return [named[spec.name] for spec in inputs]
    if len(inputs) == 1:
        others = [key for key in named if key not in LABEL_KEYS]
        fit = others if len(others) == 1 else [key for key in INPUT_KEYS if key in named]
        if fit:
            return [named[fit[0]]]
    wanted = ", ".join(spec.name for spec in inputs)
    more = f" and {len(named) - _SHOWN} more" if len(named) > _SHOWN else ""
    raise UserError(
        f"{path} holds {', '.join(list(named)[:_SHOWN]) or 'nothing'}{more}; "
        f"the model's inputs are {wanted}.",
        "Name one array after each input (numpy.savez(file, name=array)).",
    )


def _labels(path: Path, labels: Array, count: int) -> tuple[int, ...]:
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise UserError(
            f"{path}: labels must be one integer a sample, "
            f"not {labels.dtype} of shape {labels.shape}."
        )
    if len(labels) != count:
        raise UserError(f"{path}: {len(labels)} labels for {count} samples.")
    if count and labels.min() < 0:
        raise UserError(f"{path}: label {labels.min()} is negative; classes count from 0.")
    return tuple(int(label) for label in labels)
