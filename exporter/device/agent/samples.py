"""The inputs of each call."""

from __future__ import annotations

import math
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from .engine import Array
from .job import JobError, Spec


class Samples:
    """The inputs of each call, read one call at a time: they may be large.

    Args:
        path: an .npz with `input/<name>` for each input, stacked on a first axis.
        specs: of the inputs, in call order.

    Raises:
        JobError: the file is damaged, or does not hold these inputs.
    """

    def __init__(self, path: Path, specs: Sequence[Spec]) -> None:
        self._name, self._specs = path.name, specs
        with self._reading():
            archive = zipfile.ZipFile(path)
            names = set(archive.namelist())
            for spec in specs:
                if f"input/{spec.name}.npy" not in names:
                    raise JobError(f"{path.name} holds no input {spec.name}")
            self._streams = [archive.open(f"input/{spec.name}.npy") for spec in specs]
            counts = {self._header(s, spec) for s, spec in zip(self._streams, specs, strict=True)}
        if len(counts) != 1 or counts == {0}:
            raise JobError(f"{path.name} holds {sorted(counts)} samples of the inputs")
        self.count = counts.pop()

    def __iter__(self) -> Iterator[tuple[Array, ...]]:
        for number in range(self.count):
            sample = []
            for stream, spec in zip(self._streams, self._specs, strict=True):
                with self._reading():
                    array = _read_array(stream, spec)
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    raise JobError(f"input {spec.name} of sample {number} is not finite")
                sample.append(array)
            yield tuple(sample)

    def _header(self, stream: Any, spec: Spec) -> int:
        """Checks what the stream holds; the number of samples."""
        if np.lib.format.read_magic(stream) != (1, 0):
            raise JobError(f"input {spec.name} in {self._name} is of another version of .npy")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype != np.dtype(spec.dtype) or shape[1:] != spec.shape or not shape or fortran:
            given = f"{dtype} {list(shape[1:])}"
            raise JobError(f"input {spec.name} in {self._name} is {given}, the model takes {spec}")
        return int(shape[0])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise JobError(f"{self._name} cannot be read: {error.strerror or error}") from error
        except (zipfile.BadZipFile, zlib.error, ValueError, EOFError) as error:
            raise JobError(f"{self._name} is damaged: {error}") from error


def _read_array(stream: Any, spec: Spec) -> Array:
    dtype = np.dtype(spec.dtype)
    content = np.empty(math.prod(spec.shape) * dtype.itemsize, np.uint8)
    filled = 0
    while filled < len(content):  # in pieces, as each is held twice for a moment
        read = stream.readinto(content.data[filled : filled + (1 << 20)])
        if not read:
            raise EOFError(f"input {spec.name} is cut short")
        filled += read
    return content.view(dtype).reshape(spec.shape)
