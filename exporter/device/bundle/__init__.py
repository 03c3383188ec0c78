"""The runtime that is brought to a device: a core with Python and numpy, and a layer a format.

A layer is a folder that works from wherever it is put. Where all of it lies:

    core/run.sh         starts a script: `sh CORE/run.sh OVERLAY SCRIPT ARGUMENTS...`
    core/lib            glibc's loader, glibc and the libraries that the rest needs
    core/bin/python3    the interpreter of Debian trixie, started through that loader
    core/py             the standard library
    core/site           numpy
    <format>/site       one runtime
    */files.sha256      hash and path of each file, as `sha256sum -c` reads it
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from exporter.device import cache, debian, elf
from exporter.device.bundle import seal
from exporter.device.bundle.build import CORE, HERE, START_FILE, fill, requirements, wanted
from exporter.types import Format, Tell

__all__ = ["CORE", "Layer", "layers"]

KIND = "runtime"


@dataclass(frozen=True)
class Layer:
    """A part of the runtime, unpacked on this machine.

    Attributes:
        name: `core`, or the format that it runs.
        digest: SHA-256 of its `files.sha256`: names the content.
        folder: where it is; it is called as the layer is.
        size: bytes of its files.
        versions: what it was made of, package -> `<version> <sha256>`.
    """

    name: str
    digest: str
    folder: Path
    size: int
    versions: dict[str, str]


def layers(formats: Iterable[Format], tell: Tell) -> tuple[Layer, ...]:
    """The core and the layers that run `formats`; those that the cache lacks are built.

    Args:
        formats: each at most once.
        tell: takes a line of progress before something that takes seconds.

    Raises:
        UserError: something that building needs is missing, or fails; with the remedy.
    """
    return tuple(_layer(name, tell) for name in (CORE, *(str(f) for f in formats)))


def _layer(name: str, tell: Tell) -> Layer:
    def make(scratch: Path) -> dict[str, str]:
        what = "the runtime's core" if name == CORE else f"the runtime for .{name}"
        tell(f"Building {what}, once (about {wanted(name).megabytes} MB to download)")
        with tempfile.TemporaryDirectory(dir=scratch) as fetched:
            return fill(name, scratch / name, Path(fetched))

    key = cache.digest(name, repr(wanted(name)), *_made_of(name))
    place = cache.entry(KIND, key, make, sound=lambda place: seal.intact(place / name))
    folder = place / name
    size = cache.size(folder)
    return Layer(name, seal.digest(folder), folder, size, cache.provenance(place))


def _made_of(name: str) -> tuple[Path, ...]:
    """Every file that has a say in what a layer holds, beside what is wanted of it."""
    shared = (Path(debian.__file__), Path(elf.__file__))
    return (*sorted(HERE.glob("*.py")), *shared, HERE / START_FILE, requirements(name))
