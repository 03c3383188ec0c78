"""ELF files of 64-bit little-endian machines: what they need, and without what nobody needs."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace
from pathlib import Path

AARCH64 = 183
MAGIC = b"\x7fELF\x02\x01"
"""64-bit, little-endian."""

_HEADER = struct.Struct("<16sHHIQQQIHHHHHH")
_SEGMENT = struct.Struct("<IIQQQQQQ")
_ENTRY = struct.Struct("<qQ")
_MACHINE, _TABLE_OFFSET, _TABLE_LENGTH = 2, 5, 10
_SECTION_OFFSET, _SECTION_FIELDS = 6, slice(11, 14)
"""Positions in the header."""
_LOAD, _DYNAMIC = 1, 2
_NEEDED, _STRTAB, _RPATH, _RUNPATH = 1, 5, 15, 29


@dataclass(frozen=True)
class Segment:
    """A program header; sizes and offsets in bytes. See elf(5)."""

    type: int
    flags: int
    offset: int
    address: int
    physical: int
    file_size: int
    memory_size: int
    alignment: int

    def holds(self, other: Segment) -> bool:
        """Whether the bytes of `other` are among those of this segment."""
        end = self.offset + self.file_size
        return self.offset <= other.offset and other.offset + other.file_size <= end


@dataclass(frozen=True)
class Elf:
    """What matters of one file.

    Attributes:
        machine: number of the instruction set.
        segments: all program headers, in order.
        needed: names of the shared libraries that it loads.
        search: folders it looks for them in first; may start with `$ORIGIN`.
    """

    machine: int
    segments: tuple[Segment, ...]
    needed: tuple[str, ...]
    search: tuple[str, ...]

    @property
    def alignment(self) -> int:
        """The largest page size, in bytes, that it can be loaded with."""
        return min(s.alignment for s in self.segments if s.type == _LOAD)


def is_elf(path: Path) -> bool:
    """Whether it is a 64-bit little-endian ELF file."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def read(path: Path) -> Elf:
    """Reads the headers of an ELF file."""
    data = path.read_bytes()
    segments = _segments(data)
    entries = tuple(_dynamic(data, segments))
    strings = next((_offset(segments, value) for tag, value in entries if tag == _STRTAB), 0)

    def words(*tags: int) -> tuple[str, ...]:
        starts = (strings + value for tag, value in entries if tag in tags)
        return tuple(data[start : data.index(b"\0", start)].decode() for start in starts)

    search = tuple(part for word in words(_RPATH, _RUNPATH) for part in word.split(":"))
    return Elf(_HEADER.unpack_from(data)[_MACHINE], segments, words(_NEEDED), search)


def stripped(data: bytes) -> bytes:
    """The same file with the segments that are loaded and nothing else.

    Given: any linked ELF file. Result: the loaded bytes at the same addresses, packed as closely
    as their alignment allows; symbol tables for debuggers and all section headers are gone, which
    no loader reads. A quarter of libtorch is such symbols, and they lie in the middle of it.
    """
    header = list(_HEADER.unpack_from(data))
    segments = _segments(data)
    packed = bytearray()
    shift: dict[Segment, int] = {}
    for load in sorted((s for s in segments if s.type == _LOAD), key=lambda s: s.offset):
        # A loader maps whole pages: offset and address must agree below the alignment.
        packed += bytes((load.address - len(packed)) % load.alignment)
        shift[load] = len(packed) - load.offset
        packed += data[load.offset : load.offset + load.file_size]
    header[_SECTION_OFFSET] = 0
    header[_SECTION_FIELDS] = [0, 0, 0]
    _HEADER.pack_into(packed, 0, *header)
    for index, segment in enumerate(segments):
        by = next((by for load, by in shift.items() if load.holds(segment)), 0)
        at = header[_TABLE_OFFSET] + index * _SEGMENT.size
        _SEGMENT.pack_into(packed, at, *astuple(replace(segment, offset=segment.offset + by)))
    return bytes(packed)


def _segments(data: bytes) -> tuple[Segment, ...]:
    header = _HEADER.unpack_from(data)
    start, count = header[_TABLE_OFFSET], header[_TABLE_LENGTH]
    places = (start + index * _SEGMENT.size for index in range(count))
    return tuple(Segment(*_SEGMENT.unpack_from(data, place)) for place in places)


def _dynamic(data: bytes, segments: Iterable[Segment]) -> Iterator[tuple[int, int]]:
    """Tag and value of each entry of the dynamic section."""
    for segment in segments:
        if segment.type == _DYNAMIC:
            yield from _ENTRY.iter_unpack(data[segment.offset :][: segment.file_size])


def _offset(segments: Iterable[Segment], address: int) -> int:
    """Where in the file the byte lies that is loaded at `address`."""
    load = next(s for s in segments if s.type == _LOAD and 0 <= address - s.address < s.file_size)
    return address - load.address + load.offset
