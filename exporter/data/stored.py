"""Samples in one file that every process maps into its memory: none has a copy of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import overload

import numpy as np

from exporter.types import Array, Tensors

_ALIGNMENT = 64
"""Bytes; of a cache line, which vector instructions like."""


@dataclass(frozen=True)
class _Place:
    """Where one array lies in the file."""

    offset: int
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Stored(Sequence[Tensors]):
    """Inputs, or outputs, of many calls, read from their file as they are asked for.

    Small, and to be sent to other processes; its arrays are read-only.

    Attributes:
        path: the file; it must stay as it is.
        digest: SHA-256 of all values, shapes and types.
        places: of each array of each call.
    """

    path: Path
    digest: str
    places: tuple[tuple[_Place, ...], ...]

    def __len__(self) -> int:
        return len(self.places)

    @overload
    def __getitem__(self, index: int) -> Tensors: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Tensors, ...]: ...

    def __getitem__(self, index: int | slice) -> Tensors | tuple[Tensors, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        content = _mapped(self.path)
        return tuple(_array(content, place) for place in self.places[index])

    def pick(self, indices: Sequence[int]) -> Stored:
        """Some of the calls, in the same file."""
        total = hashlib.sha256(repr((self.digest, tuple(indices))).encode())
        return Stored(self.path, total.hexdigest(), tuple(self.places[i] for i in indices))

    def __iter__(self) -> Iterator[Tensors]:
        return (self[i] for i in range(len(self)))


def store(calls: Iterable[Tensors], path: Path) -> Stored:
    """Writes arrays as they come; one call at a time is held in memory.

    Args:
        calls: inputs, or outputs, of each call.
        path: the file to write.
    """
    places: list[tuple[_Place, ...]] = []
    total = hashlib.sha256()
    with path.open("wb") as file:
        for tensors in calls:
            call: list[_Place] = []
            for array in map(np.ascontiguousarray, tensors):
                file.write(bytes(-file.tell() % _ALIGNMENT))
                place = _Place(file.tell(), np.shape(tensors[len(call)]), array.dtype.str)
                file.write(array.data)
                total.update(repr((place.shape, place.dtype)).encode())
                total.update(array.data)
                call.append(place)
            total.update(b"\n")
            places.append(tuple(call))
        file.write(bytes(_ALIGNMENT))  # an empty file cannot be mapped
    return Stored(path, total.hexdigest(), tuple(places))


@lru_cache(maxsize=8)  # a map keeps the disk space of a file that was removed
def _mapped(path: Path) -> Array:
    """One map a process; the array is its bytes."""
    return np.memmap(path, np.uint8, mode="r")


def _array(content: Array, place: _Place) -> Array:
    dtype = np.dtype(place.dtype)
    return np.ndarray(place.shape, dtype, content, place.offset)
